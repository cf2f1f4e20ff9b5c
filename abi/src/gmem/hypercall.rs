//! `KVM_HC_MAP_GPA_RANGE`: the guest asks its host to make pages private or shared.
//!
//! KVM itself checks only that the address is aligned, that there is at least one page and that the range does not wrap;
//! everything else reaches the VMM as the guest said it.

use bitflags::bitflags;

/// The number of the hypercall; as a bit of a bitmap it enables the exit, see
/// [`super::Capability::EXIT_HYPERCALL`].
pub const MAP_GPA_RANGE: u64 = 12;
/// `KVM_FEATURE_HC_MAP_GPA_RANGE`: the bit of CPUID that tells a guest of it.
pub const FEATURE_BIT: u32 = 16;

/// The arguments, in order: `a0`, `a1`, `a2`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MapGpaRange {
    /// Guest-physical address in bytes.
    pub gpa: u64,
    /// Number of pages of 4 KiB.
    pub pages: u64,
    /// [`MapGpaAttributes`]; the rest must be 0, which nobody before the VMM checks.
    pub attributes: u64,
}

bitflags! {
    /// What the guest asks for. Bits 0..4 are a number, the size of page it would like: 0 is 4 KiB, 1 is 2 MiB, 2 is
    /// 1 GiB.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub struct MapGpaAttributes: u64 {
        /// It would like pages of 2 MiB.
        const SIZE_2M = 1;
        /// It would like pages of 1 GiB.
        const SIZE_1G = 2;
        /// The number as a whole.
        const SIZE_MASK = 0xf;
        /// Private; without it, shared.
        const ENCRYPTED = 1 << 4;
    }
}

/// What a VMM may reply: with anything else the next `KVM_RUN` of an SNP or TDX guest fails with `EINVAL`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapGpaReply {
    /// All of it was done.
    Done,
    /// `EAGAIN`: not all of it; ask again.
    Again,
    /// `EINVAL`: refused.
    Invalid,
}

impl MapGpaReply {
    /// Every reply.
    pub const ALL: [Self; 3] = [Self::Done, Self::Again, Self::Invalid];

    /// The value of `kvm_run.hypercall.ret`.
    pub const fn to_raw(self) -> u64 {
        match self {
            Self::Done => 0,
            Self::Again => 11,
            Self::Invalid => 22,
        }
    }
}
