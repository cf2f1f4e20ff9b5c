//! What holds when init is done.

use tenure_abi::{Owner, PageState, Pfn};
use tenure_arch::window::Window;
use tenure_hyp::el2::HostFault;
use tenure_test_board::rig::{GFN, HOST, Rig};
use tenure_test_board::{Board, DEVICE, END, OWN, RAM, REGIONS, el2_with_tables, pfns, try_el2};

/// RS-01, RS-36: no page that the hypervisor can reach is the host's to touch, unless it is shared and pinned; before, during
/// and after the life of a VM, whatever the host touched first.
#[test]
fn nothing_that_el2_maps_is_left_to_the_host() {
    let aliases = |rig: &Rig| {
        let host = rig.board.leaves(rig.el2.host_context().root().number());
        for number in RAM..END {
            let pfn = Pfn::new(number).unwrap();
            if rig.board.table(pfn).is_some() {
                let pinned = matches!(rig.state(number), PageState::Shared { owner: Owner::Host, .. });
                assert!(pinned || host.get(number).is_none(), "{number:#x}");
                assert_eq!(rig.touch(number), pinned, "{number:#x}");
            }
        }
    };
    let mut rig = Rig::protected();
    for page in RAM..END {
        rig.touch(page);
    }
    aliases(&rig);
    // Given when the host has them mapped, in a block and in pages.
    rig.donate(HOST, GFN, 3);
    rig.el2.vm_topup(rig.vm, pfns(HOST + 600, 3)).unwrap();
    aliases(&rig);
    rig.touch(HOST + 603);
    rig.el2.vm_topup(rig.vm, pfns(HOST + 603, 2)).unwrap();
    aliases(&rig);
    rig.sound();
    rig.kill();
    rig.el2.reclaim_guest(rig.vm, tenure_test_board::rig::gfns(GFN, 3)).unwrap();
    rig.finish();
    aliases(&rig);
    rig.sound();
    assert!((RAM..RAM + OWN).all(|page| rig.board.table(Pfn::new(page).unwrap()).is_some()));
}

/// RS-13: init builds tables for memory, not for the address space: on this board two, and one that faults need.
#[test]
fn init_takes_tables_for_ram_only() {
    let enough = (1..=4).find(|&tables| try_el2(Board::new(), tables, REGIONS).is_ok());
    let enough = enough.expect("four tables are enough");
    let board = Board::new();
    let el2 = el2_with_tables(board, enough);
    // With exactly as many the host gets on, in a region that takes a table too.
    el2.donate_hyp(pfns(HOST, 1)).unwrap();
    for page in [HOST + 1, RAM + OWN, HOST + 2] {
        assert_eq!(el2.host_fault(page << 12), HostFault::Retry);
        let leaves = board.leaves(el2.host_context().root().number());
        assert_eq!(leaves.get(page), Some(page), "{page:#x} is mapped now");
        assert_eq!(leaves.get(DEVICE), Some(DEVICE), "devices are mapped from the start");
    }
}
