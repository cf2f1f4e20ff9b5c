//! Loads and stores that survive a signal.
//!
//! Each access is made by one known instruction. The signal handler sees that it was this one, leaves word of what
//! happened in the registers in which the function returns its answer, and continues behind it. There is no global state,
//! so any number of threads may touch memory.

use crate::target::{Fault, Signal};
use std::arch::global_asm;

// Both take the address in RDI and return RAX and RDX. RDX is 0 if the access went through, otherwise what `on_signal`
// has put there.
global_asm!(
    r"
    .text
    .global tenure_touch_load, tenure_touch_store, tenure_touched
tenure_touch_load:
    movzx eax, byte ptr [rdi]
    xor edx, edx
    ret
tenure_touch_store:
    mov byte ptr [rdi], sil
    xor eax, eax
    xor edx, edx
tenure_touched:
    ret
    "
);

/// The two registers of an answer.
#[repr(C)]
struct Outcome {
    /// The byte loaded, or the address of the fault.
    value: u64,
    /// 0, or the signal in bits 0..32 and its code in bits 32..64.
    signal: u64,
}

unsafe extern "C" {
    fn tenure_touch_load(address: u64) -> Outcome;
    fn tenure_touch_store(address: u64, value: u8) -> Outcome;
    fn tenure_touched();
}

extern "C" fn on_signal(signal: i32, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    let context = context.cast::<libc::ucontext_t>();
    // SAFETY: the kernel passes valid pointers to a handler that was installed with `SA_SIGINFO`; for these signals
    // `si_addr` is what the union holds.
    unsafe {
        let registers = &mut (*context).uc_mcontext.gregs;
        let at = registers[libc::REG_RIP as usize].cast_unsigned();
        if at != tenure_touch_load as *const () as u64 && at != tenure_touch_store as *const () as u64 {
            // Not ours: happen again, and end the process as it would have.
            libc::signal(signal, libc::SIG_DFL);
            return;
        }
        let word = u64::from(signal.cast_unsigned()) | u64::from((*info).si_code.cast_unsigned()) << 32;
        registers[libc::REG_RAX as usize] = (*info).si_addr() as i64;
        registers[libc::REG_RDX as usize] = word.cast_signed();
        registers[libc::REG_RIP as usize] = tenure_touched as *const () as i64;
    }
}

/// From now on a signal inside a touch is survived; any other still ends the process.
pub(super) fn catch_signals() {
    // SAFETY: all-zero is a valid `sigaction`; the handler has the signature that `SA_SIGINFO` asks for and calls
    // nothing that is not async-signal-safe.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = on_signal as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_NODEFER | libc::SA_ONSTACK;
        libc::sigaction(libc::SIGSEGV, &raw const action, std::ptr::null_mut());
        libc::sigaction(libc::SIGBUS, &raw const action, std::ptr::null_mut());
    }
}

/// `offset` is where in a mapping that begins at `start` the access was made.
fn outcome(start: u64, outcome: &Outcome) -> Result<u8, Fault> {
    let signal = outcome.signal as u32;
    if signal == 0 {
        return Ok(outcome.value as u8);
    }
    let code = ((outcome.signal >> 32) as u32).cast_signed();
    let signal = if signal == libc::SIGBUS.cast_unsigned() { Signal::Bus } else { Signal::Segv };
    Err(Fault { signal, code, offset: outcome.value.wrapping_sub(start) })
}

/// Loads the byte at `offset` of a mapping that begins at `start`.
pub(super) fn load(start: u64, offset: u64) -> Result<u8, Fault> {
    // SAFETY: the function loads one byte and follows the calling convention; a fault is caught by `on_signal`.
    outcome(start, &unsafe { tenure_touch_load(start + offset) })
}

/// Stores the byte at `offset` of a mapping that begins at `start`: memory to which no reference is ever made.
pub(super) fn store(start: u64, offset: u64, value: u8) -> Result<(), Fault> {
    // SAFETY: callers pass mappings of this target, to which no references exist; otherwise as in `load`.
    outcome(start, &unsafe { tenure_touch_store(start + offset, value) }).map(drop)
}
