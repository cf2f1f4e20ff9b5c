//! How an answer is written.

use crate::target::{Answer, Called, Fault, Signal, Stop};
use tenure_abi::gmem::{ExitReason, PreFaultMemory};

/// `ok`, or the errno's name.
pub(super) fn answer<T>(answer: &Answer<T>) -> String {
    match answer {
        Ok(_) => "ok".into(),
        Err(errno) => format!("{errno:?}"),
    }
}

/// Why an access did not go through.
pub(super) fn stop(stop: &Stop, exit: Option<ExitReason>) -> String {
    match stop {
        Stop::MemoryFault(errno, fault) => {
            let (flags, gpa, size) = (fault.flags, fault.gpa, fault.size);
            format!("KVM_RUN {errno:?} exit=39 flags={flags:#x} gpa={gpa:#x} size={size:#x}")
        }
        Stop::Mmio { gpa, bytes, write } => {
            format!("exit=6 MMIO gpa={gpa:#x} len={bytes} write={}", u8::from(*write))
        }
        // KVM empties the exit reason before it enters the guest.
        Stop::Failed(errno) => format!("KVM_RUN {errno:?} exit={:#x}(stale)", exit.map_or(0, |exit| exit.0)),
        Stop::Exit(reason) => format!("exit={}", reason.0),
    }
}

/// What a host access found.
pub(super) fn touch(touch: Result<u8, Fault>) -> String {
    match touch {
        Ok(value) => format!("{value:#x}"),
        Err(Fault { signal: Signal::Bus, .. }) => "signal 7".into(),
        Err(Fault { signal: Signal::Segv, .. }) => "signal 11".into(),
    }
}

/// What a hypercall looked like to the VMM, if it came there, and what the guest got.
pub(super) fn called(called: &Called) -> String {
    let seen = called.exit.map_or_else(String::new, |exit| {
        format!("exit=3 nr={} args={:x?} flags={:#x} ", exit.number, exit.arguments, exit.flags)
    });
    format!("{seen}rax={}", called.result)
}

/// How a pre-fault ended and what it left.
pub(super) fn prefault(result: Answer, range: &PreFaultMemory) -> String {
    format!("{} left gpa={:#x} size={:#x}", answer(&result), range.gpa, range.size)
}
