//! How long a call takes, in ticks of the virtual counter.
//!
//! The sequence is exactly: read the counter, HVC, read the counter. Arguments are in place before.
//! Under an instruction-counting emulator with one tick an instruction, the difference is the
//! instructions of the other side plus the HVC and one counter reading.

use core::arch::asm;

/// Ticks from just before to just after `function` with arguments x1 and x2, and x0 of the answer.
pub fn call(function: u32, x1: u64, x2: u64) -> (u64, u64) {
    let (code, before, after): (u64, u64, u64);
    // SAFETY: the HVC follows the SMC calling convention, which changes x0..x17 at most; all are declared.
    // What it does to memory is covered by not claiming `nomem`.
    unsafe {
        asm!(
            "isb",
            "mrs {before}, cntvct_el0",
            "hvc #0",
            "mrs {after}, cntvct_el0",
            before = out(reg) before,
            after = out(reg) after,
            inout("x0") u64::from(function) => code,
            inout("x1") x1 => _,
            inout("x2") x2 => _,
            inout("x3") 0_u64 => _,
            out("x4") _, out("x5") _, out("x6") _, out("x7") _,
            out("x8") _, out("x9") _, out("x10") _, out("x11") _,
            out("x12") _, out("x13") _, out("x14") _, out("x15") _,
            out("x16") _, out("x17") _,
            options(nostack)
        );
    }
    (after.wrapping_sub(before), code)
}

/// Ticks between two readings with nothing between them.
pub fn floor() -> u64 {
    let (before, after): (u64, u64);
    // SAFETY: only the counter is read.
    unsafe {
        asm!(
            "isb",
            "mrs {before}, cntvct_el0",
            "mrs {after}, cntvct_el0",
            before = out(reg) before,
            after = out(reg) after,
            options(nostack, nomem)
        );
    }
    after.wrapping_sub(before)
}

/// Ticks per second.
pub fn rate() -> u64 {
    let rate: u64;
    // SAFETY: only a constant of the machine is read.
    unsafe { asm!("mrs {}, cntfrq_el0", out(reg) rate, options(nostack, nomem)) };
    rate
}
