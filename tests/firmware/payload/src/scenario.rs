//! Which checks run: QEMU writes a number, the table says what it means.

mod bad_arguments;
mod bench;
mod boot;
mod demo;
mod el2_pages;
mod fast_hvc;
mod firmware_calls;
mod guest_interrupt;
mod guest_lives;
mod guest_world;
mod hostile_host;
mod hyp_memory;
mod hyp_sharing;
mod non_protected;
mod relinquish;
mod second_cpu;
mod storm;

use crate::{probe, report};
use firmware_board::layout::SCENARIO;

/// Number, name, program. Numbers below `selftest::SCENARIOS` test the runtime of the EL2 image. A program reports its
/// cases itself.
const SCENARIOS: &[(u64, &str, fn())] = &[
    (1, "boot", boot::run),
    (2, "second_cpu", second_cpu::run),
    (3, "hyp_memory", hyp_memory::run),
    (4, "fast_hvc", fast_hvc::run),
    (5, "firmware_calls", firmware_calls::run),
    (6, "guest_world", guest_world::run),
    (7, "guest_interrupt", guest_interrupt::run),
    (8, "el2_pages", el2_pages::run),
    (16, "demo", demo::run),
    (17, "calls", guest_lives::calls),
    (18, "share_in_place", guest_lives::share_in_place),
    (19, "never_touched", guest_lives::never_touched),
    (20, "forced_reclaim", guest_lives::forced_reclaim),
    (21, "outside_ram", guest_lives::outside_ram),
    (22, "left_shared", guest_lives::left_shared),
    (23, "ranges", guest_lives::ranges),
    (24, "ranges_in_a_2m_leaf", guest_lives::ranges_in_a_2m_leaf),
    (25, "storm_of_one_guest", guest_lives::storm),
    (26, "storm_of_two_guests", storm::run),
    (27, "storm_against_a_hostile_host", storm::hostile),
    (28, "hostile_host", hostile_host::run),
    (29, "hyp_sharing", hyp_sharing::run),
    (30, "non_protected", non_protected::run),
    (31, "relinquish", relinquish::run),
    (32, "bad_arguments", bad_arguments::run),
    (33, "bench", bench::run),
];

/// Runs the scenario QEMU asks for and ends the run.
pub(crate) fn run() -> ! {
    let number = probe::load(SCENARIO).unwrap_or(u64::MAX);
    if number == 0 {
        for (number, name, _) in SCENARIOS {
            report::line(format_args!("TENURE scenario {number} {name}"));
        }
        report::end();
    }
    match SCENARIOS.iter().find(|(n, ..)| *n == number) {
        Some((_, name, program)) => {
            report::line(format_args!("scenario {number} {name}"));
            program();
        }
        None => report::case("scenario", report::claim("a scenario with this number", false, number)),
    }
    report::end()
}
