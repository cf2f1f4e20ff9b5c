//! The n-th block that is asked for is not there.

use crate::pool::{RAM, REGIONS, System, guest};
use tenure_abi::{Error, PageSize, QuarantineReason};
use tenure_hyp::tracker::Transition::{
    ForceReclaim, GuestRelinquish, GuestShareHost, GuestUnshareHost, HostDonateGuest, HostDonateHyp, HostShareGuest,
    HostShareHyp, HostUnshareGuest, HostUnshareHyp, HypDonateHost, HypPin, HypUnpin, ReclaimOwned, ReclaimShared,
};
use tenure_hyp::tracker::{Identity, Transition};
use tenure_test_board::pfns;

/// One call: the transition, first page from the start of RAM, pages, and the guest's first frame for rows that name one.
type Call = (Transition, u64, u64, Option<u64>);

/// A life in which every row splits, covers and merges regions: it begins and ends with all memory the host's.
const LIFE: &[Call] = &[
    // Splits at the head, at the tail, at both.
    (HostShareHyp, 300, 512, None),
    (HypPin, 400, 300, None),
    (HypUnpin, 400, 300, None),
    (HostUnshareHyp, 300, 512, None),
    (HostDonateHyp, 10, 1500, None),
    (HypDonateHost, 200, 700, None),
    (HypDonateHost, 10, 190, None),
    (HypDonateHost, 900, 610, None),
    // A claim of a whole region whose pages came in two steps.
    (HostDonateHyp, 1536, 100, None),
    (HostDonateHyp, 1636, 412, None),
    (HypDonateHost, 1536, 512, None),
    (HostShareGuest, 1536, 100, None),
    (HostShareGuest, 1636, 412, None),
    (HostUnshareGuest, 1536, 512, None),
    // Rows with content work: a region at a time, always with a block in reserve.
    (HostDonateGuest, 0, 512, Some(0x1000)),
    (HostDonateGuest, 512, 512, Some(0x1200)),
    (HostDonateGuest, 1024, 100, Some(0x1400)),
    (GuestShareHost, 100, 1000, Some(0x1064)),
    (GuestUnshareHost, 512, 512, Some(0x1200)),
    (GuestUnshareHost, 200, 300, Some(0x10c8)),
    (GuestRelinquish, 600, 1, Some(0x1258)),
    (ForceReclaim, 512, 1, Some(0x1200)),
    (HostShareGuest, 1536, 512, None),
    (HostShareGuest, 1540, 9, None),
    (HostUnshareGuest, 1540, 9, None),
    (HostUnshareGuest, 1536, 512, None),
    (ReclaimOwned, 0, 100, Some(0x1000)),
    (ReclaimShared, 100, 100, Some(0x1064)),
    (ReclaimOwned, 200, 300, Some(0x10c8)),
    (ReclaimShared, 500, 12, Some(0x11f4)),
    (ReclaimOwned, 513, 87, Some(0x1201)),
    (ReclaimOwned, 601, 423, Some(0x1259)),
    (ReclaimShared, 1024, 76, Some(0x1400)),
    (ReclaimOwned, 1100, 24, Some(0x144c)),
];

const SLOT: u16 = 5;

/// Goes through the life; every call that finds no block must have changed nothing, and is made again.
fn live(system: &System) -> u64 {
    let mut refused = 0;
    for &(op, first, count, gfn) in LIFE {
        let id = gfn.map_or(Identity::NONE, |gfn| guest(SLOT, gfn));
        let before = (system.entries(), system.pool.out());
        let call = || system.go(op, RAM + first, count, id).map_err(|refused| refused.error);
        let mut result = call();
        if result == Err(Error::NoMemory) {
            refused += 1;
            assert!((system.entries(), system.pool.out()) == before, "{op:?} {first} changed something");
            system.sound();
            result = call();
        }
        assert_eq!(result, Ok(count), "{op:?} {first}");
        system.sound();
    }
    refused
}

#[test]
fn a_block_missing_at_any_point_refuses_the_call_and_changes_nothing() {
    let mut points = 0;
    for n in (0..).step_by(if cfg!(miri) { 9 } else { 1 }) {
        let system = System::new();
        system.pool.fail(Some(n));
        let refused = live(&system);
        assert_eq!(refused, system.pool.failed());
        system.pool.fail(None);
        assert!(system.entries().iter().all(|&(_, entry)| entry == tenure_hyp::tracker::Entry::HOST));
        assert_eq!((system.pool.out(), system.tracker.contradictions()), (0, 0), "taken and not given back");
        if refused == 0 {
            points = n;
            break;
        }
    }
    assert!(points >= 12, "only {points} takes were made");
}

#[test]
fn with_too_few_blocks_for_ever_whole_regions_still_move() {
    for blocks in 0..REGIONS {
        let system = System::with(blocks);
        let mut split = 0;
        for region in 0..REGIONS {
            let result = system.go(HostShareHyp, RAM + region * 512 + 3, 1, Identity::NONE);
            split += u64::from(result == Ok(1));
            system.sound();
        }
        assert_eq!(split, blocks);
        for region in blocks..REGIONS {
            assert_eq!(system.go(HostDonateHyp, RAM + region * 512, 512, Identity::NONE), Ok(512));
            system.sound();
        }
        for region in 0..split {
            assert_eq!(system.go(HostUnshareHyp, RAM + region * 512 + 3, 1, Identity::NONE), Ok(1));
        }
        assert_eq!(system.pool.out(), 0);
    }
}

#[test]
fn who_splits_pays_and_is_paid_back() {
    let system = System::new();
    system.go(HostDonateGuest, RAM, 3, guest(SLOT, 0)).unwrap();
    system.go(HostShareHyp, RAM + 512, 3, Identity::NONE).unwrap();
    assert_eq!((system.pool.out(), system.pool.paid_by(SLOT)), (2, 1));
    assert_eq!(system.pool.paid_by(0), 0, "the host pays for its own, and no guest is meant by no identity");
    // Another guest in the same region pays nothing; nor does it get anything back when it goes.
    system.go(HostDonateGuest, RAM + 9, 1, guest(SLOT + 1, 0)).unwrap();
    system.go(ReclaimOwned, RAM, 3, guest(SLOT, 0)).unwrap();
    assert_eq!((system.pool.paid_by(SLOT), system.pool.paid_by(SLOT + 1)), (1, 0));
    system.go(ReclaimOwned, RAM + 9, 1, guest(SLOT + 1, 0)).unwrap();
    assert_eq!((system.pool.out(), system.pool.paid_by(SLOT)), (1, 0));
    // A claim that is dropped gives its reserve back to whom it was charged.
    for op in [HostDonateGuest, HostShareGuest, HostDonateHyp] {
        let mut claim = system.tracker.claim(op, pfns(RAM + 1024 + 7, 9), guest(SLOT, 7)).unwrap();
        assert_eq!(system.pool.out(), 2);
        claim.park();
        drop(claim);
        assert_eq!(system.pool.out(), 1);
    }
    system.sound();
}

#[test]
fn compact_gives_blocks_back_and_loses_nothing() {
    let system = System::new();
    system.go(HostDonateGuest, RAM, 512, guest(SLOT, 0)).unwrap();
    system.go(GuestShareHost, RAM + 4, 1, guest(SLOT, 4)).unwrap();
    system.go(GuestUnshareHost, RAM + 4, 1, guest(SLOT, 4)).unwrap();
    system.go(HostDonateHyp, RAM + 512, 300, Identity::NONE).unwrap();
    let before = system.entries();
    assert_eq!(system.pool.out(), 2);
    assert_eq!(system.tracker.compact(tenure_abi::Pfn::new(RAM).unwrap(), 2048), 1);
    assert_eq!(system.pool.out(), 1);
    assert!(system.entries() == before);
    system.sound();
}

/// A contradiction in a uniform region needs a block for its quarantine. Without one only the count tells, and the page stays
/// with its owner.
#[test]
fn a_quarantine_without_a_block_is_counted() {
    for fails in [false, true] {
        let system = System::new();
        system.go(HostDonateGuest, RAM, 512, guest(SLOT, 0)).unwrap();
        system.pool.fail(fails.then_some(0));
        let refused = system.go(GuestShareHost, RAM + 4, 1, guest(SLOT, 5)).unwrap_err();
        assert_eq!((refused.error, system.tracker.contradictions()), (Error::Internal, 1));
        let audit = system.tracker.audit(tenure_abi::Pfn::new(0).unwrap(), u64::MAX);
        assert_eq!(audit.kinds[6], u64::from(!fails));
        assert_eq!(system.pool.out(), usize::from(!fails));
        system.sound();
    }
}

/// Blocks also balance where a claim ends in part: done, stuck, restored.
#[test]
fn a_settled_claim_keeps_or_returns_its_block() {
    for (done, stuck, blocks) in [(0, None, 0), (0, Some(()), 1), (3, None, 1), (512, None, 0), (512, Some(()), 0)] {
        let system = System::new();
        system.go(HostDonateGuest, RAM, 512, guest(SLOT, 0)).unwrap();
        let claim = system.tracker.claim(ReclaimOwned, pfns(RAM, 512), guest(SLOT, 0)).unwrap();
        assert_eq!(system.pool.paid_by(SLOT), 1);
        let stuck = stuck.map(|()| QuarantineReason::TakeUnproven);
        claim.settle(done, stuck, PageSize::Size4K).unwrap();
        assert_eq!((system.pool.out(), system.pool.paid_by(SLOT)), (blocks, blocks), "{done} {stuck:?}");
        system.sound();
    }
}
