//! What the EL2 image and the host payload both know about the QEMU `virt` board.
//!
//! | module | idea |
//! |---|---|
//! | [`layout`] | which physical address is whose |
//! | [`uart`] | text out, one line at a time |
//! | [`exit`] | end the run with a code |
//! | [`reg`] | system registers by name |
//! | [`selftest`] | calls that try the runtime |
#![no_std]

pub mod exit;
pub mod layout;
pub mod reg;
pub mod selftest;
pub mod uart;
