//! One interrupt: the physical timer's, made pending for this CPU. The host keeps it masked and looks.
//!
//! Just enough of the `GICv3` of the `virt` board: distributor, CPU 0's redistributor, CPU interface.

use firmware_board::{read_reg, write_reg};

const DISTRIBUTOR: u64 = 0x0800_0000;
const REDISTRIBUTOR: u64 = 0x080a_0000;
/// The redistributor's second frame: private interrupts.
const PRIVATE: u64 = REDISTRIBUTOR + 0x1_0000;
/// The physical timer's private interrupt.
const TIMER: u32 = 30;

fn write(address: u64, value: u32) {
    // SAFETY: registers of the interrupt controller, mapped as device memory; they touch no memory.
    unsafe { (address as *mut u32).write_volatile(value) };
}

/// Lets the timer's interrupt reach CPU 0.
pub(crate) fn enable_timer() {
    write(DISTRIBUTOR, 1 << 4 | 1 << 1); // CTLR: affinity routing, group 1
    write(REDISTRIBUTOR + 0x14, 0); // WAKER: awake
    write(PRIVATE + 0x80, 1 << TIMER); // IGROUPR0: group 1
    write(PRIVATE + 0x100, 1 << TIMER); // ISENABLER0
    // SAFETY: the CPU interface; interrupts stay masked in PSTATE.
    unsafe {
        write_reg!("S3_0_C12_C12_5", 7); // ICC_SRE_EL1
        core::arch::asm!("isb");
        write_reg!("S3_0_C4_C6_0", 0xff); // ICC_PMR_EL1: every priority
        write_reg!("S3_0_C12_C12_7", 1); // ICC_IGRPEN1_EL1
        core::arch::asm!("isb");
    }
}

/// The timer fires `ticks` from now.
pub(crate) fn fire_after(ticks: u64) {
    // SAFETY: this CPU's timer.
    unsafe {
        write_reg!("cntp_tval_el0", ticks);
        write_reg!("cntp_ctl_el0", 1);
    }
}

/// Switches the timer off; whether it had fired.
pub(crate) fn quiet() -> bool {
    let fired = read_reg!("cntp_ctl_el0") >> 2 & 1 != 0;
    // SAFETY: this CPU's timer.
    unsafe { write_reg!("cntp_ctl_el0", 0) };
    fired
}
