//! Loads and stores that may fault: the fault is a result, not the end.
//!
//! The two instructions have labels of their own. The exception vector looks where the fault came from; at
//! one of the labels it puts the syndrome in x1 and the address in x2 and skips the instruction.

use core::arch::global_asm;

/// A fault that a probe took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// `ESR_EL1`; never 0.
    pub(crate) esr: u64,
    /// `FAR_EL1`.
    pub(crate) far: u64,
}

impl Fault {
    /// The exception class: 0x25 is a data abort at EL1 itself.
    pub(crate) fn class(self) -> u64 {
        self.esr >> 26 & 0x3f
    }
}

/// x0..x2 of a probe: the value loaded, the syndrome or 0, the fault address.
#[repr(C)]
struct Outcome {
    value: u64,
    fault: [u64; 2],
}

unsafe extern "C" {
    fn probe_load_entry(out: &mut Outcome, address: u64);
    fn probe_timed_entry(out: &mut Outcome, address: u64) -> u64;
    fn probe_store_entry(out: &mut Outcome, address: u64, value: u64);
}

global_asm!(
    r#"
    .text
    .global probe_load_entry
probe_load_entry:
    mov     x9, x0
    mov     x3, x1
    mov     x0, xzr
    mov     x1, xzr
    mov     x2, xzr
probe_load_at:
    ldr     x0, [x3]
    stp     x0, x1, [x9]
    str     x2, [x9, #16]
    ret

    .global probe_timed_entry
probe_timed_entry:
    mov     x9, x0
    mov     x3, x1
    mov     x0, xzr
    mov     x1, xzr
    mov     x2, xzr
    isb
    mrs     x4, cntvct_el0
probe_timed_at:
    ldr     x0, [x3]
    mrs     x5, cntvct_el0
    stp     x0, x1, [x9]
    str     x2, [x9, #16]
    sub     x0, x5, x4
    ret
    .global probe_store_entry
probe_store_entry:
    mov     x9, x0
    mov     x3, x1
    mov     x4, x2
    mov     x1, xzr
    mov     x2, xzr
probe_store_at:
    str     x4, [x3]
    dsb     sy
    stp     xzr, x1, [x9]
    str     x2, [x9, #16]
    ret

    .macro UNEXPECTED number
    .balign 128
    mov     x0, #\number
    b       host_unexpected
    .endm

    .section .text.vectors, "ax"
    .balign 2048
    .global host_vectors
host_vectors:
    UNEXPECTED 0
    UNEXPECTED 1
    UNEXPECTED 2
    UNEXPECTED 3
    .balign 128             // EL1 on its own stack, synchronous
    b       host_synchronous
    UNEXPECTED 5
    UNEXPECTED 6
    UNEXPECTED 7
    UNEXPECTED 8
    UNEXPECTED 9
    UNEXPECTED 10
    UNEXPECTED 11
    UNEXPECTED 12
    UNEXPECTED 13
    UNEXPECTED 14
    UNEXPECTED 15
    .balign 128
host_synchronous:           // a probe lives with x10, x11 lost
    mrs     x10, elr_el1
    adr     x11, probe_load_at
    cmp     x10, x11
    b.eq    2f
    adr     x11, probe_timed_at
    cmp     x10, x11
    b.eq    2f
    adr     x11, probe_store_at
    cmp     x10, x11
    b.eq    2f
    mov     x0, #4
    b       host_unexpected
2:  mrs     x1, esr_el1
    mrs     x2, far_el1
    add     x10, x10, #4
    msr     elr_el1, x10
    eret
"#
);

/// Loads the u64 at `address`.
///
/// # Errors
/// The fault, if there was one.
pub(crate) fn load(address: u64) -> Result<u64, Fault> {
    let mut out = Outcome { value: 0, fault: [0; 2] };
    // SAFETY: a load changes nothing, and a fault of this one comes back as a value.
    unsafe { probe_load_entry(&mut out, address) };
    out.result()
}

/// As [`load`], with the ticks from just before to just after it, without those of the readings.
pub(crate) fn timed_load(address: u64) -> (Result<u64, Fault>, u64) {
    let mut out = Outcome { value: 0, fault: [0; 2] };
    // SAFETY: as in `load`.
    let ticks = unsafe { probe_timed_entry(&mut out, address) };
    // The load itself and the second reading are not EL2's.
    (out.result(), ticks.saturating_sub(2))
}

/// Stores a u64 at `address`.
///
/// # Safety
/// No Rust object lives at `address`, unless it is atomic or the caller owns it.
///
/// # Errors
/// The fault, if there was one.
pub(crate) unsafe fn store(address: u64, value: u64) -> Result<(), Fault> {
    let mut out = Outcome { value: 0, fault: [0; 2] };
    // SAFETY: the caller vouches for the place; a fault comes back as a value.
    unsafe { probe_store_entry(&mut out, address, value) };
    out.result().map(|_| ())
}

impl Outcome {
    fn result(self) -> Result<u64, Fault> {
        match self.fault {
            [0, _] => Ok(self.value),
            [esr, far] => Err(Fault { esr, far }),
        }
    }
}
