//! What a protected guest does to its own pages, and what the host sees of it.

use super::*;
use tenure_abi::Borrower;
use tenure_abi::run::StopReason;
use tenure_hyp::el2::Stop;

#[test]
fn a_page_is_private_then_shared_in_place_then_private_again() {
    let rig = Rig::protected();
    rig.board.write(HOST, 0, 0x1111);
    assert!(rig.touch(HOST));
    assert_eq!(rig.donate(HOST, GFN, 1), Ok(1));
    assert_eq!(rig.board.read(HOST, 0), 0x1111, "what the host left is the guest's payload");
    assert!(!rig.touch(HOST));

    assert_eq!(rig.call(GuestCall::MemShare(gfns(GFN, 1))), done(1));
    assert_eq!(rig.state(HOST), PageState::Shared { owner: rig.owner(), with: Borrower::Host });
    assert!(rig.touch(HOST));

    let before = rig.board.invalidations.load(std::sync::atomic::Ordering::Relaxed);
    assert_eq!(rig.call(GuestCall::MemUnshare(gfns(GFN, 1))), done(1));
    let after = rig.board.invalidations.load(std::sync::atomic::Ordering::Relaxed);
    assert_eq!(after - before, 1, "the host's leaf had to go");
    assert!(!rig.touch(HOST));
    assert_eq!((rig.board.read(HOST, 0), rig.board.scrubs.load(std::sync::atomic::Ordering::Relaxed)), (0x1111, 0));
    rig.sound();
}

#[test]
fn sharing_and_unsharing_an_untouched_page_invalidates_nothing() {
    let rig = Rig::protected();
    rig.donate(HOST, GFN, 1).unwrap();
    let before = rig.board.invalidations.load(std::sync::atomic::Ordering::Relaxed);
    rig.call(GuestCall::MemShare(gfns(GFN, 1)));
    rig.call(GuestCall::MemUnshare(gfns(GFN, 1)));
    assert_eq!(rig.board.invalidations.load(std::sync::atomic::Ordering::Relaxed), before);
}

#[test]
fn calls_in_the_wrong_state_are_refused() {
    let rig = Rig::protected();
    rig.donate(HOST, GFN, 1).unwrap();
    assert_eq!(rig.call(GuestCall::MemUnshare(gfns(GFN, 1))), refused(Error::Denied));
    assert_eq!(rig.call(GuestCall::MemShare(gfns(GFN, 1))), done(1));
    assert_eq!(rig.call(GuestCall::MemShare(gfns(GFN, 1))), refused(Error::Denied));
    assert_eq!(rig.call(GuestCall::MemUnshare(gfns(GFN + 1, 1))), refused(Error::NotFound));
    rig.sound();
}

#[test]
fn a_share_of_an_unmapped_page_asks_the_host_and_is_issued_again() {
    let rig = Rig::protected();
    let asks = GuestOutcome::RewindAndStop(Stop { address: GFN << 12, write: true, ..Stop::plain(StopReason::Memory) });
    assert_eq!(rig.call(GuestCall::MemShare(gfns(GFN, 1))), asks);
    rig.donate(HOST, GFN, 1).unwrap();
    assert_eq!(rig.call(GuestCall::MemShare(gfns(GFN, 1))), done(1));
    // In the middle of a range it ends the call after what was done.
    rig.donate(HOST + 1, GFN + 1, 3).unwrap();
    assert_eq!(rig.call(GuestCall::MemShare(gfns(GFN + 1, 9))), done(3));
}

#[test]
fn ranges_follow_scattered_frames_a_run_at_a_time() {
    let rig = Rig::protected();
    for (frame, at, pages) in [(HOST + 40, 0, 10), (HOST + 600, 10, 5), (HOST, 15, 1)] {
        assert_eq!(rig.donate(frame, GFN + at, pages), Ok(pages));
    }
    assert_eq!(rig.call(GuestCall::MemShare(gfns(GFN, 16))), done(16));
    for frame in [HOST + 40, HOST + 49, HOST + 600, HOST + 604, HOST] {
        assert!(rig.touch(frame));
    }
    assert!(matches!(rig.state(HOST + 39), PageState::Exclusive(Owner::Host)));
    assert_eq!(rig.call(GuestCall::MemUnshare(gfns(GFN + 4, 12))), done(12));
    assert!(rig.touch(HOST + 43) && !rig.touch(HOST + 44) && !rig.touch(HOST));
    rig.sound();
}

#[test]
fn pages_inside_a_2m_leaf_are_shared_without_splitting_it() {
    let rig = Rig::protected();
    assert_eq!(rig.donate(HOST, GFN & !511, 512), Ok(512));
    let base = GFN & !511;
    assert_eq!(rig.call(GuestCall::MemShare(gfns(base + 9, 1))), done(1));
    let guard = rig.el2.tracker().lock_region(Pfn::new(HOST).unwrap()).unwrap();
    assert_eq!(guard.hardware_size(), tenure_abi::PageSize::Size2M);
    drop(guard);
    assert!(rig.touch(HOST + 9) && !rig.touch(HOST + 8) && !rig.touch(HOST + 10));
    rig.sound();
}

#[test]
fn a_relinquished_page_is_scrubbed_and_the_hosts() {
    let rig = Rig::protected();
    rig.board.write(HOST, 3, SECRET);
    rig.donate(HOST, GFN, 2).unwrap();
    let outcome = rig.call(GuestCall::MemRelinquish(gfn(GFN)));
    assert!(matches!(outcome, GuestOutcome::ReplyAndStop([0, ..], stop) if stop.reason == StopReason::Relinquished));
    assert_eq!(rig.state(HOST), PageState::Exclusive(Owner::Host));
    assert_eq!(rig.board.read(HOST, 3), 0);
    // Nothing there any more: fine. A shared page: not.
    assert_eq!(rig.call(GuestCall::MemRelinquish(gfn(GFN))), GuestOutcome::Reply([0; 4]));
    rig.call(GuestCall::MemShare(gfns(GFN + 1, 1)));
    assert_eq!(rig.call(GuestCall::MemRelinquish(gfn(GFN + 1))), refused(Error::Denied));
    assert_eq!(rig.donate(HOST, GFN, 1), Ok(1), "the address is free for another page");
    rig.sound();
}

#[test]
fn calls_that_are_not_offered_say_so() {
    let rig = Rig::protected();
    let token = rig.vcpu.as_ref().unwrap();
    for regs in [[0x8600_0001, 0, 0, 0], [0xc600_0007, GFN << 12, 0, 0], [0xc600_003e, 0, 0, 0], [0x8400_0000, 0, 0, 0]]
    {
        assert_eq!(rig.el2.guest_call(token, regs), refused(Error::NotSupported), "{regs:x?}");
    }
    let bad = [0xc600_0003, (GFN << 12) + 8, 0, 0];
    assert_eq!(rig.el2.guest_call(token, bad), refused(Error::Invalid));
    let beyond = [0xc600_0003, 1 << 40, 0, 0];
    assert_eq!(rig.el2.guest_call(token, beyond), refused(Error::Invalid));
}

#[test]
fn common_calls_take_the_fast_path_and_no_others() {
    let rig = Rig::protected();
    let base = GFN & !511;
    rig.donate(HOST, base, 512).unwrap();
    rig.donate(HOST + 512, base + 512, 3).unwrap();
    let fast = |function: u64, page: u64, granules: u64, reserved: u64| {
        rig.el2.guest_call_fast(rig.vcpu.as_ref().unwrap(), [function, page << 12, granules, reserved])
    };
    let (share, unshare) = (0xc600_0003, 0xc600_0004);
    // A 2 MiB leaf in one call, then single pages in it and beside it, asked for as 0 and as 1.
    assert_eq!(fast(share, base, 512, 0), Some([0, 512, 0, 0]));
    assert_eq!(fast(unshare, base, 512, 0), Some([0, 512, 0, 0]));
    rig.call(GuestCall::MemShare(gfns(base + 7, 1)));
    for (page, granules) in [(base + 8, 0), (base + 511, 1), (base + 512, 0), (base + 514, 1)] {
        assert_eq!(fast(share, page, granules, 0), Some([0, 1, 0, 0]), "{page:#x}");
        assert!(rig.touch(HOST + (page - base)));
        assert_eq!(fast(unshare, page, granules, 0), Some([0, 1, 0, 0]), "{page:#x}");
        assert!(!rig.touch(HOST + (page - base)));
    }
    for (function, page, granules, reserved) in [
        (share, base + 7, 0, 0),     // Shared already.
        (unshare, base + 8, 0, 0),   // Not shared.
        (share, base, 512, 0),       // Mixed by now.
        (share, base + 512, 512, 0), // No leaf of that size.
        (share, base + 8, 2, 0),
        (share, base + 8, 0, 1),
        (share, base + 515, 0, 0), // Nothing there.
        (0xc600_0002, base + 8, 0, 0),
        (0xc600_0005, base + 8, 0, 0),
    ] {
        assert_eq!(fast(function, page, granules, reserved), None, "{function:x} {page:#x} {granules} {reserved}");
    }
    assert_eq!(rig.el2.guest_call_fast(rig.vcpu.as_ref().unwrap(), [share, ((base + 8) << 12) + 8, 0, 0]), None);
    rig.sound();
}
