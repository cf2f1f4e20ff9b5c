//! Calls of EL2: x0..x7 in, x0..x7 out.

use core::arch::asm;

/// `HVC #0`.
#[inline]
pub(crate) fn hvc(regs: [u64; 8]) -> [u64; 8] {
    let [mut a, mut b, mut c, mut d, mut e, mut f, mut g, mut h] = regs;
    // SAFETY: EL2 may take memory from this host, but only what the host names, and code that names a page
    // expects that. The calling convention preserves every other register.
    unsafe {
        asm!(
            "hvc #0",
            inout("x0") a, inout("x1") b, inout("x2") c, inout("x3") d,
            inout("x4") e, inout("x5") f, inout("x6") g, inout("x7") h,
            options(nostack)
        );
    }
    [a, b, c, d, e, f, g, h]
}

/// A call with its function identifier and up to three arguments; the answer's x0, signed.
pub(crate) fn call(function: u32, [a, b, c]: [u64; 3]) -> i64 {
    let [x0, ..] = hvc([function.into(), a, b, c, 0, 0, 0, 0]);
    x0.cast_signed()
}

/// The same by `SMC #0`.
pub(crate) fn smc(function: u32, [mut a, mut b, mut c]: [u64; 3]) -> i64 {
    let mut x0 = u64::from(function);
    // SAFETY: EL2 traps the call and relays only what does not touch this code or its memory.
    unsafe {
        asm!(
            "smc #0",
            inout("x0") x0, inout("x1") a, inout("x2") b, inout("x3") c,
            lateout("x4") _, lateout("x5") _, lateout("x6") _, lateout("x7") _,
            options(nostack)
        );
    }
    let _ = (a, b, c);
    x0.cast_signed()
}
