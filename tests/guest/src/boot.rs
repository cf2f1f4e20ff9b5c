//! First instruction, exception vectors, and the way out.

use core::arch::global_asm;
use tenure_abi::smccc::psci;
use tenure_test_protocol::{Event, Exception, layout};

/// Where the exception reports go in the mailbox.
const fn register(what: Exception) -> u64 {
    Event::Exception(what, 0).encode().0
}

// Every vector reports syndrome, address and the interrupted instruction, then powers off. It uses no
// stack: a wild stack pointer may be why it is here.
global_asm!(
    r#"
    .section .text.entry, "ax"
    .global guest_entry
guest_entry:
    ldr  x9, =guest_vectors
    msr  vbar_el1, x9
    isb
    ldr  x9, ={stack}
    mov  sp, x9
    bl   {main}

    .balign 2048
guest_vectors:
    .rept 16
    .balign 128
    b    guest_report
    .endr
    .balign 128
guest_report:
    ldr  x9, ={mailbox}
    mrs  x10, esr_el1
    str  x10, [x9, #{syndrome}]
    mrs  x10, far_el1
    str  x10, [x9, #{address}]
    mrs  x10, elr_el1
    ldr  w10, [x10]
    str  x10, [x9, #{instruction}]
    ldr  x0, ={off}
    hvc  #0
1:  wfi
    b    1b
    .ltorg
    "#,
    stack = const layout::STACK_TOP,
    main = sym crate::guest_main,
    mailbox = const layout::MAILBOX,
    syndrome = const register(Exception::Syndrome),
    address = const register(Exception::FaultAddress),
    instruction = const register(Exception::Instruction),
    off = const psci::SYSTEM_OFF,
);

/// Asks to be powered off, for ever.
pub fn power_off() -> ! {
    loop {
        smccc::hvc64(psci::SYSTEM_OFF, [0; 17]);
    }
}
