//! What counts as evidence, and what does not.

use super::*;
use rows::Wanted;

const ROW: Row = Row { id: "PK-12", model: &["shares_in_place"], el2: Wanted::Yes, linux: Wanted::Yes };

fn heard(against: &str, text: &str) -> Heard {
    let lines: Vec<_> = text.lines().map(str::to_owned).collect();
    Heard { against: against.to_owned(), said: Ok(Transcript::parse(&lines)) }
}

fn all() -> Evidence {
    Evidence {
        model: vec![Case::pass("hyp::shares_in_place")],
        el2: heard("el2", "TENURE row PK-12 pass"),
        linux: heard("linux-7.3", "TENURE row PK-12 pass"),
        gmem: Vec::new(),
    }
}

#[test]
fn a_row_names_all_that_it_was_checked_against() {
    assert_eq!(row_line(&ROW, &all()).text(), "PK-12 pass model+el2+linux-7.3");
}

#[test]
fn what_could_not_run_is_named_beside_the_pass() {
    let evidence = Evidence { linux: Heard::nothing("linux-7.3", "no kernel"), ..all() };
    assert_eq!(row_line(&ROW, &evidence).text(), "PK-12 pass model+el2 (not here: linux-7.3: no kernel)");
}

#[test]
fn one_failed_piece_fails_the_row() {
    let evidence = Evidence { el2: heard("el2", "TENURE row PK-12 pass\nTENURE row PK-12 fail x0 was 1"), ..all() };
    assert_eq!(row_line(&ROW, &evidence).text(), "PK-12 fail el2: x0 was 1");
    let evidence = Evidence { model: vec![Case::fail("hyp::shares_in_place", "no")], ..all() };
    assert!(row_line(&ROW, &evidence).text().starts_with("PK-12 fail"));
}

#[test]
fn silence_is_no_evidence() {
    let evidence = Evidence { el2: heard("el2", "TENURE end"), ..all() };
    assert_eq!(row_line(&ROW, &evidence).text(), "PK-12 fail el2: it ran and said nothing");
    let evidence = Evidence { model: vec![Case::pass("hyp::other")], ..all() };
    assert_eq!(row_line(&ROW, &evidence).text(), "PK-12 fail model: no test named shares_in_place ran");
    let nothing = Row { id: "PK-12", model: &[], el2: Wanted::No, linux: Wanted::No };
    assert!(row_line(&nothing, &all()).text().starts_with("PK-12 fail"));
}

#[test]
fn a_row_for_which_nothing_ran_is_a_skip() {
    let evidence = Evidence {
        model: Vec::new(),
        el2: Heard::nothing("el2", "no QEMU"),
        linux: Heard::nothing("linux-7.3", "no QEMU"),
        gmem: Vec::new(),
    };
    assert!(row_line(&ROW, &evidence).text().starts_with("PK-12 skip model: "));
}

#[test]
fn a_bonus_row_counts_when_shown_and_is_not_missed() {
    let row = Row { linux: Wanted::IfShown, ..ROW };
    assert_eq!(row_line(&row, &all()).text(), "PK-12 pass model+el2+linux-7.3");
    let evidence = Evidence { linux: heard("linux-7.3", "TENURE end"), ..all() };
    assert_eq!(row_line(&row, &evidence).text(), "PK-12 pass model+el2");
}

#[test]
fn a_row_that_the_table_does_not_know_fails() {
    let evidence = Evidence { el2: heard("el2", "TENURE row PK-99 pass"), ..all() };
    let lines = unknown_rows(&evidence);
    assert_eq!(lines.len(), 1);
    assert!(lines[0].text().starts_with("PK-99 fail"));
}

#[test]
fn what_does_not_apply_is_counted_apart_and_is_no_case() {
    let standing = Standing::NotApplicable("documented only".into());
    let apart = Line::new("RB-38", standing);
    assert_eq!((apart.text().as_str(), apart.case()), ("RB-38 n/a documented only", None));
    let lines = [apart, line("PK-01", Verdict::Pass, &[])];
    assert_eq!(total(&lines), ("1 passed, 0 failed, 0 skipped, 1 not applicable".to_owned(), true));
}
