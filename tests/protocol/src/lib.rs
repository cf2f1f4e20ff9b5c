//! What the test guest and whoever runs it agree on.
//!
//! One guest blob runs under two hosts: a VMM on a real Linux kernel, and a bare-metal host at EL1 over
//! Tenure's own EL2. Both place it alike ([`layout`]), start it alike ([`scenario`]), listen to the same
//! registers ([`mailbox`]) and write the same words about what they see ([`observation`]), so that the
//! two transcripts can be compared line by line.
//!
//! The guest *drives*: it stores to the mailbox, the store exits to the host, the host does what the
//! register asks for and continues the guest. The host never answers through the mailbox; the guest
//! sees what the host did in its own memory.
#![no_std]
#![forbid(unsafe_code)]

pub mod layout;
pub mod mailbox;
pub mod observation;
pub mod scenario;

pub use layout::Page;
pub use mailbox::{Event, Exception, Measure};
pub use observation::{Denied, Ending, Observation};
pub use scenario::{Entry, Scenario, Step};
