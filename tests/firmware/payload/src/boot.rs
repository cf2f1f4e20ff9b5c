//! From EL2 to Rust: stage 1 with an identity of 1 GiB blocks, caches on, a stack for each CPU.

use crate::scenario;
use core::arch::global_asm;
use core::panic::PanicInfo;
use firmware_board::layout::{CPUS, PAYLOAD, PAYLOAD_END};
use firmware_board::uart::Uart;
use firmware_board::{exit, read_reg};

const STACK: usize = 0x1_0000;

#[repr(C, align(16))]
struct Stacks([[u8; STACK]; CPUS]);

#[unsafe(no_mangle)]
#[unsafe(link_section = ".bss.stacks")]
static mut HOST_STACKS: Stacks = Stacks([[0; STACK]; CPUS]);

#[repr(C, align(4096))]
struct Table([u64; 512]);

/// Level 1: devices below 1 GiB, not executable; the GiB of RAM as normal write-back memory.
#[unsafe(no_mangle)]
static HOST_ROOT: Table = {
    let mut entries = [0; 512];
    entries[0] = 1 | 1 << 10 | 3 << 53;
    entries[1] = 0x4000_0000 | 1 | 1 << 2 | 3 << 8 | 1 << 10;
    Table(entries)
};

/// `MAIR_EL1`: 0 device nGnRnE, 1 normal write-back.
const MAIR: u64 = 0xff << 8;
/// `TCR_EL1`: 39-bit low half, 40-bit output, cacheable walks; no high half (EPD1).
const TCR: u64 = 2 << 32 | 1 << 23 | 3 << 12 | 1 << 10 | 1 << 8 | (64 - 39);
/// `SCTLR_EL1`: RES1 bits, I, SA, C, M.
const SCTLR: u64 = 0x30d0_0800 | 1 << 12 | 1 << 3 | 1 << 2 | 1;

global_asm!(
    r#"
    .global PAYLOAD
    .set    PAYLOAD, {payload}
    .global PAYLOAD_END
    .set    PAYLOAD_END, {payload_end}

    .section .text.boot, "ax"
    .global _start
_start:
    ldr     x9, =__bss
    ldr     x10, =__bss_end
2:  stp     xzr, xzr, [x9], #16
    cmp     x9, x10
    b.lo    2b
    mov     x0, xzr
    bl      host_mmu_on
    bl      host_primary
    b       .

    // x0: CPU index, below CPUS.
    .global host_secondary_start
host_secondary_start:
    bl      host_mmu_on
    bl      host_secondary
    b       .

    // Leaves x0 alone; sets the stack of CPU x0.
host_mmu_on:
    ldr     x9, =host_vectors
    msr     vbar_el1, x9
    ldr     x9, ={mair}
    msr     mair_el1, x9
    ldr     x9, ={tcr}
    msr     tcr_el1, x9
    ldr     x9, =HOST_ROOT
    msr     ttbr0_el1, x9
    tlbi    vmalle1
    ic      iallu
    dsb     sy
    isb
    ldr     x9, ={sctlr}
    msr     sctlr_el1, x9
    isb
    ldr     x9, =HOST_STACKS
    mov     x10, #{stack}
    add     x11, x0, #1
    madd    x9, x10, x11, x9
    mov     sp, x9
    ret
"#,
    payload = const PAYLOAD,
    payload_end = const PAYLOAD_END,
    mair = const MAIR,
    tcr = const TCR,
    sctlr = const SCTLR,
    stack = const STACK,
);

#[unsafe(no_mangle)]
extern "C" fn host_primary() -> ! {
    scenario::run()
}

/// An exception that no probe expected.
#[unsafe(no_mangle)]
extern "C" fn host_unexpected(vector: u64) -> ! {
    let mut out = Uart::last_words();
    out.text("\nhost stopped: exception");
    out.hex("vector", vector);
    out.hex("esr", read_reg!("esr_el1"));
    out.hex("elr", read_reg!("elr_el1"));
    out.hex("far", read_reg!("far_el1"));
    out.text("\n");
    exit::exit(exit::BROKEN)
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    use core::fmt::Write;
    let mut out = Uart::last_words();
    // The run ends here; there is nobody to tell if the line does not come out.
    let _ = writeln!(out, "\nhost stopped: {info}");
    exit::exit(exit::BROKEN)
}
