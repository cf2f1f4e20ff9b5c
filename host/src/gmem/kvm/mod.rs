//! KVM's own interface over the provider: what user space says to a host kernel or hypervisor that offers it, and what it
//! gets back.
//!
//! Everything here is above a [`super::File`]: which requests there are, what each field of each structure may hold, in
//! which order faults in them are found, and which errno each has. Nothing is trusted; a refused request has changed nothing.
//! Kernels differ, so every [`Vm`] behaves as one [`Personality`] says.
//!
//! The integrator keeps descriptors ([`Files`], with [`Descriptors`] to help), copies structures in and out, and holds one
//! lock per VM: for writing around the methods that take `&mut self` (and until it has removed the guest mappings that they
//! name), for reading around the others.
//!
//! | module | what |
//! |---|---|
//! | `personality` | the kernels, and the one table of how they differ |
//! | `host` | how a kernel is built: kinds of VMs, requests, capabilities |
//! | `files`, `descriptors` | what descriptors stand for |
//! | `vm`, `slots` | one VM and its memory slots |
//! | `create` | `KVM_CREATE_GUEST_MEMFD`, and how such a file may be mapped |
//! | `region` | `KVM_SET_USER_MEMORY_REGION` and its successor |
//! | `attributes` | `KVM_SET_MEMORY_ATTRIBUTES`: by guest-physical address |
//! | `convert` | `KVM_SET_MEMORY_ATTRIBUTES2`: on a file, in place |
//! | `space` | `fallocate` |
//! | `backing` | a VM's memory as what stands behind [`crate::convert::Front`] |
//! | `resolve` | what a guest's access meets |
//! | `prefault` | `KVM_PRE_FAULT_MEMORY` |
//! | `launch`, `launch_update`, `init_mem_region` | the pages that a guest starts with |
//! | `hypercall` | `KVM_HC_MAP_GPA_RANGE`, as far as KVM answers it |

mod attributes;
mod backing;
mod convert;
mod create;
mod descriptors;
mod files;
mod host;
mod hypercall;
mod init_mem_region;
mod launch;
mod launch_update;
mod personality;
mod prefault;
mod region;
mod resolve;
mod slots;
mod space;
mod vm;

pub use backing::VmMemory;
pub use create::{Created, may_map};
pub use descriptors::Descriptors;
pub use files::{Descriptor, Files, OpenFile};
pub use host::{Host, Kind, On};
pub use hypercall::{Hypercall, KVM_ENOSYS};
pub use init_mem_region::TdxCommand;
pub use launch::{LaunchFailed, Stage};
pub use personality::{Answers, InPlace, Personality};
pub use prefault::Mmu;
pub use resolve::{Guest, Met, Unserved};
pub use slots::{Backing, Slot};
pub use space::fallocate;
pub use vm::Vm;

use tenure_abi::{Errno, Error, Interface, PAGE_SIZE};

/// The errno that `error` has on an interface whose codes are negative errnos.
fn errno(error: Error, interface: Interface) -> Errno {
    u16::try_from(-error.code(interface)).map_or(Errno::EIO, Errno)
}

/// Whether both are whole pages.
const fn pages(one: u64, other: u64) -> bool {
    (one | other).is_multiple_of(PAGE_SIZE)
}
