//! Ranges of guest memory as runs of frames: where a run ends, and where a call does.

use super::*;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use tenure_abi::service::Prot;
use tenure_test_board::watch::Step;

const BASE: u64 = GFN & !511;

#[test]
fn a_run_that_begins_inside_a_block_ends_with_it() {
    let rig = Rig::protected();
    rig.donate(HOST, BASE, 512).unwrap();
    rig.donate(HOST + 1024, BASE + 512, 512).unwrap();
    assert_eq!(rig.call(GuestCall::MemShare(gfns(BASE + 100, 924))), done(924));
    assert!(rig.touch(HOST + 100) && rig.touch(HOST + 511) && rig.touch(HOST + 1024));
    assert!(!rig.touch(HOST + 99) && matches!(rig.state(HOST + 512), PageState::Exclusive(Owner::Host)));
    rig.sound();
}

#[test]
fn a_run_over_blocks_ends_where_the_next_block_is_elsewhere() {
    let rig = Rig::protected();
    for (frame, at) in [(HOST, 0), (HOST + 512, 512), (HOST + 1536, 1024)] {
        rig.donate(frame, BASE + at, 512).unwrap();
    }
    assert_eq!(rig.call(GuestCall::MemShare(gfns(BASE + 100, 1436))), done(924));
    assert_eq!(rig.call(GuestCall::MemShare(gfns(BASE + 1024, 512))), done(512));
    rig.sound();
}

#[test]
fn a_call_looks_at_no_more_leaves_than_one_residency_allows() {
    let rig = Rig::protected();
    // One page out of line with their frames: all are single leaves.
    let mut given = 0;
    while given < 600 {
        given += rig.donate(HOST + given, BASE + 1 + given, 600 - given).unwrap();
    }
    assert_eq!(rig.call(GuestCall::MemShare(gfns(BASE + 1, 600))), done(512));
    assert_eq!(rig.call(GuestCall::MemUnshare(gfns(BASE + 1, 600))), done(512));
    rig.sound();
}

#[test]
fn an_unshare_that_meets_another_cpu_in_the_second_region_has_done_the_first() {
    let rig = Rig::new(VmKind::NonProtected);
    for region in [0, 512] {
        assert_eq!(rig.el2.share_guest(rig.vm, pfns(HOST + region, 512), gfn(BASE + region), Prot::R), Ok(512));
    }
    let elsewhere = rig.el2.tracker().lock_region(Pfn::new(HOST + 512).unwrap()).unwrap();
    assert_eq!(rig.el2.unshare_guest(rig.vm, gfns(BASE + 3, 1000)), Ok(509));
    drop(elsewhere);
    assert_eq!(rig.el2.unshare_guest(rig.vm, gfns(BASE + 512, 512)), Ok(512));
    rig.sound();
}

#[test]
fn every_page_is_made_ready_for_the_guest_before_it_is_published() {
    for kind in [VmKind::Protected, VmKind::NonProtected] {
        let rig = Box::leak(Box::new(Rig::new(kind)));
        let ready = Arc::new(AtomicU64::new(0));
        let (seen, el2) = (Arc::clone(&ready), &rig.el2);
        rig.board.watch(move |step| {
            if let Step::Prepare(pfn) = step {
                assert_eq!(el2.tracker().state(pfn), Err(Error::Retry), "it is in motion");
                assert_eq!(pfn.number(), HOST + seen.fetch_add(1, Relaxed));
            }
        });
        let given = match kind {
            VmKind::Protected => rig.donate(HOST, BASE, 5),
            VmKind::NonProtected => rig.el2.share_guest(rig.vm, pfns(HOST, 5), gfn(BASE), Prot::R),
        };
        rig.board.unwatch();
        assert_eq!((given, ready.load(Relaxed)), (Ok(5), 5));
    }
}
