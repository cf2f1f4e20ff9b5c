//! The ownership tracker: who owns each page of the machine, and who may change that.
//!
//! | module | what it answers |
//! |---|---|
//! | [`tracker`] | who owns this page; may it move there; hold it while it moves |
//! | `el2` (feature) | a host's or guest's call or fault came to EL2: what now? |
//!
//! The tracker never touches hardware. A *platform* (stage-2 tables here, an RMP, a firmware module) moves
//! the access rights while the tracker holds the pages in a [`tracker::Claim`].
#![no_std]
#![deny(unsafe_code)]

#[cfg(test)]
extern crate std;

#[cfg(feature = "el2")]
pub mod el2;
mod sync;
pub mod tracker;
