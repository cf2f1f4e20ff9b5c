//! The host's level-3 tables: whose they are taken from when there is none, and what one fault brings.

use super::*;
use tenure_hyp::el2::HostFault;
use tenure_test_board::try_el2_over;

/// Memory in two pieces, and one level-3 table between them: it is found wherever it is, at the edges of both pieces too.
#[test]
fn the_last_table_is_found_in_every_region_of_every_piece_of_memory() {
    let (first, second) = (RAM, RAM + 3 * 512);
    let board = Board::new();
    // Two tables at level 2 and one at level 3 for devices and RAM, and one to spare.
    let el2 = try_el2_over(board, 4, &[pfns(first, 2 * 512), pfns(second, 3 * 512)]).unwrap();
    let regions = [first + 512, second, second + 512, second + 1024];
    for region in regions {
        el2.donate_hyp(pfns(region + 1, 1)).unwrap();
    }
    // From each region to each: the table that the fault needs is where the last one was.
    let paths = regions.into_iter().flat_map(|from| regions.map(|to| [from, to])).flatten();
    for (round, region) in paths.enumerate() {
        let page = region + 2 + round as u64;
        assert_eq!(el2.host_fault(page << 12), HostFault::Retry);
        let leaves = board.leaves(el2.host_context().root().number());
        assert_eq!(leaves.get(page), Some(page), "{page:#x} is mapped");
    }
}

/// A region that is the host's as a whole comes with one fault, in pages where a table stands.
#[test]
fn one_fault_brings_the_whole_region_into_a_table_that_stands() {
    let rig = Rig::protected();
    rig.el2.donate_hyp(pfns(HOST, 1)).unwrap();
    assert!(rig.touch(HOST + 9));
    // All of the table's leaves go, the table stays; then the region is uniform again.
    rig.el2.donate_hyp(pfns(HOST + 9, 1)).unwrap();
    rig.el2.return_to_host(pfns(HOST, 1)).unwrap();
    rig.el2.return_to_host(pfns(HOST + 9, 1)).unwrap();
    assert!(rig.touch(HOST + 7));
    let leaves = rig.board.leaves(rig.el2.host_context().root().number());
    assert!((HOST..HOST + 512).all(|page| leaves.get(page) == Some(page)));
    rig.sound();
}
