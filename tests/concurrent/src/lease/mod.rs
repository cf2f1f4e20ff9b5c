//! Leases under many schedules, and on real threads (`tests/lease_threads`, which takes the same files).
//!
//! | file | what it holds |
//! |---|---|
//! | `memory` | frames that say when somebody touches what is private |
//! | `peer` | a holder of mappings, which knows what it may be told |
//! | `world` | leases, a front and a device between them |
//! | `actors` | the operations whose pairs are explored |
//! | `run` | who schedules: here `shuttle`, there the machine |

mod actors;
mod memory;
mod peer;
mod run;
mod world;

/// What is tested: here the copy that bugs can be planted in.
mod product {
    pub(super) use tenure_host::{convert, lease, platform};
}

pub use actors::{HAPPENS, Op, pairs};
pub use peer::Point;
pub use world::World;

use peer::survive;
use tenure_machine::schedule::{Outcome, Plan, explore, loudly};
use tenure_machine::step::quietly;
use world::with_world;

/// Explores a pair of operations, with a device beside them whose holder may die.
pub fn pair(plan: Plan, both: [Op; 2], dies: Option<Point>) -> Outcome {
    explore(Plan { actors: 3, ..plan }, move || {
        with_world(dies, |world| {
            let held = both.map(|op| op.ready(world));
            loudly(|| {
                shuttle::thread::scope(|scope| {
                    for (op, held) in both.into_iter().zip(held) {
                        scope.spawn(move || survive(|| op.run(world, held)));
                    }
                    scope.spawn(|| world.beside());
                });
            });
            quietly(|| world.check());
        });
    })
}
