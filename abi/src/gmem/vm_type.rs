//! Kinds of VMs: the argument of `KVM_CREATE_VM`.

/// A `KVM_X86_*_VM` number; on arm64 a width of addresses and the bit of protection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct VmType(pub u64);

impl VmType {
    /// `KVM_X86_DEFAULT_VM`: without private memory.
    pub const DEFAULT: Self = Self(0);
    /// `KVM_X86_SW_PROTECTED_VM`: private memory without encryption, for tests.
    pub const SW_PROTECTED: Self = Self(1);
    /// `KVM_X86_SEV_VM`: encrypted, no private memory in the sense of guest memory files.
    pub const SEV: Self = Self(2);
    /// `KVM_X86_SEV_ES_VM`: as [`VmType::SEV`], registers too.
    pub const SEV_ES: Self = Self(3);
    /// `KVM_X86_SNP_VM`: private memory, enforced by the RMP.
    pub const SNP: Self = Self(4);
    /// `KVM_X86_TDX_VM`: private memory, enforced by the TDX module.
    pub const TDX: Self = Self(5);
    /// `KVM_VM_TYPE_ARM_PROTECTED`: the bit of arm64's types that makes a VM protected; bits 0..8 are the width of its
    /// addresses.
    pub const ARM_PROTECTED: Self = Self(1 << 31);
}
