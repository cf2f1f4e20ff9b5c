//! What is particular to arm64: kinds of VMs, and the names of a vCPU's registers.
//!
//! Sources: `Documentation/virt/kvm/api.rst` (`KVM_CREATE_VM`, `KVM_SET_ONE_REG`),
//! `arch/arm64/include/uapi/asm/kvm.h`; bit 31 of the type as Linux 7.3 has it.

use tenure_abi::gmem::VmType;
use tenure_abi::{AddressWidth, Error};

/// The kind of a VM whose memory stays readable for the host: the width of its addresses, bits 0..8.
///
/// # Errors
/// [`Error::Invalid`] for addresses wider than arm64 guests can have (48 bits).
pub fn plain(width: AddressWidth) -> Result<VmType, Error> {
    if width > AddressWidth::GUEST_MAX {
        return Err(Error::Invalid);
    }
    Ok(VmType(width.bits().into()))
}

/// The kind of a protected VM: the host has no access to what the guest does not share.
///
/// # Errors
/// As [`plain`].
pub fn protected(width: AddressWidth) -> Result<VmType, Error> {
    plain(width).map(|VmType(bits)| VmType(bits | VmType::ARM_PROTECTED.0))
}

/// A 64-bit core register of a vCPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Register(u64);

impl Register {
    /// `KVM_REG_ARM64 | KVM_REG_SIZE_U64 | KVM_REG_ARM_CORE`; the index counts 32-bit words of `struct kvm_regs`.
    const CORE: u64 = 0x6030_0000_0010_0000;
    /// `regs.pc`, at byte 0x100.
    pub const PC: Self = Self(Self::CORE | (0x100 / 4));

    /// General-purpose register `number`.
    ///
    /// # Errors
    /// [`Error::Invalid`] above 30.
    pub const fn x(number: u8) -> Result<Self, Error> {
        if number > 30 {
            return Err(Error::Invalid);
        }
        Ok(Self(Self::CORE | (number as u64 * 2)))
    }

    pub(super) const fn id(self) -> u64 {
        self.0
    }
}

/// `KVM_ARM_VCPU_PSCI_0_2`, a bit of the first word of `kvm_vcpu_init.features`.
pub(super) const VCPU_PSCI_0_2: u32 = 1 << 2;
/// `KVM_ARM_VCPU_POWER_OFF`: the vCPU waits for `CPU_ON`.
pub(super) const VCPU_POWER_OFF: u32 = 1 << 0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_protected_type_is_bit_31_and_the_width() {
        let width = AddressWidth::new(40).unwrap();
        assert_eq!(plain(width), Ok(VmType(40)));
        assert_eq!(protected(width), Ok(VmType(0x8000_0028)));
        assert_eq!(protected(AddressWidth::MAX), Err(Error::Invalid));
    }

    #[test]
    fn registers_have_the_kernels_ids() {
        assert_eq!(Register::PC.id(), 0x6030_0000_0010_0040);
        assert_eq!(Register::x(0).unwrap().id(), 0x6030_0000_0010_0000);
        assert_eq!(Register::x(30).unwrap().id(), 0x6030_0000_0010_003c);
        assert_eq!(Register::x(31), Err(Error::Invalid));
    }
}
