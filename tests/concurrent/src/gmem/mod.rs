//! The provider's files under many schedules.
//!
//! | file | what it holds |
//! |---|---|
//! | `host` | frames, tables and hardware entries that say when they are misused |
//! | `world` | a file between a host process and two guests |
//! | `actors` | the operations whose pairs are explored |
//! | `check` | what must hold when all are done |
//! | `tenure-host-concurrent` (crate) | the product's sources, copied; ordering bugs can be planted |

mod actors;
mod check;
mod host;
mod world;

pub use actors::Op;
pub use world::{PAGES, World, with_world};

use tenure_machine::schedule::{Outcome, Plan, explore, loudly};
use tenure_machine::step::quietly;

/// What one actor does.
pub type Actor = fn(&World<'_, '_>);

/// Every unordered pair of operations, each with itself too.
pub fn pairs() -> impl Iterator<Item = [Op; 2]> {
    let from =
        |first: Op| Op::ALL.into_iter().filter(move |&second| second >= first).map(move |second| [first, second]);
    Op::ALL.into_iter().flat_map(from)
}

/// Explores a pair of operations, with a host process and a device beside them.
pub fn pair(plan: Plan, both: [Op; 2]) -> Outcome {
    explore(Plan { actors: 3, ..plan }, move || {
        with_world(|world| {
            loudly(|| {
                shuttle::thread::scope(|scope| {
                    scope.spawn(|| both[0].run(world));
                    scope.spawn(|| both[1].run(world));
                    scope.spawn(|| beside(world));
                });
            });
            quietly(|| world.check());
        });
    })
}

/// Explores what happens when `actors` work at the same time.
pub fn race(plan: Plan, actors: &'static [Actor]) -> Outcome {
    explore(Plan { actors: actors.len(), ..plan }, move || {
        with_world(|world| {
            loudly(|| {
                shuttle::thread::scope(|scope| {
                    for act in actors {
                        scope.spawn(move || act(world));
                    }
                });
            });
            quietly(|| world.check());
        });
    })
}

/// The host process touches pages, and a device holds on to some.
fn beside(world: &World<'_, '_>) {
    for page in 0..PAGES {
        world.touch(page);
        world.pin(page);
    }
}
