//! The host's side: whoever creates confidential guests and gives them memory.
//!
//! | module | what |
//! |---|---|
//! | [`gmem`] | the provider: guest memory files for host kernels and hypervisors |
//! | [`platform`] | who enforces ownership, and the contract with it |
//! | `linux` (feature `linux`) | a client for Linux's KVM: VMs, guest memory files, vCPUs, exits |
#![no_std]

#[cfg(any(test, all(feature = "linux", target_os = "linux")))]
extern crate std;

pub mod gmem;
pub mod platform;

#[cfg(all(feature = "linux", target_os = "linux"))]
pub mod linux;
