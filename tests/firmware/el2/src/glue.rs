//! Where exceptions meet `tenure_hyp::el2`: calls and faults go in, and what the answer says is done.

use crate::guests::{self, Running};
use crate::machine::{self, el2};
use crate::trap::Syndrome;
use crate::vectors::{Action, Frame};
use crate::{inject, percpu, psci, selftest};
use firmware_board::{read_reg, write_reg};
use tenure_abi::smccc;
use tenure_hyp::el2::{GuestOutcome, HostFault, HostOutcome};

/// Bytes of an `HVC`: what a rewind goes back.
const HVC: u64 = 4;

/// The stage 2 that the host runs with.
pub(crate) struct HostTranslation {
    /// `VTTBR_EL2`.
    pub(crate) vttbr: u64,
    /// `VTCR_EL2`.
    pub(crate) vtcr: u64,
}

/// Once, on CPU 0, with MMU and caches on, before the host runs.
pub(crate) fn init() {
    machine::init();
    selftest::init();
}

/// What the host runs with, on every CPU.
pub(crate) fn host_translation() -> HostTranslation {
    HostTranslation { vttbr: el2().host_context().raw(), vtcr: el2().host_vtcr() }
}

/// An `HVC` from host or guest, on the fast way in.
#[unsafe(no_mangle)]
extern "C" fn hvc_entry(frame: &mut Frame) -> Action {
    let vcpu = percpu::current().vcpu.get();
    if vcpu.is_null() {
        return host_call(frame);
    }
    // SAFETY: this CPU runs the vCPU, so the structure is valid; `user` was written before it was entered.
    let Some(running) = (unsafe { Running::of(vcpu) }) else {
        return selftest_guest_call(frame);
    };
    let [a, b, c, d, ..] = frame.x;
    match el2().guest_call_fast(&running.token, [a, b, c, d]) {
        Some(reply) => put(frame, reply),
        // Out of line, so that what it needs saved is not saved for the fast case.
        None => guest_call(frame, running),
    }
}

#[cold]
#[inline(never)]
fn guest_call(frame: &mut Frame, running: &Running) -> Action {
    let [a, b, c, d, ..] = frame.x;
    match el2().guest_call(&running.token, [a, b, c, d]) {
        GuestOutcome::Reply(reply) => put(frame, reply),
        GuestOutcome::Rewind => {
            rewind();
            Action::Resume
        }
        GuestOutcome::ReplyAndStop(reply, stop) => {
            put(frame, reply);
            running.stop.set(Some(stop));
            Action::Exit
        }
        GuestOutcome::RewindAndStop(stop) => {
            rewind();
            running.stop.set(Some(stop));
            Action::Exit
        }
    }
}

/// The guest's next instruction is its call again.
#[cold]
fn rewind() {
    // SAFETY: where this guest goes on.
    unsafe { write_reg!("elr_el2", read_reg!("elr_el2").wrapping_sub(HVC)) };
}

#[inline]
fn put(frame: &mut Frame, reply: [u64; 4]) -> Action {
    let [a, b, c, d, ..] = &mut frame.x;
    [*a, *b, *c, *d] = reply;
    Action::Resume
}

#[cold]
#[inline(never)]
fn selftest_guest_call(frame: &mut Frame) -> Action {
    if selftest::stops(smccc::function(frame.x[0])) {
        return Action::Exit;
    }
    frame.x[0] = smccc::NOT_SUPPORTED.cast_unsigned();
    Action::Resume
}

#[cold]
#[inline(never)]
fn host_call(frame: &mut Frame) -> Action {
    let function = smccc::function(frame.x[0]);
    if psci::is_power_call(function) {
        if !psci::answer(frame) {
            frame.x[0] = smccc::NOT_SUPPORTED.cast_unsigned();
        }
        return Action::Resume;
    }
    if selftest::offered() && selftest::answer(frame) {
        return Action::Resume;
    }
    let [a, b, c, d, e, f, ..] = frame.x;
    match el2().host_call([a, b, c, d, e, f]) {
        HostOutcome::Reply(reply) => put(frame, reply),
        HostOutcome::Run(token, resume) => put(frame, guests::run(token, resume)),
    }
}

/// A stage-2 abort of host or guest, on the slow way in.
pub(crate) fn abort_entry(_frame: &mut Frame, syndrome: Syndrome) -> Action {
    let vcpu = percpu::current().vcpu.get();
    // SAFETY: as in `hvc_entry`.
    if !vcpu.is_null() && unsafe { Running::of(vcpu) }.is_some() {
        return Action::Exit;
    }
    // The host, or a self test's guest, which runs on the host's stage 2.
    let fault = syndrome.stage2_fault_address().map(|address| el2().host_fault(address));
    if fault == Some(HostFault::Retry) {
        return Action::Resume;
    }
    if !vcpu.is_null() {
        return Action::Exit;
    }
    // The host's kernel tells this abort from others by the mark that pKVM puts into it.
    let esr = tenure_arch::syndrome::Syndrome(syndrome.esr).reflected(read_reg!("spsr_el2"));
    inject::inject(esr.unwrap_or(syndrome.esr), syndrome.far);
    Action::Resume
}
