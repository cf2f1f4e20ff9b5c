//! The VM table.
//!
//! | life | who may do what |
//! |---|---|
//! | free | the slot can be taken by `VM_CREATE` |
//! | live | vCPUs run, pages move |
//! | dying | nothing runs; pages can be reclaimed |
//! | draining | emptied and unmapped; its own pages go back to the host, some per call |
//!
//! A slot is freed only when its VM owns and maps nothing and its VMID is flushed; then its generation goes up, so
//! handles of the old VM are stale.

use super::vcpu::{VCPUS_PER_VM, Vcpu};
use super::{El2, Hardware};
use core::num::NonZeroU32;
use tenure_abi::service::VmKind;
use tenure_abi::{Error, FrameRange, Gfn, Identity as _, Located, Pfn, VmHandle, VmSlot};
use tenure_arch::lock::{Guard, Locked};
use tenure_arch::mask;
use tenure_arch::pages::{TablePages, TableStack};
use tenure_arch::stage2::{Leaf, Lookup, Note, Stage2};

/// Pages that one call at EL2 scrubs at most: its stated residency is 2 MiB of content work.
pub(super) const SCRUB_PAGES: u64 = 512;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Life {
    Free,
    Live,
    Dying,
    Draining,
}

pub(super) struct Vm<'m, H: Hardware> {
    pub(super) life: Life,
    pub(super) kind: VmKind,
    pub(super) generation: NonZeroU32,
    /// The forward map gfn → frame; there in every life but free.
    pub(super) map: Option<Stage2<'m, H>>,
    root: Option<FrameRange<Pfn>>,
    /// Free table pages, the hypervisor's, donated for this VM.
    pub(super) pages: Option<TableStack<'m, H>>,
    /// Pages whose entry names this VM.
    pub(super) owned: u64,
    /// Pages of the host mapped for this VM (non-protected).
    pub(super) mapped: u64,
    pub(super) vcpus: [Vcpu; VCPUS_PER_VM],
}

/// One place of the VM table: static memory of the image.
pub struct VmCell<'m, H: Hardware>(Locked<Vm<'m, H>, H::Lock>);

impl<H: Hardware> VmCell<'_, H> {
    /// A free place.
    pub const fn new() -> Self {
        Self(Locked::new(Vm {
            life: Life::Free,
            kind: VmKind::Protected,
            generation: NonZeroU32::MIN,
            map: None,
            root: None,
            pages: None,
            owned: 0,
            mapped: 0,
            vcpus: [const { Vcpu::Free }; VCPUS_PER_VM],
        }))
    }
}

impl<H: Hardware> Default for VmCell<'_, H> {
    fn default() -> Self {
        Self::new()
    }
}

/// A VM, locked.
pub(super) type VmGuard<'a, 'm, H> = Guard<'a, Vm<'m, H>, <H as Hardware>::Lock>;
