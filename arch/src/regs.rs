//! The system registers that an EL2 program touches, typed.
//!
//! [`cpu`] is the crate that names every field; here is what takes an argument why it is sound, or is
//! better said in this crate's words.

pub use aarch64_cpu::registers as cpu;

use crate::stage2::{Geometry, bits};
use crate::syndrome::{Abort, Class, Fault, Syndrome};
use crate::tlb::Vttbr;
use aarch64_cpu::registers::{
    ELR_EL2, ESR_EL2, FAR_EL2, HCR_EL2, HPFAR_EL2, ID_AA64MMFR0_EL1, ID_AA64MMFR1_EL1, PAR_EL1, Readable, SPSR_EL2,
    TPIDR_EL2, VTCR_EL2, VTTBR_EL2, Writeable,
};
use core::arch::asm;
use tenure_abi::{AddressWidth, PAGE_SIZE};

/// `ESR_EL2` of the exception being handled.
#[inline]
pub fn syndrome() -> Syndrome {
    Syndrome(ESR_EL2.get())
}

/// The guest-physical byte address of the stage-2 abort being handled.
///
/// Where the CPU does not say it, as for a permission fault, the faulting virtual address is translated
/// anew; `None` if the lower level's own tables do not map it any more, or it is no such abort.
pub fn fault_ipa() -> Option<u64> {
    let (syndrome, far) = (syndrome(), FAR_EL2.get());
    syndrome.ipa(HPFAR_EL2.get(), far).or_else(|| match syndrome.class() {
        Class::DataAbort(Abort { fault: Fault::Permission(_), .. })
        | Class::InstructionAbort(Abort { fault: Fault::Permission(_), .. }) => translate_stage1(far),
        _ => None,
    })
}

/// Where the lower level's stage-1 tables lead for virtual address `va`: a guest-physical byte address.
pub fn translate_stage1(va: u64) -> Option<u64> {
    // The lower level may be about to read a result of its own.
    let saved = PAR_EL1.get();
    // SAFETY: an address translation writes PAR_EL1 only, which is put back below.
    unsafe { asm!("at s1e1r, {}", "isb", in(reg) va, options(nostack, preserves_flags)) };
    let par = PAR_EL1.get();
    PAR_EL1.set(saved);
    // Bit 0 is F: the translation failed. Bits 12..=47 are the address.
    (par & 1 == 0).then_some(par & bits::ADDRESS | va & (PAGE_SIZE - 1))
}

/// `FAR_EL2`: the virtual address of the abort being handled.
#[inline]
pub fn fault_address() -> u64 {
    FAR_EL2.get()
}

/// Where the lower level goes on.
#[inline]
pub fn return_address() -> u64 {
    ELR_EL2.get()
}

/// The lower level's `PSTATE`.
#[inline]
pub fn return_state() -> u64 {
    SPSR_EL2.get()
}

/// Makes the lower level go on at `address` in `state`.
///
/// # Safety
/// `state` names a level below EL2, and what runs there may run.
#[inline]
pub unsafe fn set_return(address: u64, state: u64) {
    ELR_EL2.set(address);
    SPSR_EL2.set(state);
}

/// `TPIDR_EL2`: this CPU's structure.
#[inline]
pub fn this_cpu<T>() -> *mut T {
    core::ptr::with_exposed_provenance_mut(TPIDR_EL2.get() as usize)
}

/// Sets what [`this_cpu`] answers on this CPU.
#[inline]
pub fn set_this_cpu<T>(cpu: *mut T) {
    TPIDR_EL2.set(cpu.expose_provenance() as u64);
}

/// The physical address width of this CPU (`ID_AA64MMFR0_EL1.PARange`), 52 bits taken as 48.
pub fn pa_width() -> AddressWidth {
    let bits = match ID_AA64MMFR0_EL1.get() & 0xf {
        0 => 32,
        1 => 36,
        2 => 40,
        3 => 42,
        4 => 44,
        _ => 48,
    };
    AddressWidth::new(bits).unwrap_or(AddressWidth::GUEST_MAX)
}

/// Whether VMIDs have 16 bits (`ID_AA64MMFR1_EL1.VMIDBits`).
pub fn has_wide_vmid() -> bool {
    ID_AA64MMFR1_EL1.get() >> 4 & 0xf == 2
}

/// Turns stage 2 on for the lower levels, with map `context` of shape `geometry`, keeping the other
/// bits of `hcr`; stale translations of its VMID are dropped on this CPU.
///
/// # Safety
/// The map is this shape and alive, and `hcr` gives the lower levels nothing they may not have.
pub unsafe fn enable_stage2(geometry: Geometry, context: Vttbr, hcr: u64) {
    VTCR_EL2.set(geometry.vtcr(pa_width(), has_wide_vmid()));
    VTTBR_EL2.set(context.raw());
    HCR_EL2.set(hcr | HCR_EL2::VM.mask << HCR_EL2::VM.shift);
    // SAFETY: barriers and an invalidation: translations are only looked up again.
    unsafe { asm!("isb", "tlbi vmalls12e1", "dsb nsh", "isb", options(nostack, preserves_flags)) };
}

/// Puts the map `context` before the lower levels. EL2's own accesses are not translated by it.
///
/// # Safety
/// The map has the shape that `VTCR_EL2` holds and is alive.
#[inline]
pub unsafe fn switch_stage2(context: Vttbr) {
    VTTBR_EL2.set(context.raw());
    // SAFETY: a barrier.
    unsafe { asm!("isb", options(nostack, preserves_flags)) };
}
