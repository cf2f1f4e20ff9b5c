//! What each CPU keeps: the vCPU it runs and the host state that waits for it to stop.
//!
//! `TPIDR_EL2` points at this CPU's entry. Only the CPU itself touches it, so plain cells do. Code at
//! EL2 is never interrupted: interrupts are masked there from entry to exit.

use crate::state::El1State;
use crate::vcpu::Vcpu;
use core::cell::{Cell, UnsafeCell};
use core::ptr;
use firmware_board::layout::CPUS;
use firmware_board::{read_reg, write_reg};

/// One CPU's state. The assembly of `vectors` and `world` uses the first two fields.
#[repr(C)]
pub(crate) struct PerCpu {
    /// The vCPU in the guest world, null in the host's.
    pub(crate) vcpu: Cell<*mut Vcpu>,
    /// The stack pointer that leaving the guest returns to.
    pub(crate) switch_sp: Cell<u64>,
    /// This CPU's index.
    pub(crate) cpu: usize,
    /// The host's EL1 registers while a guest runs.
    pub(crate) host: UnsafeCell<El1State>,
}

// SAFETY: each entry is used by its own CPU alone, through `current`.
unsafe impl Sync for PerCpu {}

static PER_CPU: [PerCpu; CPUS] = {
    let mut all = [const {
        PerCpu {
            vcpu: Cell::new(ptr::null_mut()),
            switch_sp: Cell::new(0),
            cpu: 0,
            host: UnsafeCell::new(El1State::RESET),
        }
    }; CPUS];
    let mut cpu = 0;
    while cpu < CPUS {
        all[cpu].cpu = cpu;
        cpu += 1;
    }
    all
};

/// Makes entry `cpu` this CPU's. Once, before anything asks for [`current`].
pub(crate) fn install(cpu: usize) {
    let Some(entry) = PER_CPU.get(cpu) else { crate::fatal::stop("no such CPU") };
    // SAFETY: EL2's software register; its only reader is `current`.
    unsafe { write_reg!("tpidr_el2", ptr::from_ref(entry) as u64) };
}

/// This CPU's entry.
#[inline]
pub(crate) fn current() -> &'static PerCpu {
    // SAFETY: `install` stored a reference to a static before EL2 entered EL1 for the first time.
    unsafe { &*(read_reg!("tpidr_el2") as *const PerCpu) }
}

impl PerCpu {
    /// Whether this CPU is in the guest world.
    #[inline]
    pub(crate) fn in_guest(&self) -> bool {
        !self.vcpu.get().is_null()
    }
}
