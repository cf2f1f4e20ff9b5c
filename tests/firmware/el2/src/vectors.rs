//! In from a lower exception level and out again.
//!
//! Two ways in. An `HVC` from AArch64 takes the **fast** one: x0..x18, x29 and x30 go to the stack, the
//! compiler preserves the rest, and no EL1 register moves. Everything else takes the **slow** one, which
//! saves and restores x0..x30, so that a handler can read and write any of them.
//!
//! Both begin with the branch-history loop (Spectre-BHB: 24 taken branches on a Cortex-A76, then DSB and
//! ISB), before any indirect branch. A handler answers [`Action`]: go back to whoever was interrupted, or
//! leave the guest, which returns from `world::enter_guest` on the same stack.
//!
//! An exception from EL2 itself is a bug here: it is reported on a stack of its own and ends the run.

use crate::percpu::PerCpu;
use core::arch::global_asm;
use core::mem::offset_of;

/// General registers of an interrupted EL1 or EL0, by number.
#[repr(C, align(16))]
pub(crate) struct Frame {
    /// x0..x30. On the fast way in, x19..x28 hold nothing of use.
    pub(crate) x: [u64; 31],
    pad: u64,
}

/// What to do after a handler.
#[repr(u64)]
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// Back to the interrupted code.
    Resume = 0,
    /// Out of the guest, on account of the synchronous exception in `ESR_EL2`. Only in a guest's world.
    Exit = 1,
    /// Out of the guest: an interrupt is pending for the host. Only in a guest's world.
    ExitInterrupt = 2,
}

/// What interrupted EL1 or EL0 on the slow way in.
#[repr(u64)]
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    /// An exception with a syndrome in `ESR_EL2`.
    Synchronous = 0,
    /// IRQ or FIQ.
    Interrupt = 1,
}

const FRAME: usize = size_of::<Frame>();
const _: () = assert!(FRAME == 256 && offset_of!(PerCpu, vcpu) == 0);

global_asm!(
    r#"
    // From a lower level: two registers to the stack, then the branch history is overwritten.
    .macro ENTER
    sub     sp, sp, #{frame}
    stp     x0, x1, [sp]
    mov     x0, #24
2:  b       3f
3:  subs    x0, x0, #1
    b.ne    2b
    dsb     nsh
    isb
    .endm

    .macro SLOW cause
    .balign 128
    ENTER
    mov     x1, #\cause
    b       slow
    .endm

    .macro FATAL number
    .balign 128
    mov     x0, #\number
    b       broken
    .endm

    .section .text.vectors, "ax"
    .balign 2048
    .global vectors
vectors:
    FATAL   0
    FATAL   1
    FATAL   2
    FATAL   3
    FATAL   4
    FATAL   5
    FATAL   6
    FATAL   7
    .balign 128             // AArch64, synchronous
    ENTER
    mrs     x0, esr_el2
    ubfx    x0, x0, #26, #6
    cmp     x0, #0x16       // HVC
    b.eq    fast
    mov     x1, #{synchronous}
    b       slow
    SLOW    {interrupt}     // IRQ
    SLOW    {interrupt}     // FIQ
    FATAL   11              // SError
    SLOW    {synchronous}   // AArch32 at EL0
    SLOW    {interrupt}
    SLOW    {interrupt}
    FATAL   15
    .balign 128

fast:
    stp     x2, x3, [sp, #16]
    stp     x4, x5, [sp, #32]
    stp     x6, x7, [sp, #48]
    stp     x8, x9, [sp, #64]
    stp     x10, x11, [sp, #80]
    stp     x12, x13, [sp, #96]
    stp     x14, x15, [sp, #112]
    stp     x16, x17, [sp, #128]
    str     x18, [sp, #144]
    stp     x29, x30, [sp, #232]
    mov     x0, sp
    bl      hvc_entry
    cbnz    x0, leave_fast
    ldp     x29, x30, [sp, #232]
    ldr     x18, [sp, #144]
back:
    ldp     x2, x3, [sp, #16]
    ldp     x4, x5, [sp, #32]
    ldp     x6, x7, [sp, #48]
    ldp     x8, x9, [sp, #64]
    ldp     x10, x11, [sp, #80]
    ldp     x12, x13, [sp, #96]
    ldp     x14, x15, [sp, #112]
    ldp     x16, x17, [sp, #128]
    ldp     x0, x1, [sp], #{frame}
    eret
    dsb     nsh             // no speculation past ERET
    isb

slow:
    stp     x2, x3, [sp, #16]
    stp     x4, x5, [sp, #32]
    stp     x6, x7, [sp, #48]
    stp     x8, x9, [sp, #64]
    stp     x10, x11, [sp, #80]
    stp     x12, x13, [sp, #96]
    stp     x14, x15, [sp, #112]
    stp     x16, x17, [sp, #128]
    stp     x18, x19, [sp, #144]
    stp     x20, x21, [sp, #160]
    stp     x22, x23, [sp, #176]
    stp     x24, x25, [sp, #192]
    stp     x26, x27, [sp, #208]
    stp     x28, x29, [sp, #224]
    str     x30, [sp, #240]
    mov     x0, sp
    bl      lower_entry
    cbnz    x0, leave
    ldr     x30, [sp, #240]
    ldp     x28, x29, [sp, #224]
    ldp     x26, x27, [sp, #208]
    ldp     x24, x25, [sp, #192]
    ldp     x22, x23, [sp, #176]
    ldp     x20, x21, [sp, #160]
    ldp     x18, x19, [sp, #144]
    b       back

    // Out of the guest, x0: the action. The frame gets what the compiler preserved ...
leave_fast:
    str     x19, [sp, #152]
    stp     x20, x21, [sp, #160]
    stp     x22, x23, [sp, #176]
    stp     x24, x25, [sp, #192]
    stp     x26, x27, [sp, #208]
    str     x28, [sp, #224]
    // ... and moves to the vCPU, whose first field is x0..x30; then `enter_guest` goes on.
leave:
    mrs     x1, tpidr_el2
    ldr     x2, [x1, #{vcpu}]
    mov     x3, #15
4:  ldp     x4, x5, [sp], #16
    stp     x4, x5, [x2], #16
    subs    x3, x3, #1
    b.ne    4b
    ldr     x4, [sp]
    str     x4, [x2]
    ldr     x2, [x1, #{switch_sp}]
    mov     sp, x2
    b       guest_left

broken:
    ldr     x9, =EL2_LAST_STACK + {last_stack}
    mov     sp, x9
    b       fatal_exception
"#,
    frame = const FRAME,
    synchronous = const Cause::Synchronous as u64,
    interrupt = const Cause::Interrupt as u64,
    vcpu = const offset_of!(PerCpu, vcpu),
    switch_sp = const offset_of!(PerCpu, switch_sp),
    last_stack = const crate::fatal::STACK,
);
