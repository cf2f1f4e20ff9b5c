//! The host runs at EL1 with its MMU on, and its pages are there.

use crate::report::{Check, case, claim, equal};
use crate::{pages, probe};
use core::sync::atomic::{AtomicU64, Ordering};
use firmware_board::read_reg;

pub(super) fn run() {
    case("boot_enters_the_host_at_el1", equal("CurrentEL", read_reg!("CurrentEL") >> 2, 1));
    case("boot_host_runs_with_its_mmu_on", equal("SCTLR_EL1.M", read_reg!("sctlr_el1") & 1, 1));
    case("boot_atomics_work", atomics());
    case("boot_pages_are_distinct_and_aligned", allocator());
}

fn atomics() -> Check {
    static COUNT: AtomicU64 = AtomicU64::new(41);
    COUNT.fetch_add(1, Ordering::Relaxed);
    equal("42", COUNT.load(Ordering::Relaxed), 42)
}

fn allocator() -> Check {
    let one = pages::alloc(1, 1).unwrap_or(0);
    let large = pages::alloc(512, 512).unwrap_or(0);
    claim("2 MiB alignment", large != 0 && large.trailing_zeros() >= 21, large)?;
    // SAFETY: both were just allocated.
    let stored = unsafe { probe::store(one, 1).and(probe::store(large, 2)) };
    claim("both can be written", stored.is_ok(), one)?;
    equal("the first keeps its own value", probe::load(one).unwrap_or(0), 1)?;
    pages::free(one, 1);
    pages::free(large, 512);
    equal("a freed page comes back", pages::alloc(1, 1).unwrap_or(0), one)?;
    pages::free(one, 1);
    Ok(())
}
