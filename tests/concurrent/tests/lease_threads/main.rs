//! The pairs of lease operations on real threads, with the product itself and the machine's own scheduler, clock and memory
//! order. The same world as in `src/lease`; only who schedules is another.
//!
//! Nothing here depends on how long something takes: whatever the clock does, what is asserted holds.
#![expect(unreachable_pub, reason = "files of a library, taken into a test")]

#[path = "../../src/lease/actors.rs"]
mod actors;
#[path = "../../src/lease/memory.rs"]
mod memory;
#[path = "../../src/lease/peer.rs"]
mod peer;
mod run;
#[path = "../../src/lease/world.rs"]
mod world;

/// What is tested: the product.
mod product {
    pub(super) use product_host::{convert, lease, platform};
}

use actors::{HAPPENS, Op, pairs};
use peer::{Point, survive};
use std::sync::Barrier;
use world::with_world;

/// Rounds of each pair; in the second test, of each pair and point.
const ROUNDS: u64 = if cfg!(debug_assertions) { 100 } else { 1_000 };

/// One pair beside the device, many times.
fn rounds(count: u64, both: [Op; 2], dies: Option<Point>) {
    for round in 0..count {
        run::seed(round);
        with_world(dies, |world| {
            let held = both.map(|op| op.ready(world));
            let start = &Barrier::new(3);
            std::thread::scope(|scope| {
                for ((op, held), nth) in both.into_iter().zip(held).zip(1..) {
                    scope.spawn(move || {
                        run::seed(round << 2 | nth);
                        start.wait();
                        survive(|| op.run(world, held));
                    });
                }
                scope.spawn(|| {
                    run::seed(round << 2 | 3);
                    start.wait();
                    world.beside();
                });
            });
            world.check();
        });
        let found = run::violations();
        assert!(found.is_empty(), "{both:?}, {dies:?}, round {round}: {found:?}");
    }
}

#[test]
fn every_pair_of_lease_operations_holds_on_real_threads_and_survives_dying_holders() {
    // One after the other: what was seen is kept in one place.
    pairs().for_each(|both| rounds(ROUNDS, both, None));
    for dies in Point::ALL {
        for both in [[Op::Revoke, Op::Convert], [Op::Timeout, Op::Convert], [Op::Take, Op::Revoke]] {
            rounds(ROUNDS / 4, both, Some(dies));
        }
    }
    let notes = run::notes();
    println!("{notes:?}");
    for what in HAPPENS.into_iter().filter(|what| !run::NEEDS_LUCK.contains(what)) {
        assert!(notes.contains_key(what), "never: {what}");
    }
}
