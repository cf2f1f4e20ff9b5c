//! The tracker under loom: every order of a few threads' accesses, and every stale value the orderings allow.
//!
//! A model builds a `World`, lets threads work on it and checks what is left. Regions have four pages here, a lock
//! word two regions and a chunk two lock words (`tenure_hyp::sync`). Beside the tracker stands the hardware that a region's lock guards: one access bit a page, in
//! plain memory, so that loom reports two threads that reach it without the lock's order between them.
//!
//! | module | what it holds |
//! |---|---|
//! | `world` | tracker, block pool, access bits, and the check at the end |
//! | `moves` | transitions as a hypervisor makes them: claim, take, content, publish |
//!
//! Without `--cfg loom` there is nothing here.
#![cfg(loom)]
#![allow(clippy::missing_panics_doc)] // A broken promise ends the model.

pub mod moves;
pub mod world;
