//! The host's side: whoever creates confidential guests and gives them memory.
//!
//! | module | what |
//! |---|---|
//! | [`convert`] | the front of every conversion: from a guest's request to its answer |
//! | [`exits`] | which exits of a vCPU are about memory, and what they say |
//! | [`faults`] | what a memory fault of a guest asks for |
//! | [`gmem`] | the provider: guest memory files for host kernels and hypervisors |
//! | `lease` (feature `std`) | who uses guest memory on the host's side, and how they let go |
//! | [`launch`] | giving a measured guest its first pages, to the end |
//! | `ram` (feature `std`) | the memory of one guest over KVM's requests: slots, both sides of it, conversions |
//! | [`platform`] | who enforces ownership, and the contract with it |
//! | `linux` (feature `linux`) | a client for Linux's KVM: VMs, guest memory files, vCPUs, exits |
//! | `vm_memory` (feature `vm-memory`) | guest memory for the crate `vm-memory`, where a private page is an error |
#![no_std]

#[cfg(any(test, feature = "std"))]
extern crate std;

pub mod convert;
pub mod exits;
pub mod faults;
pub mod gmem;
pub mod launch;
#[cfg(feature = "std")]
pub mod lease;
pub mod platform;
#[cfg(feature = "std")]
pub mod ram;
mod recent;

#[cfg(all(feature = "linux", target_os = "linux"))]
pub mod linux;

#[cfg(all(feature = "vm-memory", target_os = "linux"))]
pub mod vm_memory;
