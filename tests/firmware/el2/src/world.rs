//! Host or guest: two worlds at EL1, and the way between them.
//!
//! The host's world and a guest's differ in stage 2, traps and the EL1 registers. [`enter_guest`] is an
//! ordinary call of EL2 code that runs for the host: it returns when the guest needs somebody. Until then
//! the host's general registers wait on this CPU's stack, its EL1 registers in the per-CPU entry, and the
//! guest's hypercalls are answered on the same stack, further down.

use crate::glue;
use crate::percpu::{self, PerCpu};
use crate::state::El1State;
use crate::trap::Syndrome;
use crate::vectors::Action;
use core::arch::{asm, global_asm};
use core::mem::offset_of;
use core::ptr::{self, NonNull};
use firmware_board::{read_reg, write_reg};

/// Stage 2 on, SMC trapped, EL1 is AArch64. Interrupts and the rest are the host's own.
const HCR_HOST: u64 = HCR_VM | HCR_TSC | HCR_RW;
/// As the host, and interrupts go to EL2, waiting is seen, and what a small guest has no use for is trapped.
pub(crate) const HCR_GUEST: u64 = HCR_HOST
    | 1 << 1   // SWIO: set/way invalidate becomes clean and invalidate
    | 7 << 3   // FMO, IMO, AMO
    | 1 << 9   // FB: maintenance reaches all CPUs
    | 1 << 10  // BSU: barriers are inner shareable at least
    | 1 << 13  // TWI
    | 1 << 20  // TIDCP
    | 1 << 21; // TACR
const HCR_VM: u64 = 1;
const HCR_TSC: u64 = 1 << 19;
const HCR_RW: u64 = 1 << 31;

/// RES1 bits: nothing is trapped.
const CPTR_HOST: u64 = 0x33ff;
/// TFP: the vector registers stay the host's; EL2 and guests are soft-float. TTA: no trace.
const CPTR_GUEST: u64 = CPTR_HOST | 1 << 10 | 1 << 20;
/// Debug and performance monitor registers trap: TDRA, TDOSA, TDA, TPM, TPMCR.
const MDCR_GUEST: u64 = 1 << 11 | 1 << 10 | 1 << 9 | 1 << 6 | 1 << 5;
/// EL1 reads the physical counter and has the physical timer.
const CNTHCTL_HOST: u64 = 3;
/// EL1 reads the physical counter only.
const CNTHCTL_GUEST: u64 = 1;

/// PSTATE of a CPU that starts at EL1: own stack pointer, D, A, I and F masked.
pub(crate) const PSTATE_START: u64 = 0x3c5;

/// A virtual CPU that is not running. `x` comes first: the assembly addresses it by that.
#[repr(C)]
pub(crate) struct Vcpu {
    /// x0..x30.
    pub(crate) x: [u64; 31],
    /// Where it goes on.
    pub(crate) pc: u64,
    /// With which PSTATE.
    pub(crate) pstate: u64,
    /// Its EL1 registers; while it runs, the live registers are the truth.
    pub(crate) el1: El1State,
    /// `HCR_EL2`, usually [`HCR_GUEST`].
    pub(crate) hcr: u64,
    /// `VTTBR_EL2`: its stage 2 and VMID.
    pub(crate) vttbr: u64,
    /// `VTCR_EL2`.
    pub(crate) vtcr: u64,
    /// `MPIDR_EL1` as it sees it.
    pub(crate) vmpidr: u64,
    /// For the glue: what this vCPU belongs to.
    pub(crate) user: u64,
}

impl Vcpu {
    /// A vCPU that starts at `entry` with `argument` in x0 and the stage 2 given.
    pub(crate) const fn new(entry: u64, argument: u64, vttbr: u64, vtcr: u64, index: u64) -> Self {
        let mut x = [0; 31];
        x[0] = argument;
        Self {
            x,
            pc: entry,
            pstate: PSTATE_START,
            el1: El1State::RESET,
            hcr: HCR_GUEST,
            vttbr,
            vtcr,
            vmpidr: 1 << 31 | index & 0xff,
            user: 0,
        }
    }
}

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
/// Called on the host's behalf, not from a guest's hypercall. `vcpu` is valid, runs nowhere else, and no
/// reference to it is used until this returns; its stage 2 stays in force as long.
pub(crate) unsafe fn enter_guest(vcpu: NonNull<Vcpu>) -> Exit {
    let cpu = percpu::current();
    let vcpu = vcpu.as_ptr();
    let (host_pc, host_pstate) = (read_reg!("elr_el2"), read_reg!("spsr_el2"));
    let (timer, deadline) = (read_reg!("cntv_ctl_el0"), read_reg!("cntv_cval_el0"));
    // SAFETY: the per-CPU entry is this CPU's alone and the caller vouches for the vCPU. The registers
    // written shape EL1 and its traps, not the code running here; both worlds are restored in full.
    let action = unsafe {
        (*cpu.host.get()).save();
        (*vcpu).el1.load();
        // A guest has no virtual timer of its own: its interrupt would be the host's to take.
        write_reg!("cntv_ctl_el0", 0);
        write_reg!("cptr_el2", CPTR_GUEST);
        write_reg!("mdcr_el2", MDCR_GUEST | counters());
        write_reg!("cnthctl_el2", CNTHCTL_GUEST);
        write_reg!("vmpidr_el2", (*vcpu).vmpidr);
        write_reg!("vtcr_el2", (*vcpu).vtcr);
        write_reg!("vttbr_el2", (*vcpu).vttbr);
        write_reg!("hcr_el2", (*vcpu).hcr);
        write_reg!("elr_el2", (*vcpu).pc);
        write_reg!("spsr_el2", (*vcpu).pstate);
        cpu.vcpu.set(vcpu);
        let action = guest_switch((&raw const (*vcpu).x).cast(), cpu);
        cpu.vcpu.set(ptr::null_mut());
        (*vcpu).pc = read_reg!("elr_el2");
        (*vcpu).pstate = read_reg!("spsr_el2");
        (*vcpu).el1.save();
        action
    };
    let exit = Exit { interrupt: action == Action::ExitInterrupt, syndrome: Syndrome::read() };
    arm_host();
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

/// `MDCR_EL2.HPMN`: all the event counters there are, `PMCR_EL0.N`.
fn counters() -> u64 {
    read_reg!("pmcr_el0") >> 11 & 0x1f
}

/// Puts the host's stage 2 and traps in force.
fn arm_host() {
    let stage2 = glue::host_translation();
    // SAFETY: shapes EL1 and its traps, not the code running here. The barrier makes a stage-2 walk for
    // the host see all of it.
    unsafe {
        write_reg!("vtcr_el2", stage2.vtcr);
        write_reg!("vttbr_el2", stage2.vttbr);
        write_reg!("hcr_el2", HCR_HOST);
        write_reg!("cptr_el2", CPTR_HOST);
        write_reg!("mdcr_el2", counters());
        write_reg!("cnthctl_el2", CNTHCTL_HOST);
        write_reg!("vmpidr_el2", read_reg!("mpidr_el1"));
        asm!("isb", options(nostack, preserves_flags));
    }
}

/// Arms a CPU that has not run the host yet.
pub(crate) fn first_arm() {
    // SAFETY: registers that hold an unknown value after reset and are never written again.
    unsafe {
        write_reg!("cntvoff_el2", 0);
        write_reg!("hstr_el2", 0);
        write_reg!("vpidr_el2", read_reg!("midr_el1"));
        write_reg!("S3_4_C12_C9_5", 0xf); // ICC_SRE_EL2: EL1 may use the GIC's system registers
    }
    arm_host();
    // SAFETY: nothing of EL1 is in use on this CPU yet; stale translations of an earlier life go.
    unsafe { asm!("tlbi alle1", "dsb nsh", "isb", options(nostack, preserves_flags)) };
}

/// Enters the host at `entry` with `context` in x0 and every other register in its reset state. This CPU's
/// stack is empty from here on: the next exception starts at its top.
pub(crate) fn enter_host(entry: u64, context: u64) -> ! {
    let top = crate::boot::stack_top(percpu::current().cpu);
    // SAFETY: the registers are EL1's own. Nothing on the stack is used after its pointer is reset, and
    // the stage 2 in force decides whether `entry` can be executed.
    unsafe {
        El1State::RESET.load();
        write_reg!("cntv_ctl_el0", 0);
        write_reg!("cntp_ctl_el0", 0);
        write_reg!("elr_el2", entry);
        write_reg!("spsr_el2", PSTATE_START);
        asm!(
            "mov sp, {top}",
            "mov x1, xzr", "mov x2, xzr", "mov x3, xzr", "mov x4, xzr", "mov x5, xzr",
            "mov x6, xzr", "mov x7, xzr", "mov x8, xzr", "mov x9, xzr", "mov x10, xzr",
            "mov x11, xzr", "mov x12, xzr", "mov x13, xzr", "mov x14, xzr", "mov x15, xzr",
            "mov x16, xzr", "mov x17, xzr", "mov x18, xzr", "mov x19, xzr", "mov x20, xzr",
            "mov x21, xzr", "mov x22, xzr", "mov x23, xzr", "mov x24, xzr", "mov x25, xzr",
            "mov x26, xzr", "mov x27, xzr", "mov x28, xzr", "mov x29, xzr", "mov x30, xzr",
            "eret",
            "dsb nsh",
            "isb",
            top = in(reg) top,
            in("x0") context,
            options(noreturn)
        )
    }
}
