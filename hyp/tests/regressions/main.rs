//! Mistakes that others made once, each as a test that fails when the mistake is made again.
//!
//! The rows are those of pKVM's history: fixes, CVE records, Android's versions of the same code. A row that cannot be tested
//! here says why.
//!
//! | row | the mistake | shown by |
//! |---|---|---|
//! | RS-01 | the host kept access to pages the hypervisor maps | `init::nothing_that_el2_maps_is_left_to_the_host` |
//! | RS-02 | a host structure copied whole | `el2::hostile::a_reply_that_means_nothing_is_refused_and_the_vcpu_stays`: fields are read one by one |
//! | RS-03 | a count of the host's used unchecked | `calls::indexes_and_counts_of_the_host_are_bounded` |
//! | RS-04 | a vCPU not created left its pin | `counters::a_vcpu_that_is_not_created_leaves_no_pin` |
//! | RS-05 | finishing what never began | `calls::a_vm_ends_in_order_and_once` |
//! | RS-06 | a map path without its page supply | by type: each path of `Stage2` takes its `TablePages` |
//! | RS-07 | a flag moved without its data | by type: no flag comes from the host |
//! | RS-08 | only the first page of a range was checked | `ranges::the_last_page_counts_as_much_as_the_first` |
//! | RS-09 | unshare asked only one side | `sharees::only_the_sharee_is_unshared` |
//! | RS-10 | what is not memory was given away | `ranges::what_is_not_memory_goes_to_nobody` |
//! | RS-11 | a range that ends with memory was refused | `ranges::a_range_may_end_where_memory_does` |
//! | RS-12 | tail pages of a wide root were not counted | `tables::both_root_tables_of_a_vm_work_and_come_back` |
//! | RS-13 | init went over the whole address space | `init::init_takes_tables_for_ram_only` |
//! | RS-14 | one table's entry read as another's | by type: `Entry` and `Descriptor` have no common form |
//! | RS-15 | table pages ran out after ownership had moved | `faults::tables`, `counters::a_refused_mapping_is_not_counted` |
//! | RS-17 | ownership moved before the fixmap was there | the firmware's boot: its first donation is mapped |
//! | RS-18 | memory with unaligned edges | `ranges::unaligned_edges_of_memory_are_exact` |
//! | RS-19 | a fault that finds its page mapped was an error | `host_faults::a_page_that_is_mapped_already_is_no_error` |
//! | RS-20 | an unaligned address was cut off | `calls::an_unaligned_address_moves_nothing` |
//! | RS-22 | the hypervisor touched an unpinned page | `counters::the_run_page_is_pinned_while_its_vcpu_exists` |
//! | RS-23 | pages to block to pages, under faults | `tables::pages_become_a_block_and_pages_again_under_faults` |
//! | RS-24 | five mistakes around relinquish | `relinquish::*`; (d) a frame that is not RAM cannot be in a guest's map: RS-10 |
//! | RS-25 | a counter went the wrong way | `counters::counters_balance_after_any_number_of_loops` |
//! | RS-26 | an error of the wrong sign | `abi`: `every_error_has_a_code_on_every_interface` and a typed `Error` |
//! | RS-28 | nothing between TLB invalidation and publication | `order::nothing_is_published_before_the_loser_is_cut_off` |
//! | RS-29 | side inputs unchecked | `calls::reserved_arguments_must_be_zero` |
//! | RS-30 | a failed donation left odd states | the whole of `faults`, `tracker::tests::wide` |
//! | RS-31 | the sharee was not recorded | `sharees::the_record_says_with_whom` |
//! | RS-33 | a count wrapped | `counters::a_full_count_refuses_and_stays` |
//! | RS-34 | address plus size rolled over | `ranges::the_last_page_of_an_address_space_is_one` |
//! | RS-35 | a host exception nobody handled | not here: vectors are the image's |
//! | RS-36 | a host tool read hypervisor memory | not here: host tooling; `init::nothing_that_el2_maps_is_left_to_the_host` says what it gets |
//! | RS-37 | alignment, signs, races, a frame out of reach | `calls::a_root_out_of_line_is_refused`, `calls::indexes_and_counts_of_the_host_are_bounded`, `calls::a_vcpu_runs_once`, `host_faults::two_faults_on_one_page_are_one`, `faults::window` |
//! | RS-39 | counted before the mapping that failed | `counters::a_refused_mapping_is_not_counted` |
//!
//! Hazards seen in other projects: pages changed one by one up to the first error (`faults::retries`), a part of a large
//! mapping taken away (`relinquish::inside_a_block_the_right_page_goes`), counters at their maximum (RS-33).

mod calls;
mod counters;
mod host_faults;
mod init;
mod order;
mod ranges;
mod raw;
mod relinquish;
mod sharees;
mod tables;
