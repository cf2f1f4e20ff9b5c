//! A second CPU, and meeting it.

use crate::hvc;
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use firmware_board::layout::CPUS;
use firmware_board::read_reg;
use tenure_abi::smccc::psci;

/// What a CPU is to do when it comes up: the address of a `Work`, and its argument.
struct Order {
    work: AtomicUsize,
    argument: AtomicU64,
}

/// What a CPU runs; when it returns, the CPU is switched off.
pub(crate) type Work = fn(u64);

static ORDERS: [Order; CPUS] = [const { Order { work: AtomicUsize::new(0), argument: AtomicU64::new(0) } }; CPUS];

unsafe extern "C" {
    fn host_secondary_start();
}

/// This CPU's index.
pub(crate) fn index() -> usize {
    (read_reg!("mpidr_el1") & 0xff) as usize
}

/// Starts `work(argument)` on CPU `cpu`, which is off.
///
/// # Errors
/// The PSCI code, if it did not start.
pub(crate) fn on(cpu: usize, work: Work, argument: u64) -> Result<(), i64> {
    let order = ORDERS.get(cpu).ok_or(psci::INVALID_PARAMETERS)?;
    order.argument.store(argument, Ordering::Relaxed);
    // Pairs with the acquire in `host_secondary`.
    order.work.store(work as usize, Ordering::Release);
    match hvc::call(psci::CPU_ON_64, [cpu as u64, host_secondary_start as *const () as u64, cpu as u64]) {
        0 => Ok(()),
        code => Err(code),
    }
}

#[unsafe(no_mangle)]
extern "C" fn host_secondary(cpu: usize) -> ! {
    if let Some(order) = ORDERS.get(cpu) {
        let work = order.work.load(Ordering::Acquire);
        // SAFETY: `on` stored a `Work` there before it started this CPU.
        let work = unsafe { core::mem::transmute::<usize, Work>(work) };
        work(order.argument.load(Ordering::Relaxed));
    }
    let code = hvc::call(psci::CPU_OFF, [0; 3]);
    panic!("CPU_OFF came back: {code}")
}

/// A place where a number of CPUs wait for each other, as often as they like.
pub(crate) struct Barrier {
    cpus: u64,
    arrived: AtomicU64,
    round: AtomicU64,
}

impl Barrier {
    /// For this many CPUs.
    pub(crate) const fn new(cpus: u64) -> Self {
        Self { cpus, arrived: AtomicU64::new(0), round: AtomicU64::new(0) }
    }

    /// Waits until all have come.
    pub(crate) fn wait(&self) {
        let round = self.round.load(Ordering::Acquire);
        if self.arrived.fetch_add(1, Ordering::AcqRel) + 1 == self.cpus {
            self.arrived.store(0, Ordering::Relaxed);
            // Publishes the reset above and all that any CPU did before it came here.
            self.round.store(round + 1, Ordering::Release);
        } else {
            while self.round.load(Ordering::Acquire) == round {
                core::hint::spin_loop();
            }
        }
    }
}
