//! What a hypercall costs before anybody does anything: in and out, branch-history loop included.
//!
//! Under `-icount shift=0 -cpu …,cntfrq=1000000000` a counter tick is an instruction.

use super::guest_world::run_guest;
use crate::report::{Check, case, claim, equal, figure, skip};
use core::arch::{asm, global_asm};
use firmware_board::selftest;

unsafe extern "C" {
    fn guest_counts();
}

global_asm!(
    r#"
    .text
    // x0: an unknown call. x19: instructions at EL2, as `ticks` counts them.
guest_counts:
    isb
    mrs     x20, cntvct_el0
    hvc     #0
    mrs     x21, cntvct_el0
    sub     x19, x21, x20
    sub     x19, x19, #2
    ldr     x0, ={stop}
    hvc     #0
    b       .
"#,
    stop = const selftest::STOP,
);

/// An identifier of the vendor service that nobody offers.
const UNKNOWN: u64 = 0xc600_00ff;
/// In and out of a guest, with the handler of an unknown call: more than this was not intended.
const LIMIT: u64 = 160;

pub(super) fn run() {
    if nothing() != 1 {
        return skip("fast_hvc", "the counter does not count instructions: run with -icount shift=0");
    }
    let first = ticks().0;
    figure("pkvm.el2_insns.unknown_host_call.tenure", first, "instructions");
    case("fast_hvc_costs_the_same_every_time", (0..10).try_for_each(|_| equal("ticks", ticks().0, first)));
    let guest = run_guest(guest_counts, UNKNOWN, false).x19;
    figure("pkvm.el2_insns.unknown_guest_call.tenure", guest, "instructions");
    case("fast_hvc_of_a_guest_is_cheap", claim("instructions at EL2", (1..=LIMIT).contains(&guest), guest));
    case("fast_hvc_is_refused", equal("x0", ticks().1, u64::MAX));
    case("fast_hvc_keeps_registers", registers());
}

/// Ticks between two reads in a row.
fn nothing() -> u64 {
    let (a, b): (u64, u64);
    // SAFETY: reads a counter.
    unsafe { asm!("isb", "mrs {}, cntvct_el0", "mrs {}, cntvct_el0", out(reg) a, out(reg) b, options(nomem, nostack)) };
    b - a
}

/// Instructions at EL2 during the call, and its x0. The HVC itself and the second read are not EL2's.
fn ticks() -> (u64, u64) {
    let (a, b): (u64, u64);
    let mut x0 = UNKNOWN;
    // SAFETY: an unknown call changes x0 and no more.
    unsafe {
        asm!("isb", "mrs {}, cntvct_el0", "hvc #0", "mrs {}, cntvct_el0", out(reg) a, out(reg) b, inout("x0") x0, options(nostack));
    }
    ((b - a).saturating_sub(2), x0)
}

fn registers() -> Check {
    let (mut x4, mut x17, mut x18, mut x30) = (4u64, 17u64, 18u64, 30u64);
    // SAFETY: as above; x18 and x30 are put back.
    unsafe {
        asm!(
            "mov {s18}, x18", "mov {s30}, x30",
            "mov x18, {x18}", "mov x30, {x30}",
            "hvc #0",
            "mov {x18}, x18", "mov {x30}, x30",
            "mov x18, {s18}", "mov x30, {s30}",
            s18 = out(reg) _, s30 = out(reg) _, x18 = inout(reg) x18, x30 = inout(reg) x30,
            inout("x0") UNKNOWN => _, inout("x4") x4, inout("x17") x17,
            options(nostack)
        );
    }
    equal("x4", x4, 4)?;
    equal("x17", x17, 17)?;
    equal("x18", x18, 18)?;
    equal("x30", x30, 30)
}
