//! Power for the host, by HVC or SMC: four calls are relayed, the rest is not offered.
//!
//! `CPU_ON` starts the CPU in this image, which arms EL2 and only then enters the host's address. A CPU
//! is off, on its way or on; only the move from off to on its way lets a caller write where it is to go.

use crate::smc;
use crate::vectors::Frame;
use crate::{fatal, percpu};
use core::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use firmware_board::layout::CPUS;
use tenure_abi::smccc::{self, psci};

const ALREADY_ON: i64 = -4;
const ON_PENDING: i64 = -5;

const OFF: u8 = 0;
const PENDING: u8 = 1;
const ON: u8 = 2;

/// A CPU's power state and, while it is on its way, where the host wants it.
struct Power {
    state: AtomicU8,
    entry: AtomicU64,
    context: AtomicU64,
}

static POWER: [Power; CPUS] =
    [const { Power { state: AtomicU8::new(OFF), entry: AtomicU64::new(0), context: AtomicU64::new(0) } }; CPUS];

unsafe extern "C" {
    /// In `boot`: where firmware starts a CPU.
    fn secondary_start();
}

/// Whether this is a call of the standard secure services, where PSCI lives.
#[inline]
pub(crate) const fn is_power_call(function: u32) -> bool {
    function >> 24 & 0x3f == 4
}

/// CPU 0 was on from the start.
pub(crate) fn mark_boot_cpu() {
    let [first, ..] = &POWER;
    first.state.store(ON, Ordering::Release);
}

/// A CPU came up: where the host wants it, and with what in x0.
pub(crate) fn arrived(cpu: usize) -> (u64, u64) {
    let Some(power) = POWER.get(cpu) else { fatal::stop("no such CPU") };
    // The caller's release in `cpu_on` came before the SMC that started this CPU.
    let place = (power.entry.load(Ordering::Acquire), power.context.load(Ordering::Acquire));
    power.state.store(ON, Ordering::Release);
    place
}

/// Answers the call in the frame if it is one of PSCI's that are offered. Out of line: rare, and the
/// registers it needs are then not saved for every other call.
#[cold]
#[inline(never)]
pub(crate) fn answer(frame: &mut Frame) -> bool {
    let [function, target, entry, context, ..] = frame.x;
    let result = match smccc::function(function) {
        // SAFETY: asks for a version number.
        psci::VERSION => unsafe { smc::call(psci::VERSION, [0; 3]) },
        psci::CPU_ON_64 => cpu_on(target, entry, context),
        psci::CPU_OFF => cpu_off(),
        // SAFETY: the host may end the run; nothing comes after it.
        psci::SYSTEM_OFF => unsafe { smc::call(psci::SYSTEM_OFF, [0; 3]) },
        _ => return false,
    };
    frame.x[0] = result;
    true
}

fn cpu_on(target: u64, entry: u64, context: u64) -> u64 {
    // The affinity of a CPU on this board is its index.
    let Some(power) = usize::try_from(target).ok().and_then(|cpu| POWER.get(cpu)) else {
        return psci::INVALID_PARAMETERS.cast_unsigned();
    };
    match power.state.compare_exchange(OFF, PENDING, Ordering::AcqRel, Ordering::Acquire) {
        Ok(_) => {}
        Err(PENDING) => return ON_PENDING.cast_unsigned(),
        Err(_) => return ALREADY_ON.cast_unsigned(),
    }
    power.entry.store(entry, Ordering::Release);
    power.context.store(context, Ordering::Release);
    // SAFETY: the CPU starts in this image, which arms EL2 before it enters the host.
    let result = unsafe { smc::call(psci::CPU_ON_64, [target, secondary_start as *const () as u64, target]) };
    if result != 0 {
        power.state.store(OFF, Ordering::Release);
    }
    result
}

fn cpu_off() -> u64 {
    if let Some(power) = POWER.get(percpu::current().cpu) {
        power.state.store(OFF, Ordering::Release);
        // SAFETY: this CPU holds nothing: it was in the host's world and starts anew when it comes back.
        let refused = unsafe { smc::call(psci::CPU_OFF, [0; 3]) };
        power.state.store(ON, Ordering::Release);
        return refused;
    }
    psci::INVALID_PARAMETERS.cast_unsigned()
}
