//! A guest that never stops by itself gives way to the host's interrupt.

use super::guest_world::{Stop, run_guest};
use crate::gic;
use crate::report::{Check, case, claim};
use core::arch::global_asm;

unsafe extern "C" {
    fn guest_spins();
}

global_asm!(
    r#"
    .text
guest_spins:
    b       .
"#
);

pub(super) fn run() {
    gic::enable_timer();
    case("guest_interrupt_returns_to_the_host", interrupted());
    case("guest_interrupt_works_again", interrupted());
}

fn interrupted() -> Check {
    gic::fire_after(100_000);
    let Stop { interrupt, .. } = run_guest(guest_spins, 0, false);
    let fired = gic::quiet();
    claim("stopped by an interrupt", interrupt, 0)?;
    claim("the timer's", fired, 0)
}
