//! The ownership tracker: who owns each page of the machine, and who may change that.
//!
//! | module | what it answers |
//! |---|---|
//! | [`tracker`] | who owns this page; may it move there; hold it while it moves |
//!
//! The tracker never touches hardware. A *platform* (stage-2 tables, an RMP, a firmware module) moves
//! the access rights while the tracker holds the pages in a [`tracker::Claim`].
#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

pub mod tracker;
