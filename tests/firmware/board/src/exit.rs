//! The end of a run: QEMU's own exit code, by semihosting (`-semihosting`).

use qemu_exit::QEMUExit;

/// Every claim held.
pub const PASS: u32 = 0;
/// A claim did not hold.
pub const FAIL: u32 = 1;
/// The image itself went wrong: an exception nobody expected, a panic.
pub const BROKEN: u32 = 2;

/// Ends QEMU with `code`. Never returns.
pub fn exit(code: u32) -> ! {
    qemu_exit::AArch64::new().exit(code)
}
