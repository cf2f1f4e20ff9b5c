//! What of the kernel's structures and numbers only this client needs; the rest is in `tenure_abi::gmem`.
//!
//! Private: the rest of the client speaks in its own types. Structures that hold addresses of this process
//! hold them as `u64`, as the kernel does.

use core::mem::{offset_of, size_of};
use rustix::ioctl::{Opcode, opcode};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// `KVMIO`.
const KVMIO: u8 = 0xae;

/// `KVM_GET_ONE_REG`.
pub(super) const GET_ONE_REG: Opcode = opcode::write::<OneReg>(KVMIO, 0xab);
/// `KVM_SET_ONE_REG`.
pub(super) const SET_ONE_REG: Opcode = opcode::write::<OneReg>(KVMIO, 0xac);
/// `KVM_ARM_VCPU_INIT`.
pub(super) const ARM_VCPU_INIT: Opcode = opcode::write::<VcpuInit>(KVMIO, 0xae);
/// `KVM_ARM_PREFERRED_TARGET`.
pub(super) const ARM_PREFERRED_TARGET: Opcode = opcode::read::<VcpuInit>(KVMIO, 0xaf);

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

/// `system_event`, exit reason 24: its type, the number of data words, the first of them.
#[derive(Clone, Copy, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(super) struct SystemEventExit {
    pub(super) kind: u32,
    pub(super) ndata: u32,
    pub(super) data: [u64; 3],
}

const _: () = {
    assert!(size_of::<OneReg>() == 16 && size_of::<VcpuInit>() == 32);
    assert!(offset_of!(SystemEventExit, data) == 8);
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_have_the_kernels_numbers() {
        let expected: [(Opcode, u64); 4] = [
            (GET_ONE_REG, 0x4010_aeab),
            (SET_ONE_REG, 0x4010_aeac),
            (ARM_VCPU_INIT, 0x4020_aeae),
            (ARM_PREFERRED_TARGET, 0x8020_aeaf),
        ];
        for (ours, kernels) in expected {
            assert_eq!(u64::from(ours), kernels);
        }
    }
}
