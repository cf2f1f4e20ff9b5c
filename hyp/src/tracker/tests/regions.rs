//! Regions: splitting, merging, hardware size, and everybody else while a claim is held.

use super::*;
use crate::tracker::Transition::*;

fn pfn(page: u64) -> Pfn {
    Pfn::new(page).unwrap()
}

impl TestTracker {
    fn mixed(&self, page: u64) -> bool {
        self.lock_region(pfn(page)).unwrap().uniform().is_none()
    }
    fn hw(&self, page: u64) -> PageSize {
        self.lock_region(pfn(page)).unwrap().hardware_size()
    }
}

#[test]
fn a_whole_region_stays_one_word() {
    let t = tracker();
    for half in [0, 512] {
        t.claim(HostDonateGuest, pfns(RAM + half, 512), guest(1, 0x1000 + half)).unwrap().commit(PageSize::Size2M);
    }
    assert!(!t.mixed(RAM) && !t.mixed(RAM + 512));
    assert_eq!(t.hw(RAM), PageSize::Size2M);
    t.go(GuestShareHost, RAM, 1024, guest(1, 0x1000)).unwrap();
    assert!(!t.mixed(RAM));
    assert_eq!(t.hw(RAM), PageSize::Size2M, "a share does not touch the hardware's entry");
}

#[test]
fn a_share_inside_a_uniform_region_splits_the_records_but_not_the_hardware() {
    let t = tracker();
    t.claim(HostDonateGuest, pfns(RAM, 512), guest(1, 0x1000)).unwrap().commit(PageSize::Size2M);
    t.go(GuestShareHost, RAM + 9, 1, guest(1, 0x1009)).unwrap();
    assert!(t.mixed(RAM));
    assert_eq!(t.hw(RAM), PageSize::Size2M);
    t.go(GuestUnshareHost, RAM + 9, 1, guest(1, 0x1009)).unwrap();
    assert_eq!(t.compact(pfn(RAM), 512), 1);
    assert!(!t.mixed(RAM));
    assert_eq!(t.compact(pfn(RAM), 512), 0);
    t.sound();
}

#[test]
fn the_last_page_back_at_the_host_returns_the_block() {
    let t = tracker();
    t.go(HostDonateHyp, RAM + 5, 2, Identity::NONE).unwrap();
    assert!(t.mixed(RAM));
    t.go(HypDonateHost, RAM + 5, 1, Identity::NONE).unwrap();
    assert!(t.mixed(RAM));
    assert_eq!(t.hw(RAM), PageSize::Size4K, "as before");
    t.go(HypDonateHost, RAM + 6, 1, Identity::NONE).unwrap();
    assert!(!t.mixed(RAM));
    assert_eq!(t.hw(RAM), PageSize::Size4K, "a return to uniform does not merge the hardware's entries");
    for size in [PageSize::Size2M, PageSize::Size4K, PageSize::Size4K, PageSize::Size2M, PageSize::Size2M] {
        t.lock_region(pfn(RAM)).unwrap().set_hardware_size(size);
        assert_eq!(t.hw(RAM), size);
    }
    t.sound();
}

#[test]
fn a_claim_over_a_mixed_region_makes_it_uniform_again() {
    let t = tracker();
    t.go(HostShareHyp, RAM + 5, 1, Identity::NONE).unwrap();
    t.go(HostUnshareHyp, RAM + 5, 1, Identity::NONE).unwrap();
    t.go(HostDonateHyp, RAM, 100, Identity::NONE).unwrap();
    t.go(HostDonateHyp, RAM + 100, 412, Identity::NONE).unwrap();
    assert!(t.mixed(RAM));
    t.go(HypDonateHost, RAM, 512, Identity::NONE).unwrap();
    assert!(!t.mixed(RAM));
    t.sound();
}

#[test]
fn everybody_else_is_told_to_retry_while_a_claim_is_held() {
    let t = tracker();
    let mut claim = t.claim(HostDonateHyp, pfns(RAM, 1), Identity::NONE).unwrap();
    assert_eq!(t.go(HostShareHyp, RAM + 1, 1, Identity::NONE).unwrap_err().error, Error::Retry);
    claim.park();
    for page in [RAM, RAM + 511] {
        assert_eq!(t.state(pfn(page)), Err(Error::Retry));
        assert_eq!(t.go(HostShareHyp, page, 1, Identity::NONE).unwrap_err().error, Error::Retry);
        assert!(t.lock_region(pfn(page)).is_err());
    }
    assert_eq!(t.state(pfn(RAM + 512)), Ok(tenure_abi::PageState::Exclusive(tenure_abi::Owner::Host)));
    claim.commit(PageSize::Size4K);
    assert_eq!(t.state(pfn(RAM)), Ok(tenure_abi::PageState::Exclusive(tenure_abi::Owner::Hyp)));
    t.sound();
}

#[test]
fn a_parked_claim_holds_no_lock() {
    use core::sync::atomic::Ordering::Relaxed;
    let t = tracker();
    let state = |page| {
        let cell = t.cell(page).unwrap();
        let word = crate::tracker::layout::Word(cell.word.load(Relaxed));
        (cell.lock.load(Relaxed) & cell.bit != 0, word.is_claimed())
    };
    let both = |locked, claimed| assert_eq!((state(RAM), state(RAM + 512)), ((locked, claimed), (locked, claimed)));
    for publish in [true, false] {
        let mut claim = t.claim(HostShareHyp, pfns(RAM + 500, 20), Identity::NONE).unwrap();
        both(true, false);
        claim.park();
        both(false, true);
        if publish {
            claim.commit(PageSize::Size4K);
            t.go(HostUnshareHyp, RAM + 500, 20, Identity::NONE).unwrap();
        } else {
            drop(claim);
        }
        both(false, false);
    }
    t.sound();
}

#[test]
fn a_claim_blocked_by_another_lets_go_of_what_it_had() {
    let t = tracker();
    let held = t.claim(HostDonateHyp, pfns(RAM + 1024, 1), Identity::NONE).unwrap();
    let error = t.go(HostDonateHyp, RAM, 1536, Identity::NONE).unwrap_err();
    assert_eq!(error, Located::pfn(Error::Retry, pfn(RAM + 1024)));
    assert_eq!(t.go(HostDonateHyp, RAM, 1024, Identity::NONE), Ok(1024));
    drop(held);
    t.sound();
}

#[test]
fn a_settled_claim_is_done_stuck_and_restored_in_that_order() {
    for (done, stuck) in [(0, false), (0, true), (5, false), (5, true), (11, true), (12, false)] {
        let t = tracker();
        t.go(HostDonateGuest, RAM, 512, guest(2, 0)).unwrap();
        let claim = t.claim(ReclaimOwned, pfns(RAM + 20, 12), guest(2, 20)).unwrap();
        let reason = stuck.then_some(tenure_abi::QuarantineReason::TakeUnproven);
        claim.settle(done, reason, PageSize::Size4K).unwrap();
        for i in 0..12 {
            let state = t.state(pfn(RAM + 20 + i)).unwrap();
            let good = match state {
                tenure_abi::PageState::Exclusive(tenure_abi::Owner::Host) => i < done,
                tenure_abi::PageState::Quarantined { .. } => stuck && i == done,
                tenure_abi::PageState::Exclusive(tenure_abi::Owner::Guest(_)) => i > done || (!stuck && i == done),
                _ => false,
            };
            assert!(good, "done {done}, stuck {stuck}: page {i} is {state:?}");
        }
        t.sound();
    }
}

#[test]
fn a_claim_over_regions_cannot_be_settled_in_part() {
    let t = tracker();
    let claim = t.claim(HostDonateHyp, pfns(RAM + 500, 30), Identity::NONE).unwrap();
    assert_eq!(claim.settle(3, None, PageSize::Size4K), Err(Error::Internal));
    assert_eq!(t.snapshot(), tracker().snapshot());
}

#[test]
fn without_a_block_a_split_is_refused_and_a_whole_region_is_not() {
    let chunks = Box::leak(Box::new([Chunk::zeroed()]));
    let ram = Box::leak(Box::new([pfns(0, 1 << 18)]));
    let t = Tracker::new(Box::leak(Box::new([0; 1])), chunks, ram, AllAtStart::new(&[])).unwrap();
    assert_eq!(t.go(HostDonateHyp, 3, 1, Identity::NONE), Err(Located::pfn(Error::NoMemory, pfn(3))));
    assert_eq!(t.go(HostDonateHyp, 0, 513, Identity::NONE), Err(Located::pfn(Error::NoMemory, pfn(512))));
    assert_eq!(t.go(HostDonateHyp, 0, 512, Identity::NONE), Ok(512));
    t.sound();
}

#[test]
fn the_fast_path_takes_exactly_the_pages_the_table_allows() {
    let t = tracker();
    t.go(HostDonateGuest, RAM, 100, guest(1, 0x1000)).unwrap();
    let fast = |op, page, gfn| {
        t.claim_entry(op, pfn(page), PageSize::Size4K, guest(1, gfn)).map(super::super::EntryClaim::commit).is_some()
    };
    assert!(fast(GuestShareHost, RAM + 4, 0x1004));
    assert!(!fast(GuestShareHost, RAM + 4, 0x1004), "shared already");
    assert!(!fast(GuestShareHost, RAM + 5, 0x1006), "another gfn");
    assert!(!fast(GuestShareHost, RAM + 100, 0x1064), "the host's");
    assert!(!fast(HostDonateGuest, RAM + 200, 0x1064), "another owner needs the count");
    assert!(!fast(HostShareHyp, RAM + 200, 0), "the live count would change");
    assert!(!fast(GuestShareHost, HOLE, 0x1004) && !fast(GuestShareHost, 1 << 30, 0));
    assert!(fast(GuestUnshareHost, RAM + 4, 0x1004));
    t.sound();
}

#[test]
fn an_audit_can_be_done_in_pieces() {
    let t = tracker();
    t.donate(RAM, 700, 1, 0);
    let whole = t.audit(pfn(0), u64::MAX);
    let (mut pages, mut guests, mut cursor) = (0, 0, Some(pfn(0)));
    while let Some(at) = cursor {
        let piece = t.audit(at, 512);
        (pages, guests, cursor) = (pages + piece.pages, guests + piece.kinds[4], piece.next);
    }
    assert_eq!((pages, guests), (whole.pages, 700));
}

#[test]
fn a_whole_region_of_another_guest_or_gfn_is_a_contradiction_too() {
    for (slot, gfn) in [(2, 0x1000), (1, 0x1001), (1, 0xfff), (1, 0x1200)] {
        let t = tracker();
        t.donate(RAM, 512, 1, 0x1000);
        assert_eq!(t.go(GuestShareHost, RAM, 512, guest(slot, gfn)).unwrap_err().error, Error::Internal);
        assert_eq!(t.contradictions(), 1);
        assert!(t.claim_entry(GuestShareHost, pfn(RAM + 512), PageSize::Size2M, guest(slot, gfn)).is_none());
        t.sound();
    }
}

#[test]
fn the_fast_path_takes_whole_uniform_regions_too() {
    let t = tracker();
    let id = guest(1, 0x1000);
    t.claim(HostDonateGuest, pfns(RAM, 512), id).unwrap().commit(PageSize::Size2M);
    let fast = |op, page, id| t.claim_entry(op, pfn(page), PageSize::Size2M, id).map(super::super::EntryClaim::commit);
    assert!(fast(GuestShareHost, RAM + 1, guest(1, 0x1001)).is_none(), "not the region's first page");
    assert!(
        fast(GuestShareHost, RAM, guest(1, 0x1001)).is_none() && fast(GuestShareHost, RAM, guest(2, 0x1000)).is_none()
    );
    assert!(fast(GuestShareHost, RAM, id).is_some() && fast(GuestShareHost, RAM, id).is_none());
    assert_eq!(t.hw(RAM), PageSize::Size2M);
    assert_eq!(t.go(GuestUnshareHost, RAM, 512, id), Ok(512));
    t.go(GuestShareHost, RAM + 9, 1, guest(1, 0x1009)).unwrap();
    assert!(fast(GuestUnshareHost, RAM, id).is_none(), "mixed");
    t.sound();
}

#[test]
fn a_claim_tells_the_entries_of_its_pages_and_of_no_others() {
    let t = tracker();
    t.donate(RAM + 510, 4, 1, 0x1000);
    let claim = t.claim(GuestShareHost, pfns(RAM + 510, 4), guest(1, 0x1000)).unwrap();
    assert_eq!((claim.first(), claim.count(), claim.row().id), (RAM + 510, 4, "PK-12"));
    for index in 0..4 {
        let gfn = claim.entry(index).and_then(super::super::Entry::guest).map(|(_, gfn)| gfn.number());
        assert_eq!(gfn, Some(0x1000 + index));
    }
    assert_eq!((claim.entry(4), claim.entry(u64::MAX)), (None, None));
}
