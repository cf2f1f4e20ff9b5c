//! EL2 maps a page when it has to, and only such a page: through its own address and through the fixmap.

use crate::report::{Check, Wrong, case, claim, equal};
use crate::{cpu, hvc, pages, probe};
use core::sync::atomic::{AtomicI64, Ordering};
use firmware_board::layout::{CARVEOUT_END, CPUS, FIXMAP, IMAGE, RAM, RAM_END, UART};
use firmware_board::selftest;

const REFUSED: i64 = -3;
const READ: u64 = 1;
const WRITE: u64 = 2;

pub(super) fn run() {
    case("el2_pages_mapped_page_is_the_hosts_page", exchanged());
    case("el2_pages_scrub_leaves_zeroes_and_neighbours", scrubbed());
    case("el2_pages_scrub_works_on_the_second_cpu", second_cpu());
    case("el2_pages_host_memory_is_out_of_reach", unreachable());
    case("el2_pages_own_text_is_not_writable", equal("reach of text", reach(IMAGE), READ));
    case("el2_pages_own_data_is_writable", equal("reach of the carve-out", reach(CARVEOUT_END - 8), READ | WRITE));
    case("el2_pages_own_memory_and_holes_are_refused", refused());
}

fn page() -> Result<u64, Wrong> {
    pages::alloc(1, 1).ok_or(Wrong { what: "a free page", seen: 0 })
}

fn put(at: u64, value: u64) -> Check {
    // SAFETY: only used on pages of the allocator.
    claim("a store", unsafe { probe::store(at, value) }.is_ok(), at)
}

fn is(what: &'static str, at: u64, value: u64) -> Check {
    equal(what, probe::load(at).unwrap_or(u64::MAX), value)
}

/// What EL2's own translation allows at `at`.
fn reach(at: u64) -> u64 {
    let [_, rights, ..] = hvc::hvc([selftest::REACH.into(), at, 0, 0, 0, 0, 0, 0]);
    rights
}

/// Before and after EL2 had to use some of it.
fn unreachable() -> Check {
    let at = page()?;
    let host = (RAM..IMAGE).chain(CARVEOUT_END..RAM_END);
    host.step_by(4096).try_for_each(|page| claim("a page of the host", reach(page) == 0, page))?;
    equal("EXCHANGE", hvc::call(selftest::EXCHANGE, [at >> 12, 1, 0]).cast_unsigned(), 0)?;
    claim("a page after its use", reach(at) == 0, at)?;
    equal("SCRUB", hvc::call(selftest::SCRUB, [at >> 12, 0, 0]).cast_unsigned(), 0)?;
    claim("the fixmap after its use", (0..CPUS as u64).all(|cpu| reach(FIXMAP + cpu * 4096) == 0), FIXMAP)
}

fn exchanged() -> Check {
    let at = page()?;
    put(at, 0x1111)?;
    for (old, new) in [(0x1111, 0x2222), (0x2222, 0x3333)] {
        let [code, seen, ..] = hvc::hvc([selftest::EXCHANGE.into(), at >> 12, new, 0, 0, 0, 0, 0]);
        equal("the call", code, 0)?;
        equal("EL2 saw", seen, old)?;
        is("the host sees", at, new)?;
    }
    Ok(())
}

fn scrubbed() -> Check {
    let at = pages::alloc(3, 1).ok_or(Wrong { what: "free pages", seen: 0 })?;
    (0..3 * 512).try_for_each(|word| put(at + 8 * word, !0))?;
    let middle = at + 4096;
    equal("the call", hvc::call(selftest::SCRUB, [middle >> 12, 0, 0]).cast_unsigned(), 0)?;
    is("below", middle - 8, !0)?;
    (0..512).try_for_each(|word| is("a word of the page", middle + 8 * word, 0))?;
    is("above", middle + 4096, !0)
}

fn second_cpu() -> Check {
    static DONE: cpu::Barrier = cpu::Barrier::new(2);
    static CODE: AtomicI64 = AtomicI64::new(-1);
    fn scrub(at: u64) {
        CODE.store(hvc::call(selftest::SCRUB, [at >> 12, 0, 0]), Ordering::Relaxed);
        DONE.wait();
    }
    let at = page()?;
    put(at + 0xff8, !0)?;
    cpu::on(1, scrub, at).or_else(|code| equal("CPU_ON", code.cast_unsigned(), 0))?;
    DONE.wait();
    equal("the call", CODE.load(Ordering::Relaxed).cast_unsigned(), 0)?;
    is("its last word", at + 0xff8, 0)
}

fn refused() -> Check {
    for at in [UART, RAM - 4096, IMAGE, CARVEOUT_END - 4096, RAM_END] {
        claim("EXCHANGE", hvc::call(selftest::EXCHANGE, [at >> 12, 0, 0]) == REFUSED, at)?;
        claim("SCRUB", hvc::call(selftest::SCRUB, [at >> 12, 0, 0]) == REFUSED, at)?;
    }
    for pfn in [u64::MAX, 1 << 52, 1 << 51 | RAM >> 12] {
        claim("EXCHANGE", hvc::call(selftest::EXCHANGE, [pfn, 0, 0]) == REFUSED, pfn)?;
    }
    Ok(())
}
