//! The words of guest memory files on Linux: what a VMM hands to KVM, and what KVM hands back.
//!
//! Structures and numbers only, exactly as they are on the wire. Every field keeps its raw type: a hostile or wrong
//! value must be sayable, and whoever receives one checks it. All sizes and offsets are in bytes, all structures are
//! the same on x86-64 and arm64.
//!
//! | module | what |
//! |---|---|
//! | [`ioctl`] | request numbers |
//! | [`capability`] | what can be asked for, and the structure that turns it on |
//! | [`create`] | a guest memory file |
//! | [`region`] | memory slots, with and without a file |
//! | [`attributes`] | private or shared: per VM by guest-physical address, per file by offset |
//! | [`launch`] | a guest's first pages, where firmware measures them |
//! | [`prefault`] | map before the guest touches |
//! | [`exit`] | why a vCPU stopped, as far as memory is concerned |
//! | [`hypercall`] | the guest's request to change pages |
//! | [`vm_type`] | kinds of VMs |
//!
//! Source: the kernel's `include/uapi/linux/kvm.h`, `include/uapi/linux/kvm_para.h` and `arch/x86/include/uapi/asm/kvm.h`
//! as of Linux 7.3; what only exists in the postings of the in-place conversion series says so.

pub mod attributes;
pub mod capability;
pub mod create;
pub mod exit;
pub mod hypercall;
pub mod ioctl;
pub mod launch;
pub mod prefault;
pub mod region;
pub mod vm_type;

pub use attributes::{Attributes, ContentFlags, MemoryAttributes, MemoryAttributes2};
pub use capability::{Capability, EnableCapability};
pub use create::{CreateFlags, CreateGuestMemfd};
pub use exit::{ExitReason, FaultFlags, HypercallExit, MemoryFaultExit, MmioExit, RunPage};
pub use hypercall::{MapGpaAttributes, MapGpaRange, MapGpaReply};
pub use launch::{SevCommand, SnpLaunchUpdate, SnpPageType, TdxCommand, TdxInitMemRegion, TdxRegionFlags};
pub use prefault::PreFaultMemory;
pub use region::{RegionFlags, UserspaceMemoryRegion, UserspaceMemoryRegion2};
pub use vm_type::VmType;

#[cfg(test)]
mod tests;
