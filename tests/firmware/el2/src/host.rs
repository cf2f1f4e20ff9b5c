//! The host's world: its stage 2 and traps, and how a CPU enters it for the first time.

use crate::state::El1State;
use crate::vcpu::PSTATE_START;
use crate::{boot, glue, percpu};
use core::arch::asm;
use firmware_board::{read_reg, write_reg};

/// `HCR_EL2`: stage 2 on (VM), SMC trapped (TSC), EL1 is AArch64 (RW). Interrupts and the rest are the host's own.
pub(crate) const HCR: u64 = 1 | 1 << 19 | 1 << 31;
/// `CPTR_EL2`: RES1 bits, nothing is trapped.
pub(crate) const CPTR: u64 = 0x33ff;
/// `CNTHCTL_EL2`: EL1 reads the physical counter and has the physical timer.
const CNTHCTL: u64 = 3;

/// `MDCR_EL2.HPMN`: all the event counters there are, `PMCR_EL0.N`.
pub(crate) fn counters() -> u64 {
    read_reg!("pmcr_el0") >> 11 & 0x1f
}

/// Puts the host's stage 2 and traps in force.
pub(crate) fn arm() {
    let stage2 = glue::host_translation();
    // SAFETY: shapes EL1 and its traps, not the code running here. The barrier makes a stage-2 walk for
    // the host see all of it.
    unsafe {
        write_reg!("vtcr_el2", stage2.vtcr);
        write_reg!("vttbr_el2", stage2.vttbr);
        write_reg!("hcr_el2", HCR);
        write_reg!("cptr_el2", CPTR);
        write_reg!("mdcr_el2", counters());
        write_reg!("cnthctl_el2", CNTHCTL);
        write_reg!("vmpidr_el2", read_reg!("mpidr_el1"));
        asm!("isb", options(nostack, preserves_flags));
    }
}

/// Arms a CPU that has not run the host yet.
pub(crate) fn first_arm() {
    // SAFETY: registers that hold an unknown value after reset and are never written again.
    unsafe {
        write_reg!("cntvoff_el2", 0);
        write_reg!("hstr_el2", 0);
        write_reg!("vpidr_el2", read_reg!("midr_el1"));
        write_reg!("S3_4_C12_C9_5", 0xf); // ICC_SRE_EL2: EL1 may use the GIC's system registers
    }
    arm();
    // SAFETY: nothing of EL1 is in use on this CPU yet; stale translations of an earlier life go.
    unsafe { asm!("tlbi alle1", "dsb nsh", "isb", options(nostack, preserves_flags)) };
}

/// Enters the host at `entry` with `context` in x0 and every other register in its reset state. This CPU's
/// stack is empty from here on: the next exception starts at its top.
pub(crate) fn enter(entry: u64, context: u64) -> ! {
    let top = boot::stack_top(percpu::current().cpu);
    // SAFETY: the registers are EL1's own. Nothing on the stack is used after its pointer is reset, and
    // the stage 2 in force decides whether `entry` can be executed.
    unsafe {
        El1State::RESET.load();
        write_reg!("cntv_ctl_el0", 0);
        write_reg!("cntp_ctl_el0", 0);
        write_reg!("elr_el2", entry);
        write_reg!("spsr_el2", PSTATE_START);
        asm!(
            "mov sp, {top}",
            "mov x1, xzr", "mov x2, xzr", "mov x3, xzr", "mov x4, xzr", "mov x5, xzr",
            "mov x6, xzr", "mov x7, xzr", "mov x8, xzr", "mov x9, xzr", "mov x10, xzr",
            "mov x11, xzr", "mov x12, xzr", "mov x13, xzr", "mov x14, xzr", "mov x15, xzr",
            "mov x16, xzr", "mov x17, xzr", "mov x18, xzr", "mov x19, xzr", "mov x20, xzr",
            "mov x21, xzr", "mov x22, xzr", "mov x23, xzr", "mov x24, xzr", "mov x25, xzr",
            "mov x26, xzr", "mov x27, xzr", "mov x28, xzr", "mov x29, xzr", "mov x30, xzr",
            "eret",
            "dsb nsh",
            "isb",
            top = in(reg) top,
            in("x0") context,
            options(noreturn)
        )
    }
}
