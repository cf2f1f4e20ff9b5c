//! `CPU_ON` goes through EL2: the second CPU runs the host's code, behind the same stage 2.

use crate::cpu::{self, Barrier};
use crate::probe;
use crate::report::{Check, case, claim, equal};
use core::sync::atomic::{AtomicU64, Ordering};
use firmware_board::layout::IMAGE;

const ROUNDS: u64 = 10_000;
static COUNT: AtomicU64 = AtomicU64::new(0);
static FAULTS: AtomicU64 = AtomicU64::new(0);
static MEET: Barrier = Barrier::new(2);

pub(super) fn run() {
    case("second_cpu_counts_with_the_first", both_count());
    case("second_cpu_is_kept_out_of_el2", equal("its load of EL2 memory faulted", FAULTS.load(Ordering::Relaxed), 1));
    case("second_cpu_comes_back_after_cpu_off", again());
}

fn count(_: u64) {
    FAULTS.fetch_add(probe::load(IMAGE).is_err().into(), Ordering::Relaxed);
    MEET.wait();
    add();
    MEET.wait();
}

fn add() {
    (0..ROUNDS).for_each(|_| {
        COUNT.fetch_add(1, Ordering::Relaxed);
    });
}

fn both_count() -> Check {
    cpu::on(1, count, 0).or_else(|code| equal("CPU_ON", code.cast_unsigned(), 0))?;
    MEET.wait();
    let running = cpu::on(1, count, 0);
    add();
    MEET.wait();
    equal("both increments", COUNT.load(Ordering::Relaxed), 2 * ROUNDS)?;
    claim("a CPU that is on is not started", running == Err(-4), 0)
}

fn again() -> Check {
    static ARGUMENT: AtomicU64 = AtomicU64::new(0);
    fn note(argument: u64) {
        ARGUMENT.store(argument << 8 | cpu::index() as u64, Ordering::Relaxed);
        MEET.wait();
    }
    // It may still be on its way out.
    while let Err(code) = cpu::on(1, note, 7) {
        claim("only on or on its way", code == -4 || code == -5, code.cast_unsigned())?;
    }
    MEET.wait();
    equal("argument and index", ARGUMENT.load(Ordering::Relaxed), 7 << 8 | 1)
}
