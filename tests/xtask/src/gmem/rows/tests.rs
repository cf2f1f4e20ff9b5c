//! What a run is worth.

use super::*;

fn ran(target: Target, text: &str, code: i32) -> Tried {
    let lines: Vec<_> = text.lines().map(str::to_owned).collect();
    tried(target, "linux-1.2".into(), Ran::Finished(Ok(Finished { lines, ended: Ended::Code(code) })))
}

#[test]
fn rows_that_hold_and_those_that_do_not_apply_are_a_pass() {
    let text = "TENURE row GM-42 pass\nTENURE row GM-01 skip another revision\nTENURE case probe pass\nTENURE end";
    let cases = cases(&ran(Target::Here, text, 0));
    assert_eq!(cases, [Case::pass("rows_on_linux-1.2"), Case::pass("linux-1.2::probe")]);
}

#[test]
fn a_failed_row_is_named_with_what_was_seen() {
    let text = "TENURE row GM-42 pass\nTENURE row GM-43 fail size 1\nTENURE end";
    assert_eq!(cases(&ran(Target::Here, text, 1)), [Case::fail("rows_on_linux-1.2", "GM-43: size 1")]);
}

#[test]
fn a_run_that_broke_off_or_tried_nothing_is_a_failure() {
    for (text, code) in [
        ("TENURE row GM-42 pass", 0),
        ("TENURE row GM-42 pass\nTENURE end", 1),
        ("TENURE row GM-42 pass\nTENURE song\nTENURE end", 0),
        ("TENURE row GM-42 skip no\nTENURE end", 0),
        ("TENURE end", 0),
    ] {
        assert!(cases(&ran(Target::Here, text, code))[0].failed(), "{text}");
    }
    let tried = tried(Target::Here, "linux-1.2".into(), Ran::Finished(Err("no such program".into())));
    assert!(cases(&tried)[0].failed());
}

#[test]
fn a_machine_that_lacks_something_is_a_skip() {
    let tried = tried(Target::Stock, "linux-1.2".into(), Ran::Not("no kernel".into()));
    assert_eq!(cases(&tried), [Case::skip("rows_on_linux-1.2", "no kernel")]);
    let said = ran(Target::Stock, "TENURE case rows_run skip no /dev/kvm\nTENURE end", 0);
    assert_eq!(cases(&said), [Case::skip("rows_on_linux-1.2", "no /dev/kvm")]);
}

#[test]
fn a_supplied_kernel_without_conversion_in_place_is_a_skip() {
    let without = "TENURE row GM-37 n/a no ioctl\nTENURE row GM-42 pass\nTENURE end";
    assert!(in_place(ran(Target::InPlace, without, 0)).heard.said.is_err());
    let with = without.replace("GM-37 n/a no ioctl", "GM-37 pass");
    assert!(in_place(ran(Target::InPlace, &with, 0)).heard.said.is_ok());
    assert!(cases(&in_place(ran(Target::InPlace, "TENURE end", 0)))[0].failed());
}
