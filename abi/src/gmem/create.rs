//! A guest memory file: a file without a name whose pages a guest can have to itself.

use bitflags::bitflags;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// `struct kvm_create_guest_memfd`, the argument of `KVM_CREATE_GUEST_MEMFD`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct CreateGuestMemfd {
    /// Offset 0: bytes, whole pages, not 0; the kernel takes it as signed. It never changes.
    pub size: u64,
    /// Offset 8: [`CreateFlags`].
    pub flags: u64,
    /// Offset 16: Linux 6.18 and 7.3 do not look at it.
    pub reserved: [u64; 6],
}

impl CreateGuestMemfd {
    /// A file of `size` bytes.
    pub const fn new(size: u64, flags: CreateFlags) -> Self {
        Self { size, flags: flags.bits(), reserved: [0; 6] }
    }
}

bitflags! {
    /// How a file is made. Which of them a VM allows, [`super::Capability::GUEST_MEMFD_FLAGS`] says.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub struct CreateFlags: u64 {
        /// `GUEST_MEMFD_FLAG_MMAP`: it can be mapped, and slots bound to it never use their `userspace_addr`.
        const MMAP = 1 << 0;
        /// `GUEST_MEMFD_FLAG_INIT_SHARED`: all of it starts shared; without it all of it starts private.
        const INIT_SHARED = 1 << 1;
    }
}

const _: () = {
    use core::mem::offset_of;
    assert!(size_of::<CreateGuestMemfd>() == 64);
    assert!(offset_of!(CreateGuestMemfd, size) == 0 && offset_of!(CreateGuestMemfd, flags) == 8);
    assert!(offset_of!(CreateGuestMemfd, reserved) == 16);
};
