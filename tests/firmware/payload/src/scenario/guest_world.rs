//! The world switch alone: host code run as a guest comes back for every reason there is, and the host's
//! own registers are as they were.

use crate::cpu::{self, Barrier};
use crate::hvc;
use crate::report::{Check, case, claim, equal};
use core::arch::global_asm;
use core::sync::atomic::{AtomicU64, Ordering};
use firmware_board::layout::IMAGE;
use firmware_board::{read_reg, selftest, write_reg};

unsafe extern "C" {
    fn guest_calls();
    fn guest_waits();
    fn guest_uses_vectors();
    fn guest_vector_use();
    fn guest_calls_firmware();
    fn guest_touches();
    fn guest_handles();
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
    b       guest_stops
guest_uses_vectors:         // EL1 itself would let it
    mov     x1, #(3 << 20)
    msr     cpacr_el1, x1
    isb
guest_vector_use:
    .arch_extension fp
    fmov    d0, xzr
    .arch_extension nofp
    b       guest_stops
guest_calls_firmware:
    smc     #0
    b       guest_stops
guest_touches:
    ldr     x0, [x0]
    b       guest_stops

    // Where a guest comes that was not stopped before.
guest_stops:
    ldr     x0, ={stop}
    hvc     #0
    b       .

    // An abort goes to its own vectors: x1 the syndrome, x19 the address.
guest_handles:
    adr     x1, guest_vectors
    msr     vbar_el1, x1
    isb
    ldr     x0, [x0]
    b       .
    .balign 2048
guest_vectors:
    b       .
    .balign 512             // from EL1 on its own stack
    mrs     x1, esr_el1
    mrs     x19, far_el1
    ldr     x0, ={stop}
    hvc     #0
    b       .
    .balign 2048
"#,
    stop = const selftest::STOP,
);

/// Code that a guest starts at, or an instruction of it.
pub(super) type Code = unsafe extern "C" fn();

/// How a guest stopped.
pub(super) struct Stop {
    pub(super) interrupt: bool,
    class: u64,
    far: u64,
    hpfar: u64,
    x1: u64,
    pub(super) x19: u64,
    pc: u64,
}

/// Runs `code` with `argument` until it stops; `inject` has EL2 answer its first abort.
pub(super) fn run_guest(code: Code, argument: u64, inject: bool) -> Stop {
    let [_, interrupt, esr, far, hpfar, x1, x19, pc] =
        hvc::hvc([selftest::RUN.into(), code as *const () as u64, argument, inject.into(), 0, 0, 0, 0]);
    Stop { interrupt: interrupt != 0, class: esr >> 26 & 0x3f, far, hpfar, x1, x19, pc }
}

pub(super) fn run() {
    case("guest_world_calls_and_stops", calls());
    case("guest_world_leaves_host_registers_alone", host_registers());
    case("guest_world_wait_comes_back", stops(guest_waits, 0, 1, guest_waits));
    case("guest_world_vector_use_comes_back", stops(guest_uses_vectors, 0, 7, guest_vector_use));
    case("guest_world_firmware_call_comes_back", stops(guest_calls_firmware, 0, 0x17, guest_calls_firmware));
    case("guest_world_abort_comes_back", abort());
    case("guest_world_runs_on_two_cpus_at_once", two_cpus());
    case("guest_world_takes_an_injected_abort", injected());
}

fn calls() -> Check {
    for number in [41, u64::MAX - 1] {
        let stop = run_guest(guest_calls, number, false);
        equal("class of HVC", stop.class, 0x16)?;
        equal("the unknown call's answer", stop.x1, u64::MAX)?;
        equal("the guest's x19", stop.x19, number + 1)?;
    }
    Ok(())
}

/// Run with `argument`, `code` stops with this exception class at `place`.
fn stops(code: Code, argument: u64, class: u64, place: Code) -> Check {
    let stop = run_guest(code, argument, false);
    claim("no interrupt", !stop.interrupt, 1)?;
    equal("class", stop.class, class)?;
    equal("PC at the instruction", stop.pc, place as *const () as u64)
}

fn abort() -> Check {
    stops(guest_touches, IMAGE, 0x24, guest_touches)?;
    let stop = run_guest(guest_touches, IMAGE + 8, false);
    equal("virtual address", stop.far, IMAGE + 8)?;
    equal("intermediate physical address", stop.hpfar >> 4 << 12, IMAGE)
}

fn injected() -> Check {
    let stop = run_guest(guest_handles, IMAGE + 16, true);
    equal("stopped by its own vector's call", stop.class, 0x16)?;
    equal("a data abort from EL1, external", stop.x1, 0x25 << 26 | 1 << 25 | 0x10)?;
    equal("the address", stop.x19, IMAGE + 16)
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
    run_guest(guest_calls, 5, false);
    claim("SCTLR, VBAR, TTBR0, TCR", shape() == before, 0)?;
    equal("TPIDR_EL1", read_reg!("tpidr_el1"), 0x1111)?;
    equal("TPIDR_EL0", read_reg!("tpidr_el0"), 0x2222)?;
    equal("CONTEXTIDR_EL1", read_reg!("contextidr_el1"), 0x33)
}

fn two_cpus() -> Check {
    const ROUNDS: u64 = 1_000;
    static MEET: Barrier = Barrier::new(2);
    static RIGHT: AtomicU64 = AtomicU64::new(0);
    fn many(base: u64) {
        MEET.wait();
        let right = (0..ROUNDS).filter(|i| run_guest(guest_calls, base + i, false).x19 == base + i + 1).count();
        RIGHT.fetch_add(right as u64, Ordering::Relaxed);
        MEET.wait();
    }
    cpu::on(1, many, 1 << 32).or_else(|code| equal("CPU_ON", code.cast_unsigned(), 0))?;
    many(0);
    equal("right answers", RIGHT.load(Ordering::Relaxed), 2 * ROUNDS)
}
