//! The host's side: whoever creates confidential guests and gives them memory.
//!
//! | module | what |
//! |---|---|
//! | `linux` (feature `linux`) | a client for Linux's KVM: VMs, guest memory, vCPUs, exits |
#![no_std]

#[cfg(all(feature = "linux", target_os = "linux"))]
extern crate std;

#[cfg(all(feature = "linux", target_os = "linux"))]
pub mod linux;
