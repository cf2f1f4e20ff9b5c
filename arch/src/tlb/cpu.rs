//! The TLBs of real CPUs.
//!
//! TLBI by IPA works on the VMID in `VTTBR_EL2`. Host and guest calls mostly concern the map that is
//! loaded anyway; only otherwise is the register switched, and back, each with an ISB.

use super::{Errata, NoErrata, Stage2Tlb, Vttbr};
use core::arch::asm;

/// Above this many frames the whole VMID is invalidated at once: each TLBI is a broadcast that every
/// CPU answers, and refilling a TLB costs less than 64 of them.
pub const PER_FRAME_LIMIT: u64 = 64;

/// TLB maintenance by instruction. Runs at EL2 with interrupts masked, `HCR_EL2.{E2H,TGE}` both 0.
#[derive(Clone, Copy, Debug, Default)]
pub struct CpuTlb<E: Errata = NoErrata> {
    errata: E,
}

impl CpuTlb {
    /// For CPUs without errata.
    pub const fn new() -> Self {
        Self { errata: NoErrata }
    }
}

impl<E: Errata> CpuTlb<E> {
    /// With the hooks of `errata`.
    pub const fn with_errata(errata: E) -> Self {
        Self { errata }
    }

    /// Runs `maintain` with `context` in `VTTBR_EL2`.
    #[inline]
    fn in_context(&self, context: Vttbr, maintain: impl FnOnce()) {
        let loaded = read_vttbr();
        if loaded == context.raw() {
            maintain();
        } else {
            self.errata.before_switch();
            write_vttbr(context.raw());
            maintain();
            write_vttbr(loaded);
        }
        self.errata.after_invalidate(context);
    }
}

impl<E: Errata> Stage2Tlb for CpuTlb<E> {
    #[inline]
    fn publish(&self) {
        // SAFETY: a barrier.
        unsafe { asm!("dsb ishst", options(nostack, preserves_flags)) }
    }

    #[inline]
    fn invalidate(&self, context: Vttbr, first_frame: u64, frames: u64) {
        match frames {
            0 => {}
            1 => self.in_context(context, || one_frame(first_frame)),
            2..=PER_FRAME_LIMIT => self.in_context(context, || some_frames(first_frame, frames)),
            _ => self.in_context(context, whole_vmid),
        }
    }

    fn invalidate_vm(&self, context: Vttbr) {
        self.in_context(context, whole_vmid);
    }
}

#[inline]
fn read_vttbr() -> u64 {
    let value;
    // SAFETY: reading VTTBR_EL2 changes nothing.
    unsafe { asm!("mrs {}, vttbr_el2", out(reg) value, options(nomem, nostack, preserves_flags)) };
    value
}

#[inline]
fn write_vttbr(value: u64) {
    // SAFETY: VTTBR_EL2 does not affect EL2's own accesses; lower levels do not run meanwhile, and
    // `in_context` puts the old value back. The ISB makes it the VMID of the TLBIs that follow.
    unsafe { asm!("msr vttbr_el2, {}", "isb", in(reg) value, options(nostack, preserves_flags)) }
}

/// IPAs of TLBI operands have 36 bits of frame number, then reserved bits.
const IPA_MASK: u64 = (1 << 36) - 1;

#[inline]
fn one_frame(frame: u64) {
    // SAFETY: invalidating translations only makes CPUs walk the tables again. The first DSB makes the
    // tables' new entries what they find; the others wait until every CPU is done.
    unsafe {
        asm!(
            "dsb ishst",
            "tlbi ipas2e1is, {frame}",
            "dsb ish",
            "tlbi vmalle1is",
            "dsb ish",
            "isb",
            frame = in(reg) frame & IPA_MASK,
            options(nostack, preserves_flags)
        );
    }
}

fn some_frames(first: u64, frames: u64) {
    // SAFETY: as in `one_frame`.
    unsafe {
        asm!("dsb ishst", options(nostack, preserves_flags));
        for frame in first..first.saturating_add(frames) {
            asm!("tlbi ipas2e1is, {}", in(reg) frame & IPA_MASK, options(nostack, preserves_flags));
        }
        asm!("dsb ish", "tlbi vmalle1is", "dsb ish", "isb", options(nostack, preserves_flags));
    }
}

fn whole_vmid() {
    // SAFETY: as in `one_frame`. This one TLBI covers stage 1, stage 2 and combined entries.
    unsafe { asm!("dsb ishst", "tlbi vmalls12e1is", "dsb ish", "isb", options(nostack, preserves_flags)) }
}
