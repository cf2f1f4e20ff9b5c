//! What a kernel, or one VM, says that it offers.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// A `KVM_CAP_*` number. The answer to it is an integer, often a bitmap, and 0 from a kernel that does not know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Capability(pub u32);

impl Capability {
    /// `KVM_CAP_ARM_VM_IPA_SIZE`: the widest guest-physical address in bits.
    pub const ARM_VM_IPA_SIZE: Self = Self(165);
    /// `KVM_CAP_EXIT_HYPERCALL`: the bitmap of hypercalls that can exit to the VMM; enabled with such a bitmap.
    pub const EXIT_HYPERCALL: Self = Self(201);
    /// `KVM_CAP_USER_MEMORY2`: whether there is `KVM_SET_USER_MEMORY_REGION2`.
    pub const USER_MEMORY2: Self = Self(231);
    /// `KVM_CAP_MEMORY_FAULT_INFO`: whether a failed run describes the memory fault.
    pub const MEMORY_FAULT_INFO: Self = Self(232);
    /// `KVM_CAP_MEMORY_ATTRIBUTES`: the bitmap of [`super::Attributes`] that can be set by guest-physical address.
    pub const MEMORY_ATTRIBUTES: Self = Self(233);
    /// `KVM_CAP_GUEST_MEMFD`: whether guest memory files can be made.
    pub const GUEST_MEMFD: Self = Self(234);
    /// `KVM_CAP_VM_TYPES`: the bitmap of [`super::VmType`]s on x86; 0 on arm64, where the type's bits are simply tried.
    pub const VM_TYPES: Self = Self(235);
    /// `KVM_CAP_PRE_FAULT_MEMORY`: 1 where guests have two-dimensional paging.
    pub const PRE_FAULT_MEMORY: Self = Self(236);
    /// `KVM_CAP_GUEST_MEMFD_FLAGS`: the bitmap of [`super::CreateFlags`]; since Linux 6.18.
    pub const GUEST_MEMFD_FLAGS: Self = Self(244);
    /// The numbers under which revisions of the in-place conversion series, and unrelated kernels, answer something.
    ///
    /// The same number means different things on different kernels, so its value proves nothing: what
    /// `KVM_SET_MEMORY_ATTRIBUTES2` on a file answers does.
    pub const CONTESTED: [Self; 3] = [Self(249), Self(250), Self(251)];
}

/// `struct kvm_enable_cap`, the argument of `KVM_ENABLE_CAP`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct EnableCapability {
    /// Offset 0: the number of the capability.
    pub capability: u32,
    /// Offset 4: none is defined.
    pub flags: u32,
    /// Offset 8: what they mean depends on the capability.
    pub arguments: [u64; 4],
    /// Offset 40.
    pub padding: [u64; 8],
}

impl EnableCapability {
    /// Enables `capability` with one argument.
    pub const fn new(capability: Capability, argument: u64) -> Self {
        Self { capability: capability.0, flags: 0, arguments: [argument, 0, 0, 0], padding: [0; 8] }
    }
}

const _: () = {
    use core::mem::offset_of;
    assert!(size_of::<EnableCapability>() == 104);
    assert!(offset_of!(EnableCapability, flags) == 4 && offset_of!(EnableCapability, arguments) == 8);
    assert!(offset_of!(EnableCapability, padding) == 40);
};
