//! Memory slots: which guest-physical range shows which memory of the host.

use bitflags::bitflags;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// `struct kvm_userspace_memory_region`, the argument of `KVM_SET_USER_MEMORY_REGION`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct UserspaceMemoryRegion {
    /// Offset 0: bits 0..16 number of the slot, bits 16..32 address space.
    pub slot: u32,
    /// Offset 4: [`RegionFlags`].
    pub flags: u32,
    /// Offset 8: guest-physical address of the first byte, whole pages.
    pub guest_phys_addr: u64,
    /// Offset 16: bytes, whole pages; 0 deletes the slot.
    pub memory_size: u64,
    /// Offset 24: address in the VMM's process, whole pages.
    pub userspace_addr: u64,
}

/// `struct kvm_userspace_memory_region2`, the argument of `KVM_SET_USER_MEMORY_REGION2`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct UserspaceMemoryRegion2 {
    /// Offset 0: what the older structure has.
    pub region: UserspaceMemoryRegion,
    /// Offset 32: where in the file the slot begins, whole pages.
    pub guest_memfd_offset: u64,
    /// Offset 40: descriptor of the file; read only with [`RegionFlags::GUEST_MEMFD`].
    pub guest_memfd: u32,
    /// Offset 44.
    pub pad1: u32,
    /// Offset 48.
    pub pad2: [u64; 14],
}

bitflags! {
    /// What kind of slot.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub struct RegionFlags: u32 {
        /// `KVM_MEM_LOG_DIRTY_PAGES`; not together with a file.
        const LOG_DIRTY_PAGES = 1 << 0;
        /// `KVM_MEM_READONLY`; not together with a file.
        const READONLY = 1 << 1;
        /// `KVM_MEM_GUEST_MEMFD`: private memory, or all of it, comes from a guest memory file; only the newer request.
        const GUEST_MEMFD = 1 << 2;
    }
}

const _: () = {
    use core::mem::offset_of;
    assert!(size_of::<UserspaceMemoryRegion>() == 32 && size_of::<UserspaceMemoryRegion2>() == 160);
    assert!(offset_of!(UserspaceMemoryRegion, slot) == 0 && offset_of!(UserspaceMemoryRegion, flags) == 4);
    assert!(offset_of!(UserspaceMemoryRegion, guest_phys_addr) == 8);
    assert!(offset_of!(UserspaceMemoryRegion, memory_size) == 16);
    assert!(offset_of!(UserspaceMemoryRegion, userspace_addr) == 24);
    assert!(offset_of!(UserspaceMemoryRegion2, region) == 0);
    assert!(offset_of!(UserspaceMemoryRegion2, guest_memfd_offset) == 32);
    assert!(offset_of!(UserspaceMemoryRegion2, guest_memfd) == 40);
    assert!(offset_of!(UserspaceMemoryRegion2, pad1) == 44 && offset_of!(UserspaceMemoryRegion2, pad2) == 48);
};
