//! Loads and stores that survive a fault.
//!
//! A page that a guest holds private faults on access. The access is made by one known instruction; the
//! signal handler sees that it was this one, notes what happened and continues after it.

use std::arch::{asm, global_asm};
use std::sync::atomic::{AtomicI32, Ordering::SeqCst};

// Both leave 0 in x1 if the access went through; the handler jumps to `probe_faulted`, which leaves 1.
global_asm!(
    r"
    .text
    .global probe_load, probe_store, probe_faulted
probe_load:
    ldr x0, [x0]
    mov x1, #0
    ret
probe_store:
    str x1, [x0]
    mov x1, #0
    ret
probe_faulted:
    mov x1, #1
    ret
    "
);

unsafe extern "C" {
    fn probe_load();
    fn probe_store();
    fn probe_faulted();
}

/// The signal of a fault: its number and `si_code`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// `SIGSEGV` or `SIGBUS`.
    pub signal: i32,
    /// Why, for example `SEGV_ACCERR` = 2.
    pub code: i32,
}

impl Fault {
    /// What pKVM's host kernel sends for a page of a guest: `SIGSEGV` with `SEGV_ACCERR`.
    pub const PKVM: Self = Self { signal: libc::SIGSEGV, code: 2 };
}

static SIGNAL: AtomicI32 = AtomicI32::new(0);
static CODE: AtomicI32 = AtomicI32::new(0);

extern "C" fn on_fault(signal: i32, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    let context = context.cast::<libc::ucontext_t>();
    // SAFETY: the kernel passes valid pointers to a handler that was installed with `SA_SIGINFO`.
    unsafe {
        SIGNAL.store(signal, SeqCst);
        CODE.store((*info).si_code, SeqCst);
        let pc = (*context).uc_mcontext.pc;
        if pc != probe_load as *const () as u64 && pc != probe_store as *const () as u64 {
            libc::abort();
        }
        (*context).uc_mcontext.pc = probe_faulted as *const () as u64;
    }
}

/// From now on a fault inside a probe is survived; any other still ends the process.
pub fn catch_faults() {
    // SAFETY: all-zero is a valid `sigaction`; the handler has the signature that `SA_SIGINFO` asks for and calls
    // nothing that is not async-signal-safe.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = on_fault as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_NODEFER;
        libc::sigaction(libc::SIGSEGV, &raw const action, std::ptr::null_mut());
        libc::sigaction(libc::SIGBUS, &raw const action, std::ptr::null_mut());
    }
}

fn outcome<T>(value: T, faulted: u64) -> Result<T, Fault> {
    match faulted {
        0 => Ok(value),
        _ => Err(Fault { signal: SIGNAL.load(SeqCst), code: CODE.load(SeqCst) }),
    }
}

/// Loads the word at `address`, which lies in a mapping of this process.
pub fn load(address: u64) -> Result<u64, Fault> {
    let (value, faulted): (u64, u64);
    // SAFETY: `probe_load` only loads and follows the calling convention; a fault is caught by `on_fault`.
    unsafe {
        asm!("bl {probe}", probe = sym probe_load, inout("x0") address => value, out("x1") faulted, out("x30") _);
    }
    outcome(value, faulted)
}

/// Stores `value` at `address`, which lies in guest memory of this process.
pub fn store(address: u64, value: u64) -> Result<(), Fault> {
    let faulted: u64;
    // SAFETY: callers pass addresses of guest memory, to which no references exist; otherwise as in `load`.
    unsafe {
        asm!("bl {probe}", probe = sym probe_store, in("x0") address, inout("x1") value => faulted, out("x30") _);
    }
    outcome((), faulted)
}
