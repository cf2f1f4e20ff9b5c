//! A Linux kernel module that makes host hypercalls for the process that loads it, built without kernel headers.
//!
//! Only the kernel can reach pKVM's host interface: an HVC from EL1. This module makes up to three of them, one right
//! after the other on one CPU, and then refuses to be loaded: the answers are packed into the negative return
//! value of its init function, which `init_module(2)` hands to the caller. So nothing stays behind.
//!
//! The caller writes the calls into the file before it loads it, behind the mark `TENUREHC`:
//! the number of calls, then x0..x7 of each. The return value is `-(0x4000_0000 + answers)`, 8 bits an answer, the
//! first lowest: the errno, 0 for success, 0xfe where x0 says that there is no such call.
//!
//! Everything below that names an offset, a section or a version belongs to exactly one kernel package, Debian's
//! `linux-binary-7.3.4+deb13-cloud-arm64`; another kernel refuses the file (no MODVERSIONS there, so the version string
//! is all that is compared). Read off the package's own modules: `struct module` has 0x500 bytes, its name is at 0x18,
//! its init function at 0x130; the four sections at the end must exist.
#![no_std]

core::arch::global_asm!(
    r#"
    .section .text, "ax"
    .balign 8
    .global init_module
    .type init_module, %function
init_module:
    hint #34                        // landing pad: the kernel calls through a pointer
    stp  x29, x30, [sp, #-64]!
    stp  x19, x20, [sp, #16]
    stp  x21, x22, [sp, #32]
    str  x23, [sp, #48]
    adrp x19, calls
    add  x19, x19, :lo12:calls
    ldr  x20, [x19, #8]             // how many
    add  x19, x19, #16              // x0..x7 of the next one
    mov  x21, #0                    // answers so far
    mov  x22, #0                    // where the next answer goes
    mrs  x23, daif
    msr  daifset, #3                // nothing may come between the calls
1:  cbz  x20, 3f
    ldp  x0, x1, [x19], #16
    ldp  x2, x3, [x19], #16
    ldp  x4, x5, [x19], #16
    ldp  x6, x7, [x19], #16
    hvc  #0
    neg  x1, x1                     // x1 is 0 or a negative errno
    and  x1, x1, #0xff
    cbz  x0, 2f
    mov  x1, #0xfe
2:  lsl  x1, x1, x22
    orr  x21, x21, x1
    add  x22, x22, #8
    sub  x20, x20, #1
    b    1b
3:  msr  daif, x23
    mov  w0, #0x40000000
    add  w0, w0, w21
    neg  w0, w0
    ldr  x23, [sp, #48]
    ldp  x21, x22, [sp, #32]
    ldp  x19, x20, [sp, #16]
    ldp  x29, x30, [sp], #64
    ret
    .size init_module, . - init_module

    .section .data, "aw"
    .balign 16
    .type calls, %object
calls:
    .ascii "TENUREHC"
    .quad 0
    .rept 3 * 8
    .quad 0
    .endr
    .size calls, . - calls

    .section .gnu.linkonce.this_module, "aw"
    .balign 64
    .global __this_module
    .type __this_module, %object
__this_module:
    .space 0x18
    .asciz "tenurehc"
    .space 0x130 - 0x18 - 9
    .quad init_module
    .space 0x500 - 0x138
    .size __this_module, 0x500

    .section .modinfo, "a"
    .asciz "license=GPL"
    .asciz "depends="
    .asciz "name=tenurehc"
    .asciz "vermagic=7.3.4+deb13-cloud-arm64 SMP preempt mod_unload aarch64"

    .section .plt, "ax"
    .byte 0
    .section .init.plt, "a"
    .byte 0
    .section .text.ftrace_trampoline, "ax"
    .byte 0
    .section .init.text.ftrace_trampoline, "a"
    .byte 0
    "#
);
