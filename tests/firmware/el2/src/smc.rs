//! The host's SMCs: all trapped, a few relayed. An allow-list, because firmware can be asked to do things
//! to memory that EL2 must not let happen.

use crate::psci;
use crate::vectors::Frame;
use core::arch::asm;
use firmware_board::{read_reg, write_reg};
use tenure_abi::smccc;

/// Calls the real firmware.
///
/// # Safety
/// The call does nothing to this image or to memory that the caller does not answer for.
pub(crate) unsafe fn call(function: u32, args: [u64; 3]) -> u64 {
    let [a, b, c] = args;
    let result;
    // SAFETY: the caller vouches for the call; SMCCC preserves what is not named here.
    unsafe {
        asm!(
            "dsb ishst", // what a CPU that starts will read is written
            "smc #0",
            inout("x0") u64::from(function) => result,
            inout("x1") a => _, inout("x2") b => _, inout("x3") c => _,
            out("x4") _, out("x5") _, out("x6") _, out("x7") _, out("x8") _, out("x9") _, out("x10") _,
            out("x11") _, out("x12") _, out("x13") _, out("x14") _, out("x15") _, out("x16") _, out("x17") _,
            options(nostack)
        );
    }
    result
}

/// A trapped `SMC` of the host: answered as an `HVC` would be, and skipped.
pub(crate) fn from_host(frame: &mut Frame, esr: u64) {
    // A trapped SMC returns to itself, unlike an HVC.
    // SAFETY: moves EL1's return address past the instruction that trapped.
    unsafe { write_reg!("elr_el2", read_reg!("elr_el2").wrapping_add(4)) };
    let immediate = esr & 0xffff;
    if immediate != 0 || !psci::answer(frame) {
        frame.x[0] = smccc::NOT_SUPPORTED.cast_unsigned();
    }
}
