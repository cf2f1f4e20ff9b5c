//! What is under test: everything that a VMM, its processes and its guest can do to guest memory files.
//!
//! | trait | who acts |
//! |---|---|
//! | [`Vmm`] | the VMM, by KVM's requests |
//! | [`Files`] | the VMM, by system calls on the file |
//! | [`Memory`] | processes that have the file mapped |
//! | [`Guest`] | the guest |
//!
//! Arguments are the raw wire structures, so that every malformed value can be said; answers are errnos. Nothing here is
//! a pointer or a descriptor: a target is a real kernel, or a provider whose memory is a model in this process. All
//! handles that a caller passes are handles this target has given out and that are still open: a target may panic on
//! others, because that is a mistake in the test.
//!
//! Slot 0 and the first 64 KiB of guest-physical memory ([`OWN_MEMORY`]) are the target's own: it keeps the few
//! instructions of its guests there. Guests can touch addresses below 4 GiB ([`GUEST_LIMIT`]) only.

mod files;
mod guest;
mod memory;
mod vmm;
mod words;

pub use files::{FileCall, Files, Foreign, Stat};
pub use guest::{Called, Guest, Stop};
pub use memory::{Fault, MapKind, Memory, MemoryCall, Signal};
pub use tenure_host::gmem::kvm::Personality;
pub use vmm::Vmm;
pub use words::{Answer, FileId, MappingId, PinId, ProcessId, VmId};

/// Bytes of guest-physical memory, from 0 on, that a target keeps to itself in slot 0.
pub const OWN_MEMORY: u64 = 0x1_0000;

/// The first guest-physical address that guests cannot touch.
pub const GUEST_LIMIT: u64 = 1 << 32;

/// Which way a guest's own accesses take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GuestPath {
    /// The MMU of guests takes pages from the file.
    Paged,
    /// There is no paging for guests: KVM emulates their accesses, through `userspace_addr` and never the file.
    Emulated,
}

/// What this target is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    /// Its name in reports, for example `linux-6.18.44`.
    pub name: String,
    /// Which kernel it behaves as.
    pub personality: Personality,
    /// How its guests get at memory.
    pub guest: GuestPath,
    /// Whether files can be converted in place, by `KVM_SET_MEMORY_ATTRIBUTES2`.
    pub in_place: bool,
}

/// A real kernel or a provider.
pub trait Target: Vmm + Files + Memory + Guest {
    /// What it is; never changes.
    fn machine(&self) -> &Machine;

    /// Ends everything that is still open: processes, pins, mappings, files, VMs. Handles given out before are void.
    fn reset(&mut self);
}
