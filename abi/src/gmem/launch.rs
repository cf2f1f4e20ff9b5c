//! The first pages of a guest that firmware measures: arguments of `KVM_MEMORY_ENCRYPT_OP`.
//!
//! Both requests advance their structure over what is done, so that a caller repeats the call with it until nothing is left.

use bitflags::bitflags;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// `struct kvm_sev_snp_launch_update`, the argument of `KVM_SEV_SNP_LAUNCH_UPDATE` (101) on a VM.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct SnpLaunchUpdate {
    /// Offset 0, in and out: guest frame number.
    pub gfn_start: u64,
    /// Offset 8, in and out: where the VMM has the bytes, whole pages; read for no page of zeroes.
    pub uaddr: u64,
    /// Offset 16, in and out: bytes, whole pages, not 0.
    pub len: u64,
    /// Offset 24: [`SnpPageType`].
    pub page_type: u8,
    /// Offset 25.
    pub pad0: u8,
    /// Offset 26: must be 0.
    pub flags: u16,
    /// Offset 28.
    pub pad1: u32,
    /// Offset 32.
    pub pad2: [u64; 4],
}

/// `struct kvm_sev_cmd`, the argument of `KVM_MEMORY_ENCRYPT_OP` on an SNP guest's VM.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct SevCommand {
    /// Offset 0: which command.
    pub id: u32,
    /// Offset 4.
    pub pad: u32,
    /// Offset 8: address of the command's own structure.
    pub data: u64,
    /// Offset 16, out: what firmware said.
    pub error: u32,
    /// Offset 20: descriptor of `/dev/sev`.
    pub sev_fd: u32,
}

impl SevCommand {
    /// `KVM_SEV_SNP_LAUNCH_UPDATE`, with a [`SnpLaunchUpdate`].
    pub const SNP_LAUNCH_UPDATE: u32 = 101;
}

/// `struct kvm_tdx_cmd`, the argument of `KVM_MEMORY_ENCRYPT_OP` on a TD's VM or vCPU.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct TdxCommand {
    /// Offset 0: which command.
    pub id: u32,
    /// Offset 4: what it means is the command's.
    pub flags: u32,
    /// Offset 8: address of the command's own structure.
    pub data: u64,
    /// Offset 16: must be 0; out: what the module said.
    pub hw_error: u64,
}

impl TdxCommand {
    /// `KVM_TDX_INIT_MEM_REGION`, on a vCPU, with a [`TdxInitMemRegion`] and [`TdxRegionFlags`].
    pub const INIT_MEM_REGION: u32 = 3;
}

/// `KVM_SEV_SNP_PAGE_TYPE_*`: what firmware does with a page. 2 is the kernel's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SnpPageType(pub u8);

impl SnpPageType {
    /// Bytes that are measured.
    pub const NORMAL: Self = Self(1);
    /// Zeroes that are measured.
    pub const ZERO: Self = Self(3);
    /// Bytes of which only the address is measured.
    pub const UNMEASURED: Self = Self(4);
    /// Firmware writes its secrets there.
    pub const SECRETS: Self = Self(5);
    /// The table of CPUID answers, which firmware may correct.
    pub const CPUID: Self = Self(6);
}

/// `struct kvm_tdx_init_mem_region`, the argument of `KVM_TDX_INIT_MEM_REGION` (3) on a vCPU.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct TdxInitMemRegion {
    /// Offset 0, in and out: where the VMM has the bytes, whole pages.
    pub source_addr: u64,
    /// Offset 8, in and out: guest-physical address, whole pages, by its private alias.
    pub gpa: u64,
    /// Offset 16, in and out: pages, not 0.
    pub nr_pages: u64,
}

bitflags! {
    /// `flags` of the command around [`TdxInitMemRegion`].
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub struct TdxRegionFlags: u32 {
        /// `KVM_TDX_MEASURE_MEMORY_REGION`: the contents are measured too.
        const MEASURE = 1 << 0;
    }
}

const _: () = {
    use core::mem::offset_of;
    assert!(size_of::<SnpLaunchUpdate>() == 64 && size_of::<TdxInitMemRegion>() == 24);
    assert!(offset_of!(SnpLaunchUpdate, gfn_start) == 0 && offset_of!(SnpLaunchUpdate, uaddr) == 8);
    assert!(offset_of!(SnpLaunchUpdate, len) == 16 && offset_of!(SnpLaunchUpdate, page_type) == 24);
    assert!(offset_of!(SnpLaunchUpdate, flags) == 26 && offset_of!(SnpLaunchUpdate, pad2) == 32);
    assert!(offset_of!(TdxInitMemRegion, source_addr) == 0 && offset_of!(TdxInitMemRegion, gpa) == 8);
    assert!(offset_of!(TdxInitMemRegion, nr_pages) == 16);
    assert!(size_of::<SevCommand>() == 24 && size_of::<TdxCommand>() == 24);
    assert!(offset_of!(SevCommand, id) == 0 && offset_of!(SevCommand, data) == 8);
    assert!(offset_of!(SevCommand, error) == 16 && offset_of!(SevCommand, sev_fd) == 20);
    assert!(offset_of!(TdxCommand, id) == 0 && offset_of!(TdxCommand, flags) == 4);
    assert!(offset_of!(TdxCommand, data) == 8 && offset_of!(TdxCommand, hw_error) == 16);
};
