//! Every unordered pair of operations on a file, each with itself too, with a host process and a device beside them.
//!
//! `TENURE_LONG` in the environment makes it ten times longer.

use std::collections::BTreeMap;
use tenure_concurrent::gmem::{pair, pairs};
use tenure_machine::Plan;

/// Schedules of each pair; without optimisation fewer.
const SCHEDULES: u64 = if cfg!(debug_assertions) { 60 } else { 10_000 };
/// Failures are put in at the first to this request of a schedule.
const REQUESTS: u64 = 12;

/// What has to have happened somewhere, or the pairs have shown nothing about it.
const HAPPENS: [&str; 16] = [
    "host touched",
    "host refused",
    "pinned",
    "a reference was found",
    "convert met a reference",
    "guest touched",
    "prefaulted",
    "prefault stopped",
    "converted",
    "punched",
    "populated",
    "populate stopped",
    "allocated",
    "unbound",
    "bound",
    "guest sees nothing",
];

fn all_pairs(plan: Plan, more: &[&str]) {
    let times = if std::env::var_os("TENURE_LONG").is_some() { 10 } else { 1 };
    let plan = Plan { schedules: plan.schedules * times, ..plan };
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
fn every_pair_of_file_operations_keeps_the_four_facts_apart() {
    all_pairs(Plan::new(1, SCHEDULES, 3), &[]);
}

#[test]
fn every_pair_of_file_operations_survives_a_refused_frame_or_reservation() {
    let plan = Plan { faults: Some(REQUESTS), ..Plan::new(2, SCHEDULES, 3) };
    all_pairs(plan, &["a block was refused", "a table page was refused", "host got no frame"]);
}
