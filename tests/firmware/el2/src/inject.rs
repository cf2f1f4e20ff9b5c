//! Giving a synchronous exception to EL1, as the CPU itself would.
//!
//! The live form is for whoever was just interrupted, the other for a vCPU that stopped.

use crate::state::El1State;
use crate::vcpu::Vcpu;
use firmware_board::{read_reg, write_reg};

/// `ESR_EL1` of an undefined instruction: class 0, 32-bit instruction.
const UNDEFINED: u64 = 1 << 25;
/// Class bits that say "abort from a lower level"; one more means "from the same level".
const ABORT_CLASSES: [u64; 2] = [0x20, 0x24];
/// SPSR: EL1 with its own stack pointer, D, A, I and F masked.
const EL1H_MASKED: u64 = 0x3c5;
const PAN: u64 = 1 << 22;
const SCTLR_SPAN: u64 = 1 << 23;

/// Where an exception goes: new PC and PSTATE, and the syndrome with the class that fits the level it came from.
fn take(vbar: u64, sctlr: u64, pstate: u64, esr: u64) -> (u64, u64, u64) {
    let aarch32 = pstate >> 4 & 1 != 0;
    let level = pstate >> 2 & 3;
    let from_el0 = aarch32 || level == 0;
    let offset = match (aarch32, from_el0, pstate & 1) {
        (true, ..) => 0x600,
        (_, true, _) => 0x400,
        (_, _, 1) => 0x200,
        _ => 0,
    };
    let class = esr >> 26 & 0x3f;
    let esr = if ABORT_CLASSES.contains(&class) && !from_el0 { esr | 1 << 26 } else { esr };
    // PAN is set on entry unless SPAN says to leave it.
    let pan = if sctlr & SCTLR_SPAN == 0 { PAN } else { pstate & PAN };
    (vbar.wrapping_add(offset), EL1H_MASKED | pan, esr)
}

/// The `ESR_EL1` with which EL1 takes a stage-2 abort as a synchronous external abort. What EL2 learns for
/// emulation (register, size) is not part of it.
pub(crate) const fn external_abort(esr_el2: u64) -> u64 {
    const KEPT: u64 = 0x3f << 26 | 1 << 25 | 1 << 8 | 1 << 6; // class, length, cache maintenance, write
    const EXTERNAL: u64 = 0x10;
    esr_el2 & KEPT | EXTERNAL
}

/// The interrupted code takes an exception with this syndrome instead of going on. An abort's syndrome is
/// given with the class "from a lower level"; the class is corrected here. `far` is the faulting address.
pub(crate) fn inject(esr: u64, far: u64) {
    let (pc, pstate) = (read_reg!("elr_el2"), read_reg!("spsr_el2"));
    let (vector, masked, esr) = take(read_reg!("vbar_el1"), read_reg!("sctlr_el1"), pstate, esr);
    // SAFETY: EL1's exception registers and EL2's return state; the return follows the handler.
    unsafe {
        write_reg!("elr_el1", pc);
        write_reg!("spsr_el1", pstate);
        write_reg!("esr_el1", esr);
        write_reg!("far_el1", far);
        write_reg!("elr_el2", vector);
        write_reg!("spsr_el2", masked);
    }
}

/// The interrupted instruction is undefined.
pub(crate) fn undefined() {
    inject(UNDEFINED, read_reg!("far_el1"));
}

/// As [`inject`], for a vCPU that is not running.
pub(crate) fn inject_stopped(vcpu: &mut Vcpu, esr: u64, far: u64) {
    let El1State { vbar_el1, sctlr_el1, .. } = vcpu.el1;
    let (vector, masked, esr) = take(vbar_el1, sctlr_el1, vcpu.pstate, esr);
    vcpu.el1.elr_el1 = vcpu.pc;
    vcpu.el1.spsr_el1 = vcpu.pstate;
    vcpu.el1.esr_el1 = esr;
    vcpu.el1.far_el1 = far;
    vcpu.pc = vector;
    vcpu.pstate = masked;
}
