//! The world switch alone: host code run as a guest comes back for every reason there is, and the host's
//! own registers are as they were.

use crate::hvc;
use crate::report::{Check, case, claim, equal};
use core::arch::global_asm;
use firmware_board::layout::IMAGE;
use firmware_board::{bare_guest, read_reg, write_reg};

unsafe extern "C" {
    fn guest_calls();
    fn guest_waits();
    fn guest_uses_vectors();
    fn guest_vector_use();
    fn guest_calls_firmware();
    fn guest_touches();
}

global_asm!(
    r#"
    .text
    // x0: a number. An unknown call, EL1 registers of its own, a stop. x1: the call's answer; x19: number + 1.
guest_calls:
    mov     x20, x0
    msr     tpidr_el1, x0
    msr     tpidr_el0, x0
    msr     contextidr_el1, x0
    mov     x0, #0xff
    movk    x0, #0xc600, lsl #16
    hvc     #0
    mrs     x2, tpidr_el1
    cmp     x2, x20
    csel    x1, x0, xzr, eq
    add     x19, x20, #1
    ldr     x0, ={stop}
    hvc     #0
    b       .
guest_waits:
    wfi
    b       .
guest_uses_vectors:         // EL1 itself would let it
    mov     x1, #(3 << 20)
    msr     cpacr_el1, x1
    isb
guest_vector_use:
    .arch_extension fp
    fmov    d0, xzr
    .arch_extension nofp
    b       .
guest_calls_firmware:
    smc     #0
    b       .
guest_touches:
    ldr     x0, [x0]
    b       .
"#,
    stop = const bare_guest::STOP,
);

/// How a guest stopped.
pub(super) struct Stop {
    pub(super) interrupt: bool,
    class: u64,
    far: u64,
    x1: u64,
    x19: u64,
    pc: u64,
}

/// Runs `code` with `argument` until it stops.
pub(super) fn run_guest(code: Code, argument: u64) -> Stop {
    let [_, interrupt, esr, far, _, x1, x19, pc] =
        hvc::hvc([bare_guest::RUN.into(), code as *const () as u64, argument, 0, 0, 0, 0, 0]);
    Stop { interrupt: interrupt != 0, class: esr >> 26 & 0x3f, far, x1, x19, pc }
}

pub(super) fn run() {
    case("guest_world_calls_and_stops", calls());
    case("guest_world_leaves_host_registers_alone", host_registers());
    case("guest_world_wait_comes_back", stops(guest_waits, 0, 1, guest_waits));
    case("guest_world_vector_use_comes_back", stops(guest_uses_vectors, 0, 7, guest_vector_use));
    case("guest_world_firmware_call_comes_back", stops(guest_calls_firmware, 0, 0x17, guest_calls_firmware));
    case("guest_world_abort_comes_back", abort());
}

fn calls() -> Check {
    for number in [41, u64::MAX - 1] {
        let stop = run_guest(guest_calls, number);
        equal("class of HVC", stop.class, 0x16)?;
        equal("the unknown call's answer", stop.x1, u64::MAX)?;
        equal("the guest's x19", stop.x19, number + 1)?;
    }
    Ok(())
}

type Code = unsafe extern "C" fn();

/// Run with `argument`, `code` stops with this exception class at `place`.
fn stops(code: Code, argument: u64, class: u64, place: Code) -> Check {
    let stop = run_guest(code, argument);
    claim("no interrupt", !stop.interrupt, 1)?;
    equal("class", stop.class, class)?;
    equal("PC at the instruction", stop.pc, place as *const () as u64)
}

fn abort() -> Check {
    stops(guest_touches, IMAGE, 0x24, guest_touches)?;
    equal("address", run_guest(guest_touches, IMAGE + 8).far, IMAGE + 8)
}

fn host_registers() -> Check {
    // SAFETY: software registers that this program does not use.
    unsafe {
        write_reg!("tpidr_el1", 0x1111);
        write_reg!("tpidr_el0", 0x2222);
        write_reg!("contextidr_el1", 0x33);
    }
    let shape = || [read_reg!("sctlr_el1"), read_reg!("vbar_el1"), read_reg!("ttbr0_el1"), read_reg!("tcr_el1")];
    let before = shape();
    run_guest(guest_calls, 5);
    claim("SCTLR, VBAR, TTBR0, TCR", shape() == before, 0)?;
    equal("TPIDR_EL1", read_reg!("tpidr_el1"), 0x1111)?;
    equal("TPIDR_EL0", read_reg!("tpidr_el0"), 0x2222)?;
    equal("CONTEXTIDR_EL1", read_reg!("contextidr_el1"), 0x33)
}
