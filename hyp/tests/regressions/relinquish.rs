//! RS-24: the ways in which giving a page back went wrong.

use crate::raw::Raw;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use tenure_abi::pkvm::{GuestCall, GuestReply};
use tenure_abi::{Error, Gfn, Located, Owner, PageState, Pfn, VmSlot};
use tenure_hyp::el2::GuestOutcome;
use tenure_hyp::tracker::{Entry, Identity, Transition};
use tenure_test_board::pfns;
use tenure_test_board::rig::{GFN, HOST, ROOT, Rig, gfn};
use tenure_test_board::watch::Step;

/// RS-24 (a): where nothing is mapped nothing is unmapped, scrubbed or counted.
#[test]
fn nothing_mapped_is_nothing_done() {
    let mut rig = Rig::protected();
    rig.donate(HOST, GFN, 1);
    let before = rig.snapshot();
    let invalidations = rig.board.invalidations.load(Relaxed);
    for at in [GFN + 1, GFN + 512, 0, (1 << 28) - 1] {
        assert_eq!(rig.call(GuestCall::MemRelinquish(gfn(at))), GuestOutcome::Reply([0; 4]), "{at:#x}");
    }
    assert!(rig.snapshot() == before);
    assert_eq!((rig.board.invalidations.load(Relaxed), rig.board.scrubs.load(Relaxed)), (invalidations, 0));
    rig.kill();
    assert_eq!(rig.el2.vm_finish_teardown(rig.vm), Err(Error::Busy.into()), "it still owns its one page");
}

/// RS-24 (b), hazard: a page inside a 2 MiB leaf: that page goes and is scrubbed, its neighbours stay as they are.
#[test]
fn inside_a_block_the_right_page_goes() {
    for offset in [0, 1, 200, 511] {
        let rig = Rig::protected();
        for page in 0..512 {
            rig.board.write(HOST + page, 7, 0x5ec2_0000 + page);
        }
        rig.donate(HOST, GFN, 512);
        let given = rig.call(GuestCall::MemRelinquish(gfn(GFN + offset)));
        assert!(matches!(given, GuestOutcome::ReplyAndStop([0, ..], stop) if stop.address == (GFN + offset) << 12));
        for page in 0..512 {
            let gone = page == offset;
            assert_eq!(rig.board.read(HOST + page, 7), if gone { 0 } else { 0x5ec2_0000 + page }, "{page}");
            assert_eq!(rig.state(HOST + page) == PageState::Exclusive(Owner::Host), gone, "{page}");
            assert_eq!(rig.touch(HOST + page), gone, "{page}");
        }
        let leaves = rig.board.leaves(ROOT);
        assert_eq!((leaves.pages(), leaves.get(GFN + offset)), (511, None));
        rig.sound();
    }
}

/// RS-24 (c): a page that a device was given (a pin in its entry) does not go back.
#[test]
fn a_page_in_use_stays() {
    let t = Raw::new(&[pfns(0x40000, 512)]);
    let id = Identity::guest(VmSlot::new(3).unwrap(), Gfn::new(0x77).unwrap()).unwrap();
    t.go(Transition::HostDonateGuest, 0x40000, 2, id).unwrap();
    let exclusive: u64 = 4 << 4 | 3 << 8 | 0x77 << 18;
    t.overwrite(0, 0, exclusive | 1 << 54);
    let busy = Located::pfn(Error::Busy, Pfn::new(0x40000).unwrap());
    for op in [Transition::GuestRelinquish, Transition::ForceReclaim, Transition::ReclaimOwned] {
        assert_eq!(t.go(op, 0x40000, 1, id), Err(busy), "{op:?}");
    }
    t.overwrite(0, 0, exclusive);
    assert_eq!(t.go(Transition::GuestRelinquish, 0x40000, 1, id), Ok(1));
    assert_eq!(t.entry(0x40000), Entry::HOST);
    t.sound();
}

/// RS-24 (e): bytes are zeroed when nobody can write them any more: the guest's leaf is gone, and its TLBs know.
#[test]
fn a_page_is_scrubbed_after_its_last_user_lost_it() {
    for block in [false, true] {
        let rig = Rig::protected();
        rig.donate(HOST, GFN, if block { 512 } else { 2 });
        let (board, el2) = (rig.board, rig.el2);
        let page = HOST + 1;
        let log = Arc::new(AtomicU64::new(0));
        let seen = Arc::clone(&log);
        board.watch(move |step| match step {
            Step::Invalidate(1, ..) => {
                assert_eq!(seen.fetch_add(1, Relaxed), 0, "once, and first");
            }
            Step::Scrub(scrubbed) => {
                assert_eq!(scrubbed.number(), page);
                assert_eq!(seen.fetch_add(1, Relaxed), 1, "the TLBs come first");
                assert_eq!(board.leaves(ROOT).get(GFN + 1), None, "the guest maps it still");
                assert_eq!(el2.tracker().state(scrubbed), Err(Error::Retry), "it is nobody's yet");
            }
            _ => {}
        });
        rig.call(GuestCall::MemRelinquish(gfn(GFN + 1)));
        board.unwatch();
        assert_eq!(log.load(Relaxed), 2);
        rig.sound();
    }
}

/// A shared page is refused, a burnt address says so: neither is taken or scrubbed.
#[test]
fn only_a_private_page_can_be_given_back() {
    let rig = Rig::protected();
    rig.donate(HOST, GFN, 3);
    rig.share(GFN, 1);
    rig.el2.force_reclaim(pfns(HOST + 1, 1)).unwrap();
    let before = rig.snapshot();
    for (at, error) in [(GFN, Error::Denied), (GFN + 1, Error::Poisoned)] {
        assert_eq!(rig.call(GuestCall::MemRelinquish(gfn(at))), GuestReply::Refused(error).into());
    }
    assert!(rig.snapshot() == before);
}
