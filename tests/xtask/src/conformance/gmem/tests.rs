//! What makes a row pass, skip, fail, or not apply.

use super::*;

const DEMANDED: Rows =
    Rows { prefix: "GM", first: 42, last: 42, provider: &["7.3"], real: &[Target::Here], because: "" };
const NOWHERE: Rows =
    Rows { prefix: "GM", first: 42, last: 42, provider: &[], real: &[], because: "needs two NUMA nodes" };

fn said(target: Target, against: &str, text: &str) -> Tried {
    let lines: Vec<_> = text.lines().map(str::to_owned).collect();
    Tried { target, heard: Heard { against: against.into(), said: Ok(Transcript::parse(&lines)) }, broke: None }
}

fn provider(text: &str) -> Tried {
    said(Target::Provider("7.3"), "provider-7.3", text)
}

fn here(text: &str) -> Tried {
    said(Target::Here, "linux-6.18.44", text)
}

fn absent() -> Tried {
    Tried { target: Target::Here, heard: Heard::nothing("linux-6.18.44", "no /dev/kvm"), broke: None }
}

fn text(rows: &Rows, all: &[Tried]) -> String {
    row("GM-42", rows, all).text()
}

const PASS: &str = "TENURE row GM-42 pass";
const SKIP: &str = "TENURE row GM-42 skip one node";

#[test]
fn a_row_names_every_target_that_showed_it() {
    assert_eq!(text(&DEMANDED, &[provider(PASS), here(PASS)]), "GM-42 pass provider-7.3+linux-6.18.44");
    let other = said(Target::Stock, "linux-7.3.4", PASS);
    assert_eq!(text(&DEMANDED, &[provider(PASS), other]), "GM-42 pass provider-7.3+linux-7.3.4");
}

#[test]
fn a_missing_machine_is_named_beside_the_pass_and_is_a_skip_where_nothing_else_ran() {
    let missing = "(not here: linux-6.18.44: no /dev/kvm)";
    assert_eq!(text(&DEMANDED, &[provider(PASS), absent()]), format!("GM-42 pass provider-7.3 {missing}"));
    assert_eq!(text(&DEMANDED, &[absent()]), "GM-42 skip linux-6.18.44: no /dev/kvm");
    assert_eq!(text(&DEMANDED, &[]), "GM-42 skip the gmem suite did not run");
}

#[test]
fn a_target_that_ran_and_said_nothing_fails_the_row() {
    let silent = "GM-42 fail linux-6.18.44: it ran and said nothing";
    assert_eq!(text(&DEMANDED, &[provider(PASS), here("TENURE end")]), silent);
    assert_eq!(text(&NOWHERE, &[here("TENURE end")]), silent);
}

#[test]
fn a_run_that_broke_off_fails_every_row() {
    let broke = Tried { broke: Some("exit code 139: \nlast line".into()), ..here(PASS) };
    assert_eq!(text(&DEMANDED, &[provider(PASS), broke]), "GM-42 fail linux-6.18.44: exit code 139: ");
}

#[test]
fn one_target_that_saw_something_else_fails_the_row() {
    let fail = "TENURE row GM-42 fail EEXIST";
    for seen in [fail.to_owned(), format!("{fail}\n{PASS}"), format!("{fail}\n{SKIP}")] {
        assert_eq!(text(&DEMANDED, &[provider(PASS), here(&seen)]), "GM-42 fail linux-6.18.44: EEXIST");
    }
    let other = said(Target::Stock, "linux-7.3.4", fail);
    assert_eq!(text(&NOWHERE, &[other]), "GM-42 fail linux-7.3.4: EEXIST");
}

#[test]
fn a_real_kernel_may_lack_what_the_provider_may_not() {
    let lacks = "GM-42 pass provider-7.3 (not here: linux-6.18.44: one node)";
    assert_eq!(text(&DEMANDED, &[provider(PASS), here(SKIP)]), lacks);
    assert!(text(&DEMANDED, &[provider(SKIP), here(PASS)]).starts_with("GM-42 fail provider-7.3: it must show this"));
}

#[test]
fn another_revision_does_not_count_as_missing_but_the_provider_must_have_its_own() {
    const NOT: &str = "TENURE row GM-42 n/a another revision";
    assert_eq!(text(&DEMANDED, &[provider(PASS), here(NOT)]), "GM-42 pass provider-7.3");
    assert!(text(&DEMANDED, &[provider(NOT), here(PASS)]).starts_with("GM-42 fail provider-7.3: it must show this"));
    let kernel_only = Rows { provider: &[], ..DEMANDED };
    assert_eq!(text(&kernel_only, &[provider(NOT), here(NOT)]), "GM-42 n/a linux-6.18.44: another revision");
}

#[test]
fn the_part_that_a_target_showed_is_named_beside_the_pass() {
    let half = here("TENURE row GM-42 pass the host's half");
    let part = "(in part: linux-6.18.44: the host's half)";
    assert_eq!(text(&DEMANDED, &[provider(PASS), half]), format!("GM-42 pass provider-7.3+linux-6.18.44 {part}"));
    let other = said(Target::Provider("6.8"), "provider-6.8", "TENURE row GM-42 pass the host's half");
    assert_eq!(text(&DEMANDED, &[provider(PASS), here(PASS), other]), "GM-42 pass provider-7.3+linux-6.18.44");
}

#[test]
fn what_nobody_can_show_does_not_apply_with_its_reason() {
    assert_eq!(text(&NOWHERE, &[provider(SKIP), here(SKIP)]), "GM-42 n/a needs two NUMA nodes");
    assert_eq!(text(&NOWHERE, &[]), "GM-42 n/a needs two NUMA nodes");
    assert_eq!(text(&NOWHERE, &[provider(SKIP), here(PASS)]), "GM-42 pass linux-6.18.44");
}

#[test]
fn a_target_of_which_nothing_is_demanded_is_not_missed() {
    let old = said(Target::Provider("6.8"), "provider-6.8", SKIP);
    assert_eq!(text(&DEMANDED, &[old, provider(PASS), here(PASS)]), "GM-42 pass provider-7.3+linux-6.18.44");
}

#[test]
fn a_row_that_the_table_does_not_know_fails() {
    let lines = judge(&[provider("TENURE row GM-108 pass")]);
    assert_eq!(lines.len(), 120);
    assert!(lines[119].text().starts_with("GM-108 fail"));
}
