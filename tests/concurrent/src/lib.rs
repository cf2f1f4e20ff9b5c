//! Tenure's EL2 on the hosted machine, the provider's files, and leases, under many schedules.
//!
//! | file | what it holds |
//! |---|---|
//! | `hardware` | the machine as the `Hardware` of an `El2` |
//! | `world` | an `El2` with two guests, ready for actors |
//! | `access` | accesses by host, device and guests, checked as they happen |
//! | `actors` | the operations whose pairs are explored |
//! | `check` | what must hold when all are done |
//! | [`gmem`] | the provider's files, with a world of their own |
//! | [`lease`] | leases and the front, with a world of their own |
//! | `arch`, `hyp` (crates) | the product's sources, copied, with each access to a table or record a primitive of the machine; the copy of `hyp` can be given one of some ordering bugs |

mod access;
pub mod actors;
mod check;
pub mod gmem;
pub mod hardware;
pub mod lease;
pub mod world;

pub use actors::Op;
pub use hardware::Barriers;
pub use tenure_hyp::planted::{Bug, plant};
pub use world::{Setup, World, with_world};

use tenure_machine::schedule::{Outcome, Plan, explore, loudly};
use tenure_machine::step::quietly;

/// Explores what happens when `actors` work at the same time, each on a CPU of its own.
pub fn race(plan: Plan, setup: Setup, actors: &'static [fn(&World<'_>, u64)]) -> Outcome {
    explore(Plan { actors: actors.len(), ..plan }, move || {
        with_world(setup, |world| {
            loudly(|| {
                shuttle::thread::scope(|scope| {
                    for (&act, vcpu) in actors.iter().zip(0..) {
                        scope.spawn(move || act(world, vcpu));
                    }
                });
            });
            quietly(|| world.check());
        });
    })
}

/// Every unordered pair of operations, each with itself too.
pub fn pairs() -> impl Iterator<Item = [Op; 2]> {
    let from =
        |first: Op| Op::ALL.into_iter().filter(move |&second| second >= first).map(move |second| [first, second]);
    Op::ALL.into_iter().flat_map(from)
}

/// Explores a pair of operations, with a host beside them that reads and writes every page.
pub fn pair(plan: Plan, [first, second]: [Op; 2]) -> Outcome {
    explore(Plan { actors: 3, ..plan }, move || {
        with_world(Setup::default(), |world| {
            loudly(|| {
                shuttle::thread::scope(|scope| {
                    scope.spawn(|| first.run(world, 0));
                    scope.spawn(|| second.run(world, 1));
                    scope.spawn(|| Op::Touch.run(world, 0));
                });
            });
            quietly(|| world.check());
        });
    })
}
