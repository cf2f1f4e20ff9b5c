//! Host or guest: two worlds at EL1, and the way between them.
//!
//! The host's world and a guest's differ in stage 2, traps and the EL1 registers. [`enter_guest`] is an
//! ordinary call of EL2 code that runs for the host: it returns when the guest needs somebody. Until then
//! the host's general registers wait on this CPU's stack, its EL1 registers in the per-CPU entry, and the
//! guest's hypercalls are answered on the same stack, further down.

use crate::host;
use crate::percpu::{self, PerCpu};
use crate::trap::Syndrome;
use crate::vcpu::{self, Vcpu};
use crate::vectors::Action;
use core::arch::global_asm;
use core::mem::offset_of;
use core::ptr::{self, NonNull};
use firmware_board::{read_reg, write_reg};

/// Why a guest stopped.
pub(crate) struct Exit {
    /// An interrupt for the host, rather than what the syndrome says.
    pub(crate) interrupt: bool,
    /// The exception, if it was not an interrupt. After an `HVC` the guest goes on behind it; any other
    /// trapped instruction is still to be executed or skipped.
    pub(crate) syndrome: Syndrome,
}

unsafe extern "C" {
    /// Loads x0..x30 from `x` and returns to EL1; comes back through `guest_left` with the action.
    fn guest_switch(x: *const u64, cpu: *const PerCpu) -> Action;
}

global_asm!(
    r#"
    .text
    .global guest_switch
guest_switch:
    stp     x29, x30, [sp, #-96]!
    stp     x27, x28, [sp, #16]
    stp     x25, x26, [sp, #32]
    stp     x23, x24, [sp, #48]
    stp     x21, x22, [sp, #64]
    stp     x19, x20, [sp, #80]
    mov     x2, sp
    str     x2, [x1, #{switch_sp}]
    ldp     x2, x3, [x0, #16]
    ldp     x4, x5, [x0, #32]
    ldp     x6, x7, [x0, #48]
    ldp     x8, x9, [x0, #64]
    ldp     x10, x11, [x0, #80]
    ldp     x12, x13, [x0, #96]
    ldp     x14, x15, [x0, #112]
    ldp     x16, x17, [x0, #128]
    ldp     x18, x19, [x0, #144]
    ldp     x20, x21, [x0, #160]
    ldp     x22, x23, [x0, #176]
    ldp     x24, x25, [x0, #192]
    ldp     x26, x27, [x0, #208]
    ldp     x28, x29, [x0, #224]
    ldr     x30, [x0, #240]
    ldp     x0, x1, [x0]
    eret
    dsb     nsh
    isb

    // From the vectors: x0 holds the action, sp what `guest_switch` noted.
    .global guest_left
guest_left:
    ldp     x19, x20, [sp, #80]
    ldp     x21, x22, [sp, #64]
    ldp     x23, x24, [sp, #48]
    ldp     x25, x26, [sp, #32]
    ldp     x27, x28, [sp, #16]
    ldp     x29, x30, [sp], #96
    ret
"#,
    switch_sp = const offset_of!(PerCpu, switch_sp),
);
const _: () = assert!(offset_of!(Vcpu, x) == 0);

/// Runs the vCPU on this CPU until it needs the host or the caller.
///
/// # Safety
/// Called on the host's behalf, not from a guest's hypercall. `guest` is valid, runs nowhere else, and no
/// reference to it is used until this returns; its stage 2 stays in force as long.
pub(crate) unsafe fn enter_guest(guest: NonNull<Vcpu>) -> Exit {
    let cpu = percpu::current();
    let guest = guest.as_ptr();
    let (host_pc, host_pstate) = (read_reg!("elr_el2"), read_reg!("spsr_el2"));
    let (timer, deadline) = (read_reg!("cntv_ctl_el0"), read_reg!("cntv_cval_el0"));
    // SAFETY: the per-CPU entry is this CPU's alone and the caller vouches for the vCPU. The registers
    // written shape EL1 and its traps, not the code running here; both worlds are restored in full.
    let action = unsafe {
        (*cpu.host.get()).save();
        (*guest).el1.load();
        // A guest has no virtual timer of its own: its interrupt would be the host's to take.
        write_reg!("cntv_ctl_el0", 0);
        write_reg!("cptr_el2", vcpu::CPTR);
        write_reg!("mdcr_el2", vcpu::MDCR | host::counters());
        write_reg!("cnthctl_el2", vcpu::CNTHCTL);
        write_reg!("vmpidr_el2", (*guest).vmpidr);
        write_reg!("vtcr_el2", (*guest).vtcr);
        write_reg!("vttbr_el2", (*guest).vttbr);
        write_reg!("hcr_el2", (*guest).hcr);
        write_reg!("elr_el2", (*guest).pc);
        write_reg!("spsr_el2", (*guest).pstate);
        cpu.vcpu.set(guest);
        let action = guest_switch((&raw const (*guest).x).cast(), cpu);
        cpu.vcpu.set(ptr::null_mut());
        (*guest).pc = read_reg!("elr_el2");
        (*guest).pstate = read_reg!("spsr_el2");
        (*guest).el1.save();
        action
    };
    let exit = Exit { interrupt: action == Action::ExitInterrupt, syndrome: Syndrome::read() };
    host::arm();
    // SAFETY: as above; these are the host's own values.
    unsafe {
        (*cpu.host.get()).load();
        write_reg!("cntv_cval_el0", deadline);
        write_reg!("cntv_ctl_el0", timer);
        write_reg!("elr_el2", host_pc);
        write_reg!("spsr_el2", host_pstate);
    }
    exit
}
