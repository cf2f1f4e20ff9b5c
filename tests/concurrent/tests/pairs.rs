//! Every unordered pair of operations, each with itself too, with a host and its device beside them: a sample of what
//! `concurrent-run` explores at length.

use std::collections::BTreeMap;
use tenure_concurrent::{pair, pairs};
use tenure_machine::Plan;

/// Schedules of each pair; without optimisation fewer.
const SCHEDULES: u64 = if cfg!(debug_assertions) { 30 } else { 400 };
/// Failures are put in at the first to this request of a schedule.
const REQUESTS: u64 = 60;

/// What has to have happened somewhere, or the pairs have shown nothing about it.
const HAPPENS: [&str; 20] = [
    "lent",
    "lend refused",
    "taken back",
    "take back refused",
    "donated",
    "donate refused",
    "shared",
    "share refused",
    "unshared",
    "unshare refused",
    "relinquished",
    "relinquish refused",
    "reclaimed",
    "reclaim refused",
    "forced",
    "force refused",
    "host read",
    "host refused",
    "ended",
    "end refused",
];

fn all_pairs(plan: Plan, more: &[&str]) {
    let mut notes: BTreeMap<&str, u64> = BTreeMap::new();
    for both in pairs() {
        let outcome = pair(plan, both);
        assert!(outcome.found.is_none(), "{both:?}, seed {}: {:?}", plan.seed, outcome.found);
        assert_eq!(outcome.schedules, plan.schedules);
        for (what, times) in outcome.notes {
            *notes.entry(what).or_default() += times;
        }
    }
    println!("{notes:?}");
    for what in HAPPENS.iter().chain(more) {
        assert!(notes.contains_key(what), "never: {what}");
    }
}

#[test]
fn every_pair_keeps_the_invariants() {
    all_pairs(Plan::new(1, SCHEDULES, 3), &[]);
}

#[test]
fn every_pair_keeps_the_invariants_when_a_request_is_refused() {
    let refused = ["a lock was refused", "a table page was refused"];
    all_pairs(Plan { faults: Some(REQUESTS), ..Plan::new(2, SCHEDULES, 3) }, &refused);
}

#[test]
fn a_schedule_is_made_again_by_its_number() {
    let both = pairs().nth(5).unwrap();
    let all = pair(Plan::new(3, 20, 3), both);
    let one_by_one = (0..20).map(|first| pair(Plan { first, ..Plan::new(3, 1, 3) }, both).primitives);
    assert_eq!(one_by_one.sum::<u64>(), all.primitives);
}
