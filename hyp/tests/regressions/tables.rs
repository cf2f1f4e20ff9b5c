//! Stage-2 tables of guests and host across sizes.

use std::sync::{Arc, Mutex};
use tenure_abi::PageSize::{Size2M, Size4K};
use tenure_abi::pkvm::GuestCall;
use tenure_abi::service::{Prot, VmKind};
use tenure_abi::{PageSize, Pfn};
use tenure_test_board::rig::{GFN, HOST, ROOT, RUN_PAGE, Rig, gfn, gfns};
use tenure_test_board::watch::Step;
use tenure_test_board::{OWN, RAM, pfns};

fn hardware_size(rig: &Rig, page: u64) -> PageSize {
    rig.el2.tracker().lock_region(Pfn::new(page).unwrap()).unwrap().hardware_size()
}

/// The size of the host's leaf at `page`, read from its tables; `None` if there is none.
fn host_leaf(rig: &Rig, page: u64) -> Option<PageSize> {
    let root = rig.el2.host_context().root().number();
    let entry = |table: u64, index: u64| rig.board.read(table, index as usize);
    let next = |raw: u64| (raw & 0xffff_ffff_f000) >> 12;
    let level2 = entry(root + (page >> 27), page >> 18 & 511);
    match entry(next(level2), page >> 9 & 511) {
        raw if raw & 3 == 1 => Some(Size2M),
        raw if raw & 3 == 3 => (entry(next(raw), page & 511) & 1 == 1).then_some(Size4K),
        _ => None,
    }
}

/// RS-12: guest memory in both halves of the address space: every table of both root tables is used, emptied and given back.
#[test]
fn both_root_tables_of_a_vm_work_and_come_back() {
    let mut rig = Rig::protected();
    let places = [(HOST, GFN), (HOST + 1, (1 << 27) + 5), (HOST + 2, (1 << 28) - 1), (HOST + 3, 0)];
    for (page, at) in places {
        rig.donate(page, at, 1);
        rig.share(at, 1);
        rig.sound();
    }
    rig.kill();
    for (_, at) in places {
        assert_eq!(rig.el2.reclaim_guest(rig.vm, gfns(at, 1)), Ok(1));
    }
    rig.finish();
    rig.all_is_the_hosts();
    assert_eq!(rig.board.attached(), 0);
    rig.sound();
}

/// RS-23: 512 pages, a block, and pages again, for guest and host, with the host touching everything in between.
#[test]
fn pages_become_a_block_and_pages_again_under_faults() {
    let rig = Rig::protected();
    let touch_all = || (HOST..HOST + 512).for_each(|page| _ = rig.touch(page));
    for round in 0..if cfg!(miri) { 1 } else { 4 } {
        let at = GFN + round * 0x1000;
        touch_all();
        rig.donate(HOST, at, 512);
        assert_eq!(hardware_size(&rig, HOST), Size2M);
        touch_all();
        // The record splits, the hardware does not; then both.
        rig.share(at + 9, 1);
        assert_eq!(hardware_size(&rig, HOST), Size2M);
        touch_all();
        rig.unshare(at + 9, 1);
        assert_eq!(rig.el2.force_reclaim(pfns(HOST + 20, 1)), Ok(1));
        assert_eq!(hardware_size(&rig, HOST), Size4K);
        rig.sound();
        for page in (0..512).filter(|&page| page != 20) {
            rig.call(GuestCall::MemRelinquish(gfn(at + page)));
            rig.touch(HOST + page);
        }
        rig.sound();
        assert!(rig.board.leaves(ROOT).first().is_none());
        rig.el2.tracker().compact(Pfn::new(HOST).unwrap(), 512);
    }
}

/// RS-23: what the record says of the size of the host's entry is what stands in the host's table.
#[test]
fn the_recorded_size_is_the_hosts_leaf() {
    let rig = Rig::protected();
    let agree = |what: &str| {
        if let Some(leaf) = host_leaf(&rig, HOST) {
            assert_eq!(hardware_size(&rig, HOST), leaf, "{what}");
        }
    };
    assert!(rig.touch(HOST));
    assert_eq!(host_leaf(&rig, HOST), Some(Size2M));
    agree("a block");
    rig.el2.donate_hyp(pfns(HOST + 5, 1)).unwrap();
    assert_eq!(host_leaf(&rig, HOST), None, "the block went as a whole");
    assert!(rig.touch(HOST));
    agree("pages");
    // All of the table's leaves go, the table stays; then the region is uniform again.
    rig.el2.donate_hyp(pfns(HOST, 1)).unwrap();
    rig.el2.return_to_host(pfns(HOST, 1)).unwrap();
    rig.el2.return_to_host(pfns(HOST + 5, 1)).unwrap();
    assert!(rig.touch(HOST + 9));
    agree("a table that stood empty");
    rig.sound();
}

/// RS-23: neither a borrowing host's block nor an unprotected guest's changes what is recorded of the owner's pages.
#[test]
fn a_borrowers_leaves_are_not_recorded() {
    let rig = Rig::protected();
    // 2 MiB out of line: pages for the guest, whose records are uniform all the same; a block for the host.
    rig.donate(HOST, GFN + 1, 512);
    rig.share(GFN + 1, 512);
    assert!(rig.touch(HOST + 3));
    assert_eq!(host_leaf(&rig, HOST), Some(Size2M));
    assert_eq!(hardware_size(&rig, HOST), Size4K, "the guest has pages");
    // A block for the guest; the host borrows one page of it.
    rig.donate(HOST + 512, GFN + 1024, 512);
    rig.share(GFN + 1024 + 7, 1);
    assert!(rig.touch(HOST + 512 + 7));
    assert_eq!(hardware_size(&rig, HOST + 512), Size2M, "the guest has a block");
    rig.sound();

    let rig = Rig::new(VmKind::NonProtected, 16);
    rig.el2.share_hyp(pfns(HOST, 1)).unwrap();
    assert!(rig.touch(HOST + 1));
    rig.el2.unshare_hyp(pfns(HOST, 1)).unwrap();
    assert_eq!((host_leaf(&rig, HOST + 1), hardware_size(&rig, HOST)), (Some(Size4K), Size4K));
    assert_eq!(rig.el2.share_guest(rig.vm, pfns(HOST, 512), gfn(GFN), Prot::R), Ok(512));
    assert_eq!((host_leaf(&rig, HOST + 1), hardware_size(&rig, HOST)), (Some(Size4K), Size4K));
    rig.sound();
}

/// RS-23: the size is recorded with the new owner, so another CPU that has the region right after does not matter.
#[test]
fn the_recorded_size_needs_no_second_lock() {
    let rig = Rig::protected();
    let (el2, elsewhere) = (rig.el2, Arc::new(Mutex::new(None)));
    let guard = Arc::clone(&elsewhere);
    rig.board.watch(move |step| {
        if step == Step::Publish {
            *guard.lock().unwrap() = el2.tracker().lock_region(Pfn::new(HOST).unwrap()).ok();
        }
    });
    rig.donate(HOST, GFN, 512);
    rig.board.unwatch();
    assert!(elsewhere.lock().unwrap().take().is_some(), "another CPU had the region while the guest's leaf was made");
    assert_eq!(hardware_size(&rig, HOST), Size2M);
    rig.sound();
}

/// A VM's table pages come back scrubbed, and none of them is used for two tables.
#[test]
fn table_pages_come_back_empty() {
    let mut rig = Rig::protected();
    rig.donate(HOST, GFN, 3);
    let used: Vec<u64> = (ROOT..ROOT + 18).filter(|&page| (0..512).any(|i| rig.board.read(page, i) != 0)).collect();
    assert!(used.len() >= 3, "a root, level 2 and level 3");
    rig.kill();
    rig.el2.reclaim_guest(rig.vm, gfns(GFN, 3)).unwrap();
    rig.finish();
    assert!((RAM + OWN..RUN_PAGE).all(|page| (0..512).all(|i| rig.board.read(page, i) == 0)));
}
