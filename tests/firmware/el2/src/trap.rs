//! Which handler an exception on the slow way in belongs to.

use crate::vectors::{Action, Cause, Frame};
use crate::{fatal, glue, inject, percpu, smc};
use firmware_board::read_reg;

/// `ESR_EL2` and the addresses that go with it.
#[derive(Clone, Copy)]
pub(crate) struct Syndrome {
    /// `ESR_EL2`.
    pub(crate) esr: u64,
    /// `FAR_EL2`: the virtual address of an abort.
    pub(crate) far: u64,
    /// `HPFAR_EL2`: bits 4.. hold the intermediate physical address of a stage-2 abort from bit 12 on.
    pub(crate) hpfar: u64,
}

impl Syndrome {
    /// The registers as the last exception left them.
    pub(crate) fn read() -> Self {
        Self { esr: read_reg!("esr_el2"), far: read_reg!("far_el2"), hpfar: read_reg!("hpfar_el2") }
    }

    /// The intermediate physical address of a stage-2 translation fault, whose `HPFAR_EL2` is valid; `None` otherwise.
    pub(crate) fn stage2_fault_address(self) -> Option<u64> {
        tenure_arch::syndrome::Syndrome(self.esr).ipa(self.hpfar, self.far)
    }

    /// The exception class.
    pub(crate) fn class(self) -> u64 {
        self.esr >> 26 & 0x3f
    }
}

/// Exception classes (`ESR_EL2.EC`).
pub(crate) mod class {
    /// `SMC` from AArch64.
    pub(crate) const SMC64: u64 = 0x17;
    /// Instruction abort from a lower level.
    pub(crate) const INSTRUCTION_ABORT: u64 = 0x20;
    /// Data abort from a lower level.
    pub(crate) const DATA_ABORT: u64 = 0x24;
}

/// The slow way in. A guest's exceptions end its run unless they are aborts that the glue resolves.
#[unsafe(no_mangle)]
extern "C" fn lower_entry(frame: &mut Frame, cause: Cause) -> Action {
    let guest = percpu::current().in_guest();
    if cause == Cause::Interrupt {
        // The host takes its interrupts itself: only a guest's world routes them here.
        return if guest { Action::ExitInterrupt } else { fatal::stop("interrupt from the host") };
    }
    let syndrome = Syndrome::read();
    match syndrome.class() {
        class::DATA_ABORT | class::INSTRUCTION_ABORT => glue::abort_entry(frame, syndrome),
        _ if guest => Action::Exit,
        class::SMC64 => {
            smc::from_host(frame, syndrome.esr);
            Action::Resume
        }
        _ => {
            inject::undefined();
            Action::Resume
        }
    }
}
