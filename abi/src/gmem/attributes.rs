//! Private or shared, as user space sets it.

use bitflags::bitflags;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// `struct kvm_memory_attributes`, the argument of `KVM_SET_MEMORY_ATTRIBUTES` on a VM.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct MemoryAttributes {
    /// Offset 0: guest-physical address, whole pages.
    pub address: u64,
    /// Offset 8: bytes, whole pages, not 0.
    pub size: u64,
    /// Offset 16: [`Attributes`].
    pub attributes: u64,
    /// Offset 24: must be 0.
    pub flags: u64,
}

/// `struct kvm_memory_attributes2`, the argument of `KVM_SET_MEMORY_ATTRIBUTES2` on a guest memory file.
///
/// In no release of Linux up to 7.3: only in the in-place conversion series.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct MemoryAttributes2 {
    /// Offset 0: byte offset in the file, whole pages.
    pub offset: u64,
    /// Offset 8: bytes, whole pages, not 0.
    pub size: u64,
    /// Offset 16: [`Attributes`].
    pub attributes: u64,
    /// Offset 24: must be 0; [`ContentFlags`] in the RFC revisions 3 to 5.
    pub flags: u64,
    /// Offset 32, out: byte offset of the first page that stood in the way; untouched on success.
    pub error_offset: u64,
    /// Offset 40: must be 0.
    pub reserved: [u64; 11],
}

impl MemoryAttributes {
    /// `size` bytes at guest-physical `address`.
    pub const fn new(address: u64, size: u64, attributes: Attributes) -> Self {
        Self { address, size, attributes: attributes.bits(), flags: 0 }
    }
}

impl MemoryAttributes2 {
    /// `size` bytes of the file at byte `offset`.
    pub const fn new(offset: u64, size: u64, attributes: Attributes) -> Self {
        Self { offset, size, attributes: attributes.bits(), flags: 0, error_offset: 0, reserved: [0; 11] }
    }
}

bitflags! {
    /// What can be said of a page; none of them means shared.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub struct Attributes: u64 {
        /// `KVM_MEMORY_ATTRIBUTE_PRIVATE`: the guest has it to itself.
        const PRIVATE = 1 << 3;
    }

    /// What becomes of the bytes when a page is converted; none of them is no promise.
    ///
    /// In no kernel, and in no posting of the series after RFC v5: flags must be 0 everywhere else. Both at once are
    /// refused.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub struct ContentFlags: u64 {
        /// Whoever may read them afterwards reads zeros.
        const ZERO = 1 << 0;
        /// The last plaintext stays readable.
        const PRESERVE = 1 << 1;
    }
}

const _: () = {
    use core::mem::offset_of;
    assert!(size_of::<MemoryAttributes>() == 32 && size_of::<MemoryAttributes2>() == 128);
    assert!(offset_of!(MemoryAttributes, address) == 0 && offset_of!(MemoryAttributes, size) == 8);
    assert!(offset_of!(MemoryAttributes, attributes) == 16 && offset_of!(MemoryAttributes, flags) == 24);
    assert!(offset_of!(MemoryAttributes2, offset) == 0 && offset_of!(MemoryAttributes2, size) == 8);
    assert!(offset_of!(MemoryAttributes2, attributes) == 16 && offset_of!(MemoryAttributes2, flags) == 24);
    assert!(offset_of!(MemoryAttributes2, error_offset) == 32 && offset_of!(MemoryAttributes2, reserved) == 40);
};
