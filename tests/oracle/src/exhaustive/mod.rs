//! Every reachable state of a small machine, and every call from each.
//!
//! Random calls find what is likely; this finds what is left. A [`Space`] says which pages, guests and calls there are and where
//! counting stops; [`explore()`] then makes every call from every state that calls can reach, to EL2 on a board and to the
//! specification, and compares answers and states.
//!
//! EL2 cannot be copied, so the exploration walks: a call that changes the state moves on to the new one, and where all calls
//! were made it goes, by calls seen before, to the nearest state where some were not. Every state can be left again
//! (VMs die, pages come back), so the walk ends only when nothing is left to try.
//!
//! | module | what it holds |
//! |---|---|
//! | [`space`] | the machines: pages, guests, calls, caps |
//! | [`state`] | a state as a number |
//! | [`mod@explore`] | the walk |
//! | [`map`] | states, what was tried in each, and the way to the next |

pub mod explore;
pub mod map;
pub mod space;
pub mod state;

pub use explore::{Found, explore};
pub use space::Space;
