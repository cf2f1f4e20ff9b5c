//! The seams of the image: who answers hypercalls and stage-2 faults, and what the host sees of memory.
//!
//! Here: no ownership. The host sees all RAM but the carve-out, and a fault is for it to handle.

use crate::trap::Syndrome;
use crate::vectors::{Action, Frame};
use crate::{inject, percpu, psci, selftest};
use core::sync::atomic::{AtomicU64, Ordering};
use firmware_board::layout::{CARVEOUT_END, IMAGE, RAM, RAM_END};
use tenure_abi::smccc;

/// `VTCR_EL2`: 40-bit addresses in and out from level 1, inner shareable write-back walks; bit 31 is RES1.
const VTCR: u64 = 1 << 31 | 2 << 16 | 3 << 12 | 1 << 10 | 1 << 8 | 1 << 6 | (64 - 40);
/// A block that may be read, written and executed: AF, inner shareable, write-back.
const BLOCK: u64 = 1 | 0xf << 2 | 3 << 6 | 3 << 8 | 1 << 10;
const TABLE: u64 = 3;

/// Level 1 of a 40-bit stage 2: two tables side by side.
#[repr(C, align(8192))]
struct Root([AtomicU64; 1024]);
#[repr(C, align(4096))]
struct Table([AtomicU64; 512]);

static ROOT: Root = Root([const { AtomicU64::new(0) }; 1024]);
static RAM_GIB: Table = Table([const { AtomicU64::new(0) }; 512]);

/// The stage 2 that the host runs with.
pub(crate) struct HostTranslation {
    /// `VTTBR_EL2`.
    pub(crate) vttbr: u64,
    /// `VTCR_EL2`.
    pub(crate) vtcr: u64,
}

/// Once, on CPU 0, with MMU and caches on, before the host runs.
pub(crate) fn init() {
    let [devices, ram, ..] = &ROOT.0;
    for (entry, pa) in RAM_GIB.0.iter().zip((RAM..RAM_END).step_by(1 << 21)) {
        if !(IMAGE..CARVEOUT_END).contains(&pa) {
            entry.store(pa | BLOCK, Ordering::Relaxed);
        }
    }
    devices.store(BLOCK, Ordering::Relaxed);
    ram.store(&raw const RAM_GIB as u64 | TABLE, Ordering::Release);
    selftest::init();
}

/// What the host runs with, on every CPU.
pub(crate) fn host_translation() -> HostTranslation {
    HostTranslation { vttbr: &raw const ROOT as u64, vtcr: VTCR }
}

/// An `HVC` from host or guest, on the fast way in.
#[unsafe(no_mangle)]
extern "C" fn hvc_entry(frame: &mut Frame) -> Action {
    let function = smccc::function(frame.x[0]);
    if percpu::current().in_guest() {
        if selftest::stops(function) {
            return Action::Exit;
        }
    } else if psci::is_power_call(function) && psci::answer(frame) || selftest::offered() && selftest::answer(frame) {
        return Action::Resume;
    }
    frame.x[0] = smccc::NOT_SUPPORTED.cast_unsigned();
    Action::Resume
}

/// A stage-2 abort of host or guest, on the slow way in.
pub(crate) fn abort_entry(_frame: &mut Frame, syndrome: Syndrome) -> Action {
    if percpu::current().in_guest() {
        return Action::Exit;
    }
    inject::inject(inject::external_abort(syndrome.esr), syndrome.far);
    Action::Resume
}
