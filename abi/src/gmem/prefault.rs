//! Mapping memory before the guest touches it.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// `struct kvm_pre_fault_memory`, the argument of `KVM_PRE_FAULT_MEMORY` on a vCPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct PreFaultMemory {
    /// Offset 0, in and out: guest-physical address, whole pages; afterwards where the rest begins.
    pub gpa: u64,
    /// Offset 8, in and out: bytes, whole pages, not 0; afterwards what is left.
    pub size: u64,
    /// Offset 16: must be 0.
    pub flags: u64,
    /// Offset 24: Linux 7.3 does not look at it.
    pub padding: [u64; 5],
}

impl PreFaultMemory {
    /// `size` bytes at guest-physical `gpa`.
    pub const fn new(gpa: u64, size: u64) -> Self {
        Self { gpa, size, flags: 0, padding: [0; 5] }
    }
}

const _: () = {
    use core::mem::offset_of;
    assert!(size_of::<PreFaultMemory>() == 64);
    assert!(offset_of!(PreFaultMemory, gpa) == 0 && offset_of!(PreFaultMemory, size) == 8);
    assert!(offset_of!(PreFaultMemory, flags) == 16 && offset_of!(PreFaultMemory, padding) == 24);
};
