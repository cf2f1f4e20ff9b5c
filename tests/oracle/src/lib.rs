//! The oracle: page ownership once more, written as sets, to check the tracker against.
//!
//! The tracker is fast because it is clever: packed words, uniform regions, claims. The oracle is slow
//! because it is plain: a set for each fact, a loop over pages for each transition. It is written from
//! the behaviour rows (PK-01..PK-06, PK-09..PK-15, PK-25) and shares no code with the tracker. Only
//! [`lockstep`] knows the tracker: it makes the same calls to both and compares.
//!
//! | module | what it holds |
//! |---|---|
//! | [`spec`] | the state and the transitions |
//! | [`invariants`] | what must hold of every state: I1, I2, I4, I6, I9 |
//! | [`op`] | a call as data, so that it can be repeated and printed |
//! | [`trace`] | random calls that mostly make sense |
//! | [`rng`] | seeded random numbers |
//! | [`exhaustive`] | every call from every reachable state of small machines |
//! | [`lockstep`] | the tracker beside the specification, call by call |
#![forbid(unsafe_code)]

pub mod exhaustive;
pub mod invariants;
pub mod lockstep;
pub mod op;
pub mod rng;
pub mod spec;
pub mod trace;
