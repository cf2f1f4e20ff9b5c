//! A hosted machine: what an operating system's or hypervisor's page-table code runs on, as an ordinary program.
//!
//! It is written from the Arm ARM and knows no hypervisor: it shares no decoder with the code under test, reads the
//! tables that code wrote as a CPU would, and is at every point as lazy and as hasty as the architecture allows.
//!
//! | module | what it stands for |
//! |---|---|
//! | [`memory`] | RAM: sparse frames of 512 words |
//! | [`atomic`] | a word that software shares between CPUs; each access is a primitive |
//! | [`walk`] | the table walker: raw descriptors, read as the manual says |
//! | [`tlb`] | what a CPU or device remembers of walks, until TLBI *and* DSB |
//! | [`machine`] | the whole: accesses by CPUs and devices, TLBI, DSB |
//! | [`smmu`] | which device sees which memory |
//! | [`step`] | a primitive, and who may run before it; failures at a primitive by number |
//! | [`schedule`] | many schedules, each made by a seed and made again by it |
//! | [`lock`] | a lock bit whose waiters let others run |
//!
//! # Actors
//! CPUs are the tasks of [`schedule::explore`]. They run one at a time, and any other may run between two
//! primitives: a shared word read or written, a frame filled, an access through a TLB, a TLBI, a DSB, a lock taken or given up.
//!
//! # Limits
//! Software sees every store at once, in one order, so a weak atomic ordering goes unnoticed here (loom finds those); only walkers may
//! see stores late, until a DSB. An access and the translation it uses are one primitive.

pub mod atomic;
pub mod lock;
pub mod machine;
pub mod memory;
pub mod schedule;
pub mod smmu;
pub mod step;
mod stores;
pub mod tlb;
pub mod walk;

pub use machine::{Access, Machine, Seat};
pub use memory::{Frame, Memory, WORDS};
pub use schedule::{Found, Outcome, Plan, explore};
pub use walk::{Fault, Regime};
