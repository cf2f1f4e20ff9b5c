//! Why a vCPU stopped, as far as memory is concerned.
//!
//! The payloads below stand at offset 32 of `struct kvm_run`, one in place of the other; the reason stands at offset 8.

use bitflags::bitflags;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// `kvm_run.exit_reason`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ExitReason(pub u32);

impl ExitReason {
    /// `KVM_EXIT_IO`: the guest used an x86 port.
    pub const IO: Self = Self(2);
    /// `KVM_EXIT_HYPERCALL`: [`HypercallExit`].
    pub const HYPERCALL: Self = Self(3);
    /// `KVM_EXIT_HLT`: the guest has nothing more to do.
    pub const HLT: Self = Self(5);
    /// `KVM_EXIT_MMIO`: [`MmioExit`].
    pub const MMIO: Self = Self(6);
    /// `KVM_EXIT_FAIL_ENTRY`: the guest could not be entered.
    pub const FAIL_ENTRY: Self = Self(9);
    /// `KVM_EXIT_INTR`: a signal arrived.
    pub const INTR: Self = Self(10);
    /// `KVM_EXIT_INTERNAL_ERROR`: the kernel lost its way.
    pub const INTERNAL_ERROR: Self = Self(17);
    /// `KVM_EXIT_SYSTEM_EVENT`: the guest asked for a change of the whole system.
    pub const SYSTEM_EVENT: Self = Self(24);
    /// `KVM_EXIT_ARM_NISV`: the guest touched an address without memory by an undescribed instruction.
    pub const ARM_NISV: Self = Self(28);
    /// `KVM_EXIT_MEMORY_FAULT`: [`MemoryFaultExit`].
    ///
    /// It comes with a failed `KVM_RUN`, and counts only if the errno is `EFAULT` or `EHWPOISON`: with any other the
    /// reason is left from an earlier exit. After `EFAULT` a reason of 0 is a bad `userspace_addr`.
    pub const MEMORY_FAULT: Self = Self(39);
}

/// `kvm_run.memory_fault`: an access that found no memory of the kind it asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct MemoryFaultExit {
    /// Offset 0: [`FaultFlags`]; they describe the access, not what user space has set.
    pub flags: u64,
    /// Offset 8: guest-physical address of the first byte.
    pub gpa: u64,
    /// Offset 16: bytes.
    pub size: u64,
}

bitflags! {
    /// What kind of access found no memory.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub struct FaultFlags: u64 {
        /// `KVM_MEMORY_EXIT_FLAG_PRIVATE`: it was private; without it, shared.
        const PRIVATE = 1 << 3;
    }
}

/// `kvm_run.mmio`: an access to an address without memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct MmioExit {
    /// Offset 0: guest-physical address.
    pub phys_addr: u64,
    /// Offset 8: what was stored, or the place for what is loaded, lowest byte first.
    pub data: [u8; 8],
    /// Offset 16: bytes, at most 8.
    pub len: u32,
    /// Offset 20: not 0 for a store.
    pub is_write: u8,
    /// Not part of the payload: fills it up to its alignment.
    pub padding: [u8; 3],
}

/// `kvm_run.hypercall`: a hypercall that the VMM asked to see.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct HypercallExit {
    /// Offset 0: which one.
    pub number: u64,
    /// Offset 8: its arguments.
    pub arguments: [u64; 6],
    /// Offset 56, in: what the guest gets.
    pub reply: u64,
    /// Offset 64: bit 0, the guest is in 64-bit mode.
    pub flags: u64,
}

/// The beginning of `struct kvm_run`, the page that a vCPU shares with its VMM: what every exit has, and the longest of
/// the payloads above.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct RunPage {
    /// Offset 0, in.
    pub request_interrupt_window: u8,
    /// Offset 1, in: not 0 makes `KVM_RUN` return with `EINTR` before it enters the guest.
    pub immediate_exit: u8,
    /// Offset 2.
    pub padding: [u8; 6],
    /// Offset 8: [`ExitReason`].
    pub exit_reason: u32,
    /// Offset 12.
    pub ready_for_interrupt_injection: u8,
    /// Offset 13.
    pub if_flag: u8,
    /// Offset 14.
    pub flags: u16,
    /// Offset 16.
    pub cr8: u64,
    /// Offset 24.
    pub apic_base: u64,
    /// Offset 32: by exit reason.
    pub payload: [u64; 9],
}

impl RunPage {
    /// Where in the page the reply to a hypercall belongs, in bytes: [`HypercallExit::reply`].
    pub const HYPERCALL_REPLY: usize =
        core::mem::offset_of!(Self, payload) + core::mem::offset_of!(HypercallExit, reply);
}

const _: () = {
    use core::mem::offset_of;
    assert!(offset_of!(RunPage, exit_reason) == 8 && offset_of!(RunPage, flags) == 14);
    assert!(offset_of!(RunPage, payload) == 32 && size_of::<RunPage>() == 32 + size_of::<HypercallExit>());
    assert!(RunPage::HYPERCALL_REPLY == 88 && size_of::<MmioExit>() <= size_of::<HypercallExit>());
    assert!(size_of::<MemoryFaultExit>() == 24 && offset_of!(MemoryFaultExit, flags) == 0);
    assert!(offset_of!(MemoryFaultExit, gpa) == 8 && offset_of!(MemoryFaultExit, size) == 16);
    assert!(size_of::<MmioExit>() == 24 && offset_of!(MmioExit, data) == 8);
    assert!(offset_of!(MmioExit, len) == 16 && offset_of!(MmioExit, is_write) == 20);
    assert!(size_of::<HypercallExit>() == 72 && offset_of!(HypercallExit, number) == 0);
    assert!(offset_of!(HypercallExit, arguments) == 8 && offset_of!(HypercallExit, reply) == 56);
    assert!(offset_of!(HypercallExit, flags) == 64);
};
