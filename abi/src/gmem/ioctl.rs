//! Request numbers: direction, size of the argument, the letter of KVM and a number, as `_IOC` packs them.
//!
//! | bits | meaning |
//! |---|---|
//! | 0..8 | number |
//! | 8..16 | 0xae, KVM |
//! | 16..30 | size of the argument in bytes |
//! | 30 | the kernel reads the argument |
//! | 31 | the kernel writes the argument |

use super::{
    CreateGuestMemfd, EnableCapability, MemoryAttributes, MemoryAttributes2, PreFaultMemory, UserspaceMemoryRegion,
    UserspaceMemoryRegion2,
};

const NONE: u32 = 0;
const READS: u32 = 1 << 30;
const WRITES: u32 = 1 << 31;

const fn request(direction: u32, number: u8, bytes: usize) -> u32 {
    direction | (bytes as u32) << 16 | 0xae << 8 | number as u32
}

/// `KVM_GET_API_VERSION`, on `/dev/kvm`.
pub const GET_API_VERSION: u32 = request(NONE, 0x00, 0);
/// `KVM_CREATE_VM`, on `/dev/kvm`; the argument is the type, the answer a descriptor.
pub const CREATE_VM: u32 = request(NONE, 0x01, 0);
/// `KVM_CHECK_EXTENSION`, on `/dev/kvm` or a VM; the argument is a [`super::Capability`], the answer its value.
pub const CHECK_EXTENSION: u32 = request(NONE, 0x03, 0);
/// `KVM_GET_VCPU_MMAP_SIZE`, on `/dev/kvm`.
pub const GET_VCPU_MMAP_SIZE: u32 = request(NONE, 0x04, 0);
/// `KVM_CREATE_VCPU`, on a VM; the argument is the number of the vCPU, the answer a descriptor.
pub const CREATE_VCPU: u32 = request(NONE, 0x41, 0);
/// `KVM_SET_USER_MEMORY_REGION`, on a VM.
pub const SET_USER_MEMORY_REGION: u32 = request(READS, 0x46, size_of::<UserspaceMemoryRegion>());
/// `KVM_SET_USER_MEMORY_REGION2`, on a VM; since Linux 6.8.
pub const SET_USER_MEMORY_REGION2: u32 = request(READS, 0x49, size_of::<UserspaceMemoryRegion2>());
/// `KVM_RUN`, on a vCPU.
pub const RUN: u32 = request(NONE, 0x80, 0);
/// `KVM_ENABLE_CAP`, on a VM.
pub const ENABLE_CAP: u32 = request(READS, 0xa3, size_of::<EnableCapability>());
/// `KVM_MEMORY_ENCRYPT_OP`, on a VM or vCPU; the argument is a [`super::SevCommand`] or [`super::TdxCommand`], declared as a `long`.
pub const MEMORY_ENCRYPT_OP: u32 = request(READS | WRITES, 0xba, 8);
/// `KVM_SET_MEMORY_ATTRIBUTES`, on a VM; since Linux 6.8.
pub const SET_MEMORY_ATTRIBUTES: u32 = request(READS, 0xd2, size_of::<MemoryAttributes>());
/// `KVM_SET_MEMORY_ATTRIBUTES2`, on a guest memory file; only in the in-place conversion series, from its RFC v2 on.
pub const SET_MEMORY_ATTRIBUTES2: u32 = request(READS | WRITES, 0xd2, size_of::<MemoryAttributes2>());
/// `KVM_CREATE_GUEST_MEMFD`, on a VM; the answer is a descriptor; since Linux 6.8.
pub const CREATE_GUEST_MEMFD: u32 = request(READS | WRITES, 0xd4, size_of::<CreateGuestMemfd>());
/// `KVM_PRE_FAULT_MEMORY`, on a vCPU; since Linux 6.11.
pub const PRE_FAULT_MEMORY: u32 = request(READS | WRITES, 0xd5, size_of::<PreFaultMemory>());

/// The only answer to [`GET_API_VERSION`] there has ever been.
pub const API_VERSION: i32 = 12;
