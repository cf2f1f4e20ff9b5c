//! A guest without an operating system: it calls its hypervisor and reports what it gets.
//!
//! It runs with the MMU off, so every access it makes is to device memory: aligned, never exclusive, and
//! here always volatile. Register x0 says which scenario to run; everything it sees goes to the mailbox.
#![no_std]
#![no_main]

mod boot;
mod calls;
mod io;
mod scenarios;
mod stopwatch;

use tenure_test_protocol::{Entry, Event, Exception, Scenario};

/// Called by `guest_entry` on the guest's stack with x0 as it was at entry.
extern "C" fn guest_main(x0: u64) -> ! {
    match Entry::from_raw(x0) {
        Some(entry) => run(entry),
        None => io::send(Event::Exception(Exception::Syndrome, u64::MAX)),
    }
    boot::power_off()
}

fn run(entry: Entry) {
    match entry.scenario {
        Scenario::Calls => scenarios::calls::run(),
        Scenario::ShareInPlace => scenarios::share_in_place::run(),
        Scenario::NeverTouched => scenarios::edges::never_touched(),
        Scenario::SyscallTouch => scenarios::hostile_host::syscall_touch(),
        Scenario::ForcedReclaim => scenarios::hostile_host::forced_reclaim(),
        Scenario::OutsideRam => scenarios::edges::outside_ram(),
        Scenario::LeftShared => scenarios::edges::left_shared(),
        Scenario::Bench => scenarios::bench::run(entry.rounds),
        Scenario::Ranges => scenarios::ranges::run(),
        Scenario::Storm => scenarios::storm::run(entry.rounds),
        Scenario::HostCalls => scenarios::hostile_host::host_calls(),
        Scenario::Relinquish => scenarios::edges::relinquish(),
        Scenario::BenchRanges => scenarios::bench::ranges(entry.rounds),
    }
}

/// No code here panics; should it happen all the same, the host sees an exception with an impossible
/// syndrome.
#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    io::send(Event::Exception(Exception::Syndrome, u64::MAX));
    boot::power_off()
}
