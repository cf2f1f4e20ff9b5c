//! The rows of mistakes that others made once: which hosted tests fail when one is made again, or why there is none.

use super::Standing;
use super::rows::{Row, Wanted};

/// One row, shown by hosted tests alone.
const fn row(id: &'static str, model: &'static [&'static str]) -> Row {
    Row { id, model, el2: Wanted::No, linux: Wanted::No }
}

/// Rows with a test that fails when the mistake is made again.
pub(super) const REGRESSIONS: &[Row] = &[
    row("RS-01", &["regressions::init::nothing_that_el2_maps_is_left_to_the_host"]),
    row("RS-02", &["el2::hostile::a_reply_that_means_nothing_is_refused_and_the_vcpu_stays"]),
    row("RS-03", &["regressions::calls::indexes_and_counts_of_the_host_are_bounded"]),
    row("RS-04", &["regressions::counters::a_vcpu_that_is_not_created_leaves_no_pin", "faults::pins::"]),
    row("RS-05", &["regressions::calls::a_vm_ends_in_order_and_once"]),
    row("RS-08", &["regressions::ranges::the_last_page_counts_as_much_as_the_first"]),
    row("RS-09", &["regressions::sharees::only_the_sharee_is_unshared"]),
    row("RS-10", &["regressions::ranges::what_is_not_memory_goes_to_nobody"]),
    row("RS-11", &["regressions::ranges::a_range_may_end_where_memory_does"]),
    row("RS-12", &["regressions::tables::both_root_tables_of_a_vm_work_and_come_back"]),
    row("RS-13", &["regressions::init::init_takes_tables_for_ram_only"]),
    row("RS-15", &["faults::tables::", "regressions::counters::a_refused_mapping_is_not_counted"]),
    row("RS-18", &["regressions::ranges::unaligned_edges_of_memory_are_exact"]),
    row("RS-19", &["regressions::host_faults::a_page_that_is_mapped_already_is_no_error"]),
    row("RS-20", &["regressions::calls::an_unaligned_address_moves_nothing"]),
    row("RS-22", &["regressions::counters::the_run_page_is_pinned_while_its_vcpu_exists"]),
    row(
        "RS-23",
        &[
            "regressions::tables::pages_become_a_block_and_pages_again_under_faults",
            "regressions::tables::the_recorded_size",
        ],
    ),
    row("RS-24", &["regressions::relinquish::"]),
    row("RS-25", &["regressions::counters::counters_balance_after_any_number_of_loops"]),
    row("RS-26", &["every_error_has_a_code_on_every_interface"]),
    row("RS-28", &["regressions::order::nothing_is_published_before_the_loser_is_cut_off"]),
    row("RS-29", &["regressions::calls::reserved_arguments_must_be_zero"]),
    row(
        "RS-30",
        &[
            "faults::blocks::",
            "faults::campaign::",
            "faults::locks::",
            "faults::no_blocks::",
            "faults::platform::",
            "faults::retries::",
            "faults::tables::",
            "tracker::tests::wide::one_wrong_page_behind_the_first_lock_word_lets_go_of_all",
        ],
    ),
    row("RS-31", &["regressions::sharees::the_record_says_with_whom"]),
    row("RS-33", &["regressions::counters::a_full_count_refuses_and_stays"]),
    row("RS-34", &["regressions::ranges::the_last_page_of_an_address_space_is_one"]),
    row(
        "RS-37",
        &[
            "regressions::calls::a_root_out_of_line_is_refused",
            "regressions::calls::a_vcpu_runs_once",
            "regressions::calls::indexes_and_counts_of_the_host_are_bounded",
            "regressions::host_faults::a_fault_during_a_donation_maps_nothing",
            "regressions::host_faults::two_faults_on_one_page_are_one",
            "faults::window::",
        ],
    ),
    row("RS-39", &["regressions::counters::a_refused_mapping_is_not_counted"]),
];

/// Rows that cannot be tried here, and why.
const NOT_OURS: &[(&str, &str)] = &[
    ("RS-06", "a map path without its page supply does not compile: each of them takes it as an argument"),
    ("RS-07", "not ownership: no flag that guards data is taken from the host"),
    (
        "RS-14",
        "an entry of one table read as another's does not compile: `Entry` and `Descriptor` are types of their own",
    ),
    ("RS-17", "no such code: hand-over at init touches no page's bytes, so it needs no fixmap"),
    ("RS-35", "not ownership: exception vectors are the image's"),
    ("RS-36", "not ownership: host tooling; what is left to the host is RS-01's test"),
];

/// Their lines.
pub(super) fn not_ours() -> impl Iterator<Item = (&'static str, Standing)> {
    NOT_OURS.iter().map(|&(id, reason)| (id, Standing::NotApplicable(reason.to_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers that the table of regressions does not use.
    const UNUSED: [u32; 5] = [16, 21, 27, 32, 38];

    #[test]
    fn every_regression_has_a_line_and_one_only() {
        let mut ids: Vec<_> = REGRESSIONS.iter().map(|row| row.id).chain(not_ours().map(|(id, _)| id)).collect();
        ids.sort_unstable();
        let all: Vec<_> = (1..=39).filter(|n| !UNUSED.contains(n)).map(|n| format!("RS-{n:02}")).collect();
        assert_eq!(ids, all);
    }
}
