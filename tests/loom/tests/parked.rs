//! Claims that let go of the lock for content work: others are told to come back, and see the bytes as the row promises.
#![cfg(loom)]

use loom::thread::spawn;
use std::sync::Arc;
use tenure_abi::{Error, PageSize, QuarantineReason};
use tenure_hyp::tracker::{Entry, Identity, Kind, Transition};
use tenure_loom::moves::{SECRET, model};
use tenure_loom::world::{World, guest, pages};

/// Pages 0..2 are a guest's and hold a secret.
fn guests_pages() -> Arc<World> {
    let world = World::new();
    world.go(Transition::HostDonateGuest, 0, 2, guest(1, 0x40)).unwrap();
    world
}

#[test]
fn a_reclaimed_page_is_scrubbed_before_the_host_sees_it() {
    model("park_against_fault", None, || {
        let world = guests_pages();
        let other = Arc::clone(&world);
        let thread = spawn(move || other.go(Transition::ReclaimOwned, 0, 1, guest(1, 0x40)));
        // The handler itself looks at the bytes as soon as the page is the host's.
        world.host_fault(0);
        let reclaimed = thread.join().unwrap();
        let expected = if reclaimed.is_ok() { Kind::HostExclusive } else { Kind::GuestExclusive };
        assert_eq!(world.settled()[..2], [expected, Kind::GuestExclusive]);
    });
}

#[test]
fn a_reclaimed_region_is_scrubbed_before_the_host_sees_it() {
    model("park_of_a_region", None, || {
        let world = World::new();
        world.go(Transition::HostDonateGuest, 4, 4, guest(1, 0x40)).unwrap();
        let other = Arc::clone(&world);
        let thread = spawn(move || other.go(Transition::ReclaimOwned, 4, 4, guest(1, 0x40)));
        world.host_fault(6);
        let reclaimed = thread.join().unwrap();
        let expected = if reclaimed.is_ok() { Kind::HostExclusive } else { Kind::GuestExclusive };
        assert_eq!(world.settled()[4..8], [expected; 4]);
    });
}

#[test]
fn a_parked_region_is_nobody_elses_until_it_is_settled() {
    model("park_against_claim", None, || {
        let world = guests_pages();
        let other = Arc::clone(&world);
        let thread = spawn(move || {
            let Ok(mut claim) = other.tracker.claim(Transition::ReclaimOwned, pages(0, 2), guest(1, 0x40)) else {
                return false;
            };
            claim.park();
            other.bytes(0, |bytes| *bytes = 0);
            // Page 1 is stuck: the first is finished, the second is withdrawn.
            claim.settle(1, Some(QuarantineReason::HardwareUnknown), PageSize::Size4K).unwrap();
            true
        });
        let shared = world.go(Transition::GuestShareHost, 0, 2, guest(1, 0x40));
        let settled = thread.join().unwrap();
        let kinds = world.settled();
        match (settled, shared) {
            (true, Err(error)) => {
                assert!(matches!(error, Error::Retry | Error::Denied), "{error:?}");
                assert_eq!(kinds[..2], [Kind::HostExclusive, Kind::Quarantined]);
                world.bytes(1, |bytes| assert_eq!(*bytes, SECRET));
            }
            (false, Ok(2)) => assert_eq!(kinds[..2], [Kind::GuestSharedHost; 2]),
            (false, Err(Error::Retry)) => assert_eq!(kinds[..2], [Kind::GuestExclusive; 2]),
            other => panic!("{other:?} and {kinds:?}"),
        }
    });
}

#[test]
fn whole_regions_that_come_back_are_scrubbed_before_they_are_claimed_again() {
    model("park_of_a_lock_word", None, || {
        let world = World::new();
        world.go(Transition::HostDonateHyp, 0, 8, Identity::NONE).unwrap();
        world.bytes(5, |bytes| *bytes = SECRET);
        let other = Arc::clone(&world);
        let thread = spawn(move || {
            let Ok(mut claim) = other.tracker.claim(Transition::HypDonateHost, pages(0, 8), Identity::NONE) else {
                return false;
            };
            claim.park();
            other.bytes(5, |bytes| *bytes = 0);
            claim.commit(PageSize::Size4K);
            true
        });
        // Refused until the other is done; then all regions of the lock word are seen as they were published.
        if let Ok(claim) = world.tracker.claim(Transition::HostShareHyp, pages(0, 8), Identity::NONE) {
            world.bytes(5, |bytes| assert_eq!(*bytes, 0, "claimed unscrubbed"));
            claim.commit(PageSize::Size4K);
        }
        thread.join().unwrap();
        world.settled();
    });
}

#[test]
fn a_parked_claim_that_is_dropped_leaves_what_was() {
    model("park_and_drop", None, || {
        let world = guests_pages();
        let other = Arc::clone(&world);
        let thread = spawn(move || {
            let claim = other.tracker.claim(Transition::ReclaimOwned, pages(0, 2), guest(1, 0x40));
            if let Ok(mut claim) = claim {
                claim.park();
            }
        });
        let seen = world.entry(0);
        let donated = world.go(Transition::HostDonateHyp, 2, 1, Identity::NONE);
        thread.join().unwrap();
        assert!(matches!(seen.map(Entry::kind), Ok(Some(Kind::GuestExclusive)) | Err(Error::Retry)));
        let kinds = world.settled();
        assert_eq!(kinds[..2], [Kind::GuestExclusive; 2]);
        assert_eq!(kinds[2] == Kind::HypExclusive, donated.is_ok());
    });
}

#[test]
fn who_ends_a_parked_claim_takes_no_lock_from_the_next() {
    for finish in [true, false] {
        model(if finish { "lock_after_park" } else { "lock_after_drop" }, None, move || {
            let world = guests_pages();
            world.go(Transition::GuestShareHost, 0, 2, guest(1, 0x40)).unwrap();
            let other = Arc::clone(&world);
            let thread = spawn(move || {
                if let Ok(mut claim) = other.tracker.claim(Transition::ReclaimShared, pages(0, 2), guest(1, 0x40)) {
                    claim.park();
                    if finish {
                        claim.commit(PageSize::Size4K);
                    }
                }
                // The region may be the other thread's already: then this waits for it.
                other.host_fault(3);
            });
            world.host_fault(2);
            thread.join().unwrap();
            world.settled();
        });
    }
}

#[test]
fn forced_reclaim_and_the_guests_own_gift_scrub_once() {
    model("two_reclaims", None, || {
        let world = guests_pages();
        let other = Arc::clone(&world);
        let thread = spawn(move || other.go(Transition::ForceReclaim, 0, 1, guest(1, 0x40)));
        let given = world.go(Transition::GuestRelinquish, 0, 1, guest(1, 0x40));
        let forced = thread.join().unwrap();
        assert!(given.is_err() || forced.is_err(), "one page came back twice");
        let kinds = world.settled();
        let back = given.is_ok() || forced.is_ok();
        assert_eq!(kinds[0], if back { Kind::HostExclusive } else { Kind::GuestExclusive });
        world.bytes(0, |bytes| assert_eq!(*bytes, if back { 0 } else { SECRET }));
        assert!(world.go_fast(Transition::GuestShareHost, 1, PageSize::Size4K, guest(1, 0x41)));
    });
}
