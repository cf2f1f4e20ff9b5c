//! Which checks run: QEMU writes a number, the table says what it means.

mod boot;
mod el2_pages;
mod fast_hvc;
mod firmware_calls;
mod guest_interrupt;
mod guest_world;
mod hyp_memory;
mod second_cpu;

use crate::{probe, report};
use firmware_board::layout::SCENARIO;

/// Number, name, program. Numbers below `selftest::SCENARIOS` test the runtime of the EL2 image. A program reports its cases itself.
const SCENARIOS: &[(u64, &str, fn())] = &[
    (0, "boot", boot::run),
    (1, "second_cpu", second_cpu::run),
    (2, "hyp_memory", hyp_memory::run),
    (3, "fast_hvc", fast_hvc::run),
    (4, "firmware_calls", firmware_calls::run),
    (5, "guest_world", guest_world::run),
    (6, "guest_interrupt", guest_interrupt::run),
    (7, "el2_pages", el2_pages::run),
];

/// Runs the scenario QEMU asks for and ends the run.
pub(crate) fn run() -> ! {
    let number = probe::load(SCENARIO).unwrap_or(u64::MAX);
    match SCENARIOS.iter().find(|(n, ..)| *n == number) {
        Some((_, name, program)) => {
            report::line(format_args!("scenario {number} {name}"));
            program();
        }
        None => report::case("scenario", report::claim("a scenario with this number", false, number)),
    }
    report::end()
}
