//! The kernel's structures and numbers, named as in `include/uapi/linux/kvm.h` (Linux 7.3).
//!
//! Private: the rest of the client speaks in its own types. Structures that hold addresses of this process
//! hold them as `u64`, as the kernel does.

use core::mem::{offset_of, size_of};
use rustix::ioctl::{Opcode, opcode};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// `KVMIO`.
const KVMIO: u8 = 0xae;

/// `KVM_GET_API_VERSION`.
pub(super) const GET_API_VERSION: Opcode = opcode::none(KVMIO, 0x00);
/// `KVM_CREATE_VM`.
pub(super) const CREATE_VM: Opcode = opcode::none(KVMIO, 0x01);
/// `KVM_CHECK_EXTENSION`.
pub(super) const CHECK_EXTENSION: Opcode = opcode::none(KVMIO, 0x03);
/// `KVM_GET_VCPU_MMAP_SIZE`.
pub(super) const GET_VCPU_MMAP_SIZE: Opcode = opcode::none(KVMIO, 0x04);
/// `KVM_CREATE_VCPU`.
pub(super) const CREATE_VCPU: Opcode = opcode::none(KVMIO, 0x41);
/// `KVM_SET_USER_MEMORY_REGION`.
pub(super) const SET_USER_MEMORY_REGION: Opcode = opcode::write::<UserspaceMemoryRegion>(KVMIO, 0x46);
/// `KVM_SET_USER_MEMORY_REGION2`.
pub(super) const SET_USER_MEMORY_REGION2: Opcode = opcode::write::<UserspaceMemoryRegion2>(KVMIO, 0x49);
/// `KVM_RUN`.
pub(super) const RUN: Opcode = opcode::none(KVMIO, 0x80);
/// `KVM_GET_ONE_REG`.
pub(super) const GET_ONE_REG: Opcode = opcode::write::<OneReg>(KVMIO, 0xab);
/// `KVM_SET_ONE_REG`.
pub(super) const SET_ONE_REG: Opcode = opcode::write::<OneReg>(KVMIO, 0xac);
/// `KVM_ARM_VCPU_INIT`.
pub(super) const ARM_VCPU_INIT: Opcode = opcode::write::<VcpuInit>(KVMIO, 0xae);
/// `KVM_ARM_PREFERRED_TARGET`.
pub(super) const ARM_PREFERRED_TARGET: Opcode = opcode::read::<VcpuInit>(KVMIO, 0xaf);
/// `KVM_CREATE_GUEST_MEMFD`.
pub(super) const CREATE_GUEST_MEMFD: Opcode = opcode::read_write::<CreateGuestMemfd>(KVMIO, 0xd4);

/// `KVM_API_VERSION`: the only one there has ever been.
pub(super) const API_VERSION: i32 = 12;
/// `KVM_MEM_GUEST_MEMFD`.
pub(super) const MEM_GUEST_MEMFD: u32 = 1 << 2;

/// `struct kvm_userspace_memory_region`.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(super) struct UserspaceMemoryRegion {
    pub(super) slot: u32,
    pub(super) flags: u32,
    pub(super) guest_phys_addr: u64,
    pub(super) memory_size: u64,
    pub(super) userspace_addr: u64,
}

/// `struct kvm_userspace_memory_region2`.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(super) struct UserspaceMemoryRegion2 {
    pub(super) region: UserspaceMemoryRegion,
    pub(super) guest_memfd_offset: u64,
    pub(super) guest_memfd: u32,
    pub(super) pad1: u32,
    pub(super) pad2: [u64; 14],
}

/// `struct kvm_create_guest_memfd`.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(super) struct CreateGuestMemfd {
    pub(super) size: u64,
    pub(super) flags: u64,
    pub(super) reserved: [u64; 6],
}

/// `struct kvm_one_reg`.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(super) struct OneReg {
    pub(super) id: u64,
    pub(super) addr: u64,
}

/// `struct kvm_vcpu_init` (`arch/arm64/include/uapi/asm/kvm.h`).
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(super) struct VcpuInit {
    pub(super) target: u32,
    pub(super) features: [u32; 7],
}

/// The beginning of `struct kvm_run`: what every exit has.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(super) struct RunHeader {
    pub(super) request_interrupt_window: u8,
    pub(super) immediate_exit: u8,
    pub(super) padding: [u8; 6],
    pub(super) exit_reason: u32,
    pub(super) ready_for_interrupt_injection: u8,
    pub(super) if_flag: u8,
    pub(super) flags: u16,
    pub(super) cr8: u64,
    pub(super) apic_base: u64,
}

/// The union of `struct kvm_run`, by exit reason; as many bytes as any of them needs.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(super) struct RunPayload(pub(super) [u64; 4]);

/// `mmio`, exit reason 6.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(super) struct MmioExit {
    pub(super) phys_addr: u64,
    pub(super) data: [u8; 8],
    pub(super) len: u32,
    pub(super) is_write: u8,
    pub(super) padding: [u8; 11],
}

/// `system_event`, exit reason 24: its type, the number of data words, the first of them.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(super) struct SystemEventExit {
    pub(super) kind: u32,
    pub(super) ndata: u32,
    pub(super) data: [u64; 3],
}

/// `struct kvm_run`, up to where the client reads.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(super) struct Run {
    pub(super) header: RunHeader,
    pub(super) payload: RunPayload,
}

const _: () = {
    assert!(size_of::<UserspaceMemoryRegion>() == 32 && size_of::<UserspaceMemoryRegion2>() == 160);
    assert!(offset_of!(UserspaceMemoryRegion2, guest_memfd_offset) == 32);
    assert!(offset_of!(UserspaceMemoryRegion2, guest_memfd) == 40);
    assert!(size_of::<CreateGuestMemfd>() == 64 && size_of::<OneReg>() == 16 && size_of::<VcpuInit>() == 32);
    assert!(offset_of!(RunHeader, exit_reason) == 8 && offset_of!(RunHeader, flags) == 14);
    assert!(size_of::<RunHeader>() == 32 && offset_of!(Run, payload) == 32);
    assert!(offset_of!(MmioExit, data) == 8 && offset_of!(MmioExit, len) == 16);
    assert!(offset_of!(MmioExit, is_write) == 20 && size_of::<MmioExit>() == size_of::<RunPayload>());
    assert!(offset_of!(SystemEventExit, data) == 8 && size_of::<SystemEventExit>() == size_of::<RunPayload>());
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_have_the_kernels_numbers() {
        let expected: [(Opcode, u64); 13] = [
            (GET_API_VERSION, 0xae00),
            (CREATE_VM, 0xae01),
            (CHECK_EXTENSION, 0xae03),
            (GET_VCPU_MMAP_SIZE, 0xae04),
            (CREATE_VCPU, 0xae41),
            (SET_USER_MEMORY_REGION, 0x4020_ae46),
            (SET_USER_MEMORY_REGION2, 0x40a0_ae49),
            (RUN, 0xae80),
            (GET_ONE_REG, 0x4010_aeab),
            (SET_ONE_REG, 0x4010_aeac),
            (ARM_VCPU_INIT, 0x4020_aeae),
            (ARM_PREFERRED_TARGET, 0x8020_aeaf),
            (CREATE_GUEST_MEMFD, 0xc040_aed4),
        ];
        for (ours, kernels) in expected {
            assert_eq!(u64::from(ours), kernels);
        }
    }
}
