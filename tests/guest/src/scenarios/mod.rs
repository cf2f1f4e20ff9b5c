//! The scenarios of [`tenure_test_protocol::Scenario`], one function each.

pub mod bench;
pub mod calls;
pub mod edges;
pub mod hostile_host;
pub mod ranges;
pub mod share_in_place;
pub mod storm;
