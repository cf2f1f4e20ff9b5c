//! Ordering bugs of leases, planted one at a time, are found; without them the same pairs find nothing.

use tenure_concurrent::lease::{Op, Point, pair};
use tenure_concurrent::{Bug, plant};
use tenure_machine::Plan;

/// Schedules without a bug.
const SOUND: u64 = if cfg!(debug_assertions) { 200 } else { 4_000 };
/// At most so many with it.
const PATIENCE: u64 = 20_000;

/// Explores `both` without and with the bug; the second must find something that one of `says` names.
fn finds(bug: Bug, both: [Op; 2], dies: Option<Point>, says: &[&str]) {
    let plan = Plan::new(7, PATIENCE, 3);
    plant(Bug::None);
    let sound = pair(Plan { schedules: SOUND, ..plan }, both, dies);
    assert!(sound.found.is_none(), "without a bug: {:?}", sound.found);
    plant(bug);
    let outcome = pair(plan, both, dies);
    plant(Bug::None);
    let found = outcome.found.unwrap_or_else(|| panic!("{bug:?}: not found in {PATIENCE} schedules"));
    println!("TENURE obs concurrent {bug:?} found after {} schedules: {}", outcome.schedules, found.what[0]);
    assert!(found.what.iter().any(|what| says.iter().any(|says| what.contains(says))), "{found:?}");
}

#[test]
fn an_access_that_is_counted_after_the_look_is_found() {
    finds(Bug::AccessCountedLate, [Op::Take, Op::Convert], None, &["under an access"]);
}

#[test]
fn a_last_access_that_tells_nobody_for_sure_is_found() {
    finds(Bug::NotifiedWithoutLock, [Op::Drop, Op::Revoke], None, &["deadlock"]);
}

#[test]
fn a_mapping_that_goes_away_in_silence_is_found() {
    finds(Bug::NotifyLost, [Op::Revoke, Op::Convert], None, &["deadlock"]);
}

#[test]
fn a_revocation_that_ends_before_holders_are_told_is_found() {
    finds(Bug::EndedBeforeTold, [Op::Convert, Op::Convert], None, &["asked twice", "and they are shared"]);
}

#[test]
fn a_late_answer_that_counts_is_found() {
    finds(Bug::LateAnswerCounts, [Op::Revoke, Op::Late], None, &["what is over counted", "under a mapping"]);
}

#[test]
fn a_question_that_takes_the_place_of_another_is_found() {
    finds(Bug::OneQuestionEach, [Op::Revoke, Op::Revoke], None, &["under a mapping"]);
}

#[test]
fn memory_revoked_before_holders_know_that_it_is_shared_is_found() {
    finds(
        Bug::SharedToldLate,
        [Op::Convert, Op::Revoke],
        None,
        &["and they are private", "under a mapping", "thinks not"],
    );
}

#[test]
fn a_mapping_of_memory_that_is_being_revoked_is_found() {
    finds(Bug::MappedWhileRevoked, [Op::Take, Op::Convert], None, &["nobody asked"]);
}

#[test]
fn a_panic_that_keeps_others_from_being_told_is_found() {
    finds(Bug::PanicEndsTelling, [Op::Convert, Op::Revoke], Some(Point::Commit), &["never told", "has not ended"]);
}
