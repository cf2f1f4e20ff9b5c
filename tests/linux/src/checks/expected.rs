//! The table: what a protected guest on Linux 7.3 and its host must see, step by step.

use super::Report;
use crate::life::Life;
use tenure_test_protocol::{Scenario, Step};

/// The texts of `step` from number `from` on must be `lines`.
struct Expect {
    case: &'static str,
    scenario: Scenario,
    step: Step,
    from: usize,
    lines: &'static [&'static str],
}

const fn expect(
    case: &'static str,
    scenario: Scenario,
    step: Step,
    from: usize,
    lines: &'static [&'static str],
) -> Expect {
    Expect { case, scenario, step, from, lines }
}

use Scenario::{Calls, ForcedReclaim, NeverTouched, OutsideRam, Ranges, Relinquish, ShareInPlace, Storm, SyscallTouch};

/// Every expectation. Values: a0… the guest while private, c0…, d0… the guest after sharing, b0… the host.
const EXPECTED: &[Expect] = &[
    expect("linux_features_are_0x1d", Calls, Step::Features, 0, &["x0 0x1d", "x1 0x0", "x2 0x0", "x3 0x0"]),
    expect(
        "linux_uid_is_pkvms",
        Calls,
        Step::Uid,
        0,
        &["x0 0xb66fb428", "x1 0xe911c52e", "x2 0x564bcaa9", "x3 0x743a004d"],
    ),
    expect("linux_meminfo_is_4096", Calls, Step::MemInfo, 0, &["x0 0x1000"]),
    expect("linux_meminfo_refuses_reserved_arguments", Calls, Step::MemInfoReserved, 0, &["x0 -3", "x0 -3", "x0 -3"]),
    expect("linux_share_succeeds", Calls, Step::Share, 0, &["x0 0x0"]),
    expect("linux_second_share_is_refused", Calls, Step::ShareAgain, 0, &["x0 -3"]),
    expect("linux_unshare_succeeds", Calls, Step::Unshare, 0, &["x0 0x0"]),
    expect(
        "linux_second_unshare_is_refused_and_changes_nothing",
        Calls,
        Step::UnshareAgain,
        0,
        &["x0 -3", "guest loads 0xa0a0a0a0"],
    ),
    expect("linux_unaligned_address_is_refused", Calls, Step::Unaligned, 0, &["x0 -3", "x0 -3"]),
    expect("linux_second_argument_is_refused", Calls, Step::OneGranule, 0, &["x0 -3", "x0 -3"]),
    expect("linux_third_argument_is_refused", Calls, Step::Reserved, 0, &["x0 -3", "x0 -3"]),
    expect("linux_unshare_of_unmapped_page_is_refused", Calls, Step::UnshareUntouched, 0, &["x0 -3"]),
    expect(
        "linux_mmio_guard_and_unknown_calls_are_not_supported",
        Calls,
        Step::Unknown,
        0,
        &["x0 -1", "x0 -1", "x0 -1"],
    ),
    expect("linux_power_off_ends_the_vm", Calls, Step::Leaving, 0, &["guest powers off"]),
    expect("linux_first_read_finds_what_the_host_left", ShareInPlace, Step::Private, 0, &["guest loads 0x11111111"]),
    expect(
        "linux_private_page_faults_the_host_and_stays_intact",
        ShareInPlace,
        Step::Private,
        1,
        &["host loads page_a: FAULT", "host stores to page_a: FAULT", "guest loads 0xa0a0a0a0"],
    ),
    expect(
        "linux_shared_page_keeps_its_content_in_place",
        ShareInPlace,
        Step::Shared,
        0,
        &["x0 0x0", "host loads page_a: 0xa0a0a0a0"],
    ),
    expect(
        "linux_shared_page_carries_data_both_ways",
        ShareInPlace,
        Step::Shared,
        2,
        &[
            "host loads page_a: 0xc0c0c0c0",
            "host stores to page_a: done",
            "guest loads 0xb0b0b0b0",
            "host loads page_a: 0xd0d0d0d0",
        ],
    ),
    expect(
        "linux_unshared_page_faults_the_host_and_stays_intact",
        ShareInPlace,
        Step::PrivateAgain,
        0,
        &["x0 0x0", "host loads page_a: FAULT", "host stores to page_a: FAULT", "guest loads 0xd0d0d0d0"],
    ),
    expect(
        "linux_share_of_untouched_page_shows_the_hosts_own_data",
        NeverTouched,
        Step::Shared,
        0,
        &["x0 0x0", "host loads page_b: 0x22222222"],
    ),
    expect(
        "linux_untouched_page_becomes_private_by_unshare",
        NeverTouched,
        Step::PrivateAgain,
        0,
        &["x0 0x0", "host loads page_b: FAULT", "guest loads 0x22222222"],
    ),
    expect(
        "linux_refused_unshare_leaves_the_page_to_the_host",
        NeverTouched,
        Step::UnshareUntouched,
        0,
        &["x0 -3", "host loads page_c: 0x33333333"],
    ),
    expect(
        "linux_syscall_on_private_page_fails_and_page_stays_intact",
        SyscallTouch,
        Step::Private,
        0,
        &["host system call reads page_a: FAULT", "host loads page_a: FAULT", "guest loads 0xa0a0a0a0"],
    ),
    expect(
        "linux_syscall_on_shared_page_works",
        SyscallTouch,
        Step::Shared,
        0,
        &["x0 0x0", "host system call reads page_a: 0xa0a0a0a0"],
    ),
    expect(
        "linux_syscall_on_unshared_page_fails",
        SyscallTouch,
        Step::PrivateAgain,
        0,
        &["x0 0x0", "host system call reads page_a: FAULT", "guest loads 0xa0a0a0a0"],
    ),
    expect(
        "linux_forced_reclaim_gives_zeroes",
        ForcedReclaim,
        Step::ForcedOut,
        0,
        &["host forces page_a out: 0x0", "host loads page_a: 0x0"],
    ),
    expect(
        "linux_burnt_address_refuses_calls_and_stops_the_vcpu",
        ForcedReclaim,
        Step::Poisoned,
        0,
        &["x0 -3", "x0 -3", "vcpu stops at a burnt address"],
    ),
    expect(
        "linux_share_outside_memory_is_an_external_abort_at_the_hvc",
        OutsideRam,
        Step::NoMemory,
        0,
        &[
            "guest exception syndrome 0x96000010",
            "guest exception at 0x0",
            "guest exception in instruction 0xd4000002",
            "guest powers off",
        ],
    ),
    expect(
        "linux_library_shares_512_pages_one_by_one",
        Ranges,
        Step::RangeShared,
        0,
        &[
            "pages done 512",
            "host loads range_first: 0x5a5a000000000000",
            "host loads range_last: 0x5a5a0000000001ff",
            "host loads range_next: FAULT",
            "host stores to range_last: done",
            "guest loads 0xb0b0b0b0",
        ],
    ),
    expect(
        "linux_library_unshares_512_pages_one_by_one",
        Ranges,
        Step::RangePrivate,
        0,
        &["pages done 512", "host loads range_first: FAULT", "host loads range_last: FAULT", "guest mismatches 0"],
    ),
    expect(
        "linux_library_stops_at_the_page_that_is_refused",
        Ranges,
        Step::RangeBlocked,
        0,
        &["pages done 100", "host loads range_first: FAULT"],
    ),
    expect(
        "linux_relinquish_is_not_supported_and_changes_nothing",
        Relinquish,
        Step::GivenBack,
        0,
        &[
            "x0 -1",
            "host loads page_a: FAULT",
            "x0 -1",
            "host loads page_b: 0xc0c0c0c0",
            "x0 -1",
            "host loads page_c: 0x33333333",
            "guest loads 0xa0a0a0a0",
            "guest loads 0xc0c0c0c0",
        ],
    ),
    expect("linux_storm_guest_finds_all_values", Storm, Step::Rounds, 0, &["guest mismatches 0"]),
    expect(
        "linux_storm_host_finds_all_values",
        Storm,
        Step::Leaving,
        0,
        &["host rounds 400 mismatches 0", "guest powers off"],
    ),
];

/// Which cases show which rows of the behaviour table.
pub const ROWS: &[(&str, &[&str])] = &[
    (
        "PK-11",
        &[
            "linux_first_read_finds_what_the_host_left",
            "linux_private_page_faults_the_host_and_stays_intact",
            "linux_host_faults_are_sigsegv_accerr",
        ],
    ),
    (
        "PK-12",
        &[
            "linux_share_succeeds",
            "linux_second_share_is_refused",
            "linux_shared_page_keeps_its_content_in_place",
            "linux_shared_page_carries_data_both_ways",
            "linux_share_of_untouched_page_shows_the_hosts_own_data",
            "linux_burnt_address_refuses_calls_and_stops_the_vcpu",
        ],
    ),
    (
        "PK-13",
        &[
            "linux_unshare_succeeds",
            "linux_second_unshare_is_refused_and_changes_nothing",
            "linux_unshare_of_unmapped_page_is_refused",
            "linux_unshared_page_faults_the_host_and_stays_intact",
            "linux_storm_guest_finds_all_values",
            "linux_storm_host_finds_all_values",
        ],
    ),
    ("PK-14", &["linux_private_pages_are_zero_after_death", "linux_shared_page_keeps_its_data_after_death"]),
    ("PK-15", &["linux_forced_reclaim_gives_zeroes", "linux_burnt_address_refuses_calls_and_stops_the_vcpu"]),
    ("PK-16", &["linux_burnt_address_refuses_calls_and_stops_the_vcpu"]),
];

/// Checks every expectation on `scenario`.
pub fn check(report: &mut Report, scenario: Scenario, life: &Life) {
    for expect in EXPECTED.iter().filter(|expect| expect.scenario == scenario) {
        let seen: Vec<String> =
            life.texts(expect.step).into_iter().skip(expect.from).take(expect.lines.len()).collect();
        let wanted: Vec<String> = expect.lines.iter().map(ToString::to_string).collect();
        report.equal(expect.case, &seen, &wanted);
    }
}
