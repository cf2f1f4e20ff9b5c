//! Every unordered pair of what people do with leases, each with itself too, beside a device that keeps memory mapped; then
//! with the device dying at each point where it can.
//!
//! `TENURE_LONG` in the environment makes it ten times longer.

use std::collections::BTreeMap;
use tenure_concurrent::lease::{HAPPENS, Op, Point, pair, pairs};
use tenure_machine::Plan;

/// Schedules of each pair; without optimisation fewer.
const SCHEDULES: u64 = if cfg!(debug_assertions) { 200 } else { 10_000 };

/// Explores one pair and adds what happened to `notes`.
fn explored(seed: u64, both: [Op; 2], dies: Option<Point>, notes: &mut BTreeMap<&'static str, u64>) {
    let times = if std::env::var_os("TENURE_LONG").is_some() { 10 } else { 1 };
    let plan = Plan::new(seed, SCHEDULES * times, 3);
    let outcome = pair(plan, both, dies);
    assert!(outcome.found.is_none(), "{both:?}, {dies:?}, seed {seed}: {:?}", outcome.found);
    assert_eq!(outcome.schedules, plan.schedules);
    for (what, times) in outcome.notes {
        *notes.entry(what).or_default() += times;
    }
}

#[test]
fn every_pair_of_lease_operations_keeps_private_memory_untouched_and_everybody_told_once() {
    let mut notes = BTreeMap::new();
    pairs().for_each(|both| explored(1, both, None, &mut notes));
    println!("{notes:?}");
    for what in HAPPENS {
        assert!(notes.contains_key(what), "never: {what}");
    }
}

#[test]
fn a_holder_that_dies_at_any_point_holds_up_nobody_and_all_others_are_told() {
    for dies in Point::ALL {
        let mut notes = BTreeMap::new();
        for both in
            [[Op::Revoke, Op::Revoke], [Op::Revoke, Op::Convert], [Op::Timeout, Op::Convert], [Op::Take, Op::Convert]]
        {
            explored(2, both, Some(dies), &mut notes);
        }
        assert!(notes.contains_key("somebody died"), "nobody died: {dies:?}");
    }
}
