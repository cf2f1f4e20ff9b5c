//! Two targets in lock-step: random operations, every answer compared, and every so often all that can be seen.
//!
//! | module | what |
//! |---|---|
//! | `op` | one operation, in numbers that mean the same on both sides |
//! | `world` | what one side has open, by the places that operations name |
//! | `apply` | an operation on one side, and what it answered |
//! | `survey` | everything that can be seen of one side |
//! | `limits` | what both sides can do |
//! | `pick` | the next operation |
//! | `pairs` | which operation has followed which |
//! | `run` | the loop, and the way from a difference to the few operations that show it |
//!
//! Operations name places, not handles: any part of a list of operations can be played on fresh sides.

mod apply;
mod limits;
mod op;
mod pairs;
mod pick;
mod rng;
mod run;
mod survey;
mod world;

pub use op::{Kind, Op, Other, Place, Slot, SlotFile};
pub use pairs::Pairs;
pub use run::{Difference, Report, run};
