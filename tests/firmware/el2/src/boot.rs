//! From reset to Rust: stacks, bss, MMU and caches, then the host.
//!
//! CPU 0 comes from QEMU's `-kernel` at `_start`, the others from PSCI at `secondary_start` with their
//! index in x0. Rust code that runs before the MMU is on only stores: atomics do not work yet. A later CPU
//! turns the MMU on before it touches memory, so that it never reads around what others hold in caches.

use crate::{glue, host, mmu, percpu, psci};
use core::arch::global_asm;
use firmware_board::layout::{CPUS, IMAGE, IMAGE_END, PAYLOAD};

/// Bytes of one CPU's stack, and of the unmapped page below it.
pub(crate) const STACK: usize = 0x8000;
/// The page below a stack is never mapped: an overflow faults instead of writing elsewhere.
pub(crate) const GUARD: usize = 0x1000;
const SLOT: usize = STACK + GUARD;

/// A guard page, then a stack, for each CPU.
#[repr(C, align(4096))]
struct Stacks([[u8; SLOT]; CPUS]);

#[unsafe(no_mangle)]
#[unsafe(link_section = ".bss.stacks")]
static mut EL2_STACKS: Stacks = Stacks([[0; SLOT]; CPUS]);

/// The guard page of each CPU's stack.
pub(crate) fn guards() -> impl Iterator<Item = u64> {
    (0..CPUS as u64).map(|cpu| &raw const EL2_STACKS as u64 + cpu * SLOT as u64)
}

/// One past the last byte of a CPU's stack.
pub(crate) fn stack_top(cpu: usize) -> u64 {
    &raw const EL2_STACKS as u64 + (cpu as u64 + 1) * SLOT as u64
}

global_asm!(
    r#"
    .global IMAGE
    .set    IMAGE, {image}
    .global IMAGE_END
    .set    IMAGE_END, {image_end}

    .section .text.boot, "ax"
    .global _start
_start:
    msr     daifset, #0xf
    mrs     x9, CurrentEL
    cmp     x9, #(2 << 2)
    b.ne    9f
    ldr     x9, =__bss
    ldr     x10, =__bss_end
2:  stp     xzr, xzr, [x9], #16
    cmp     x9, x10
    b.lo    2b
    ldr     x9, =EL2_STACKS + {slot}
    mov     sp, x9
    bl      el2_build_tables
    bl      mmu_on
    bl      el2_primary
9:  wfe
    b       9b

    // x0: CPU index, below CPUS: this image gave it to PSCI itself.
    .global secondary_start
secondary_start:
    msr     daifset, #0xf
    bl      mmu_on
    ldr     x9, =EL2_STACKS
    mov     x10, #{slot}
    add     x11, x0, #1
    madd    x9, x10, x11, x9
    mov     sp, x9
    bl      el2_secondary
    b       9b

    // EL2 translation, caches and vectors. Uses no memory but its own text.
mmu_on:
    ldr     x9, =vectors
    msr     vbar_el2, x9
    ldr     x9, ={mair}
    msr     mair_el2, x9
    ldr     x9, ={tcr}
    msr     tcr_el2, x9
    ldr     x9, =EL2_ROOT
    msr     ttbr0_el2, x9
    tlbi    alle2
    ic      iallu
    dsb     sy
    isb
    ldr     x9, ={sctlr}
    msr     sctlr_el2, x9
    isb
    ret
"#,
    image = const IMAGE,
    image_end = const IMAGE_END,
    slot = const SLOT,
    mair = const mmu::MAIR,
    tcr = const mmu::TCR,
    sctlr = const mmu::SCTLR,
);

/// CPU 0 before its MMU is on.
#[unsafe(no_mangle)]
extern "C" fn el2_build_tables() {
    mmu::build();
}

/// CPU 0 with MMU and caches on: starts the host.
#[unsafe(no_mangle)]
extern "C" fn el2_primary() -> ! {
    glue::init();
    psci::mark_boot_cpu();
    start_host(0, PAYLOAD, 0)
}

/// A later CPU: enters the host where the host's `CPU_ON` said. EL2 is armed before.
#[unsafe(no_mangle)]
extern "C" fn el2_secondary(cpu: usize) -> ! {
    let (entry, context) = psci::arrived(cpu);
    start_host(cpu, entry, context)
}

fn start_host(cpu: usize, entry: u64, context: u64) -> ! {
    percpu::install(cpu);
    host::first_arm();
    host::enter(entry, context)
}
