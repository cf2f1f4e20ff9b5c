//! The host's fault handler beside everybody who takes pages from the host.
//!
//! The handler reads the entry and sets the access bit under the region's lock; whoever takes a page clears the bit under the
//! same lock, before the new entry is published. So a page that is no longer the host's is never mapped for it again.
#![cfg(loom)]

use loom::thread::spawn;
use std::sync::Arc;
use tenure_abi::{Error, PageSize, Pfn};
use tenure_hyp::tracker::{Identity, Kind, Transition};
use tenure_loom::moves::model;
use tenure_loom::world::{World, guest};

/// Page 0 is a guest's and shared with the host, which maps it; page 1 is the guest's alone.
fn shared_page() -> Arc<World> {
    let world = World::new();
    world.go(Transition::HostDonateGuest, 0, 2, guest(1, 0x40)).unwrap();
    world.go(Transition::GuestShareHost, 0, 1, guest(1, 0x40)).unwrap();
    world.host_fault(0).unwrap();
    world
}

#[test]
fn a_fault_beside_a_fast_unshare_never_maps_the_guests_page() {
    model("fault_against_fast_unshare", None, || {
        let world = shared_page();
        let other = Arc::clone(&world);
        let thread = spawn(move || other.go_fast(Transition::GuestUnshareHost, 0, PageSize::Size4K, guest(1, 0x40)));
        world.host_fault(0);
        world.host_fault(0);
        let unshared = thread.join().unwrap();
        let expected = if unshared { Kind::GuestExclusive } else { Kind::GuestSharedHost };
        assert_eq!(world.settled()[0], expected);
    });
}

#[test]
fn a_fault_beside_an_unshare_never_maps_the_guests_page() {
    model("fault_against_unshare", None, || {
        let world = shared_page();
        let other = Arc::clone(&world);
        let thread = spawn(move || other.go(Transition::GuestUnshareHost, 0, 1, guest(1, 0x40)));
        world.host_fault(0);
        world.host_fault(1);
        let unshared = thread.join().unwrap();
        assert!(matches!(unshared, Ok(1) | Err(Error::Retry)), "{unshared:?}");
        let expected = if unshared.is_ok() { Kind::GuestExclusive } else { Kind::GuestSharedHost };
        assert_eq!(world.settled()[..2], [expected, Kind::GuestExclusive]);
    });
}

#[test]
fn a_fault_beside_the_unshare_of_a_whole_leaf_never_maps_the_guests_page() {
    model("fault_against_leaf_unshare", None, || {
        let world = World::new();
        for first in [0, 4] {
            // Published as whole regions: uniform.
            world.go(Transition::HostDonateGuest, first, 4, guest(1, 0x40 + first)).unwrap();
        }
        world.go(Transition::GuestShareHost, 0, 4, guest(1, 0x40)).unwrap();
        world.host_fault(1).unwrap();
        let other = Arc::clone(&world);
        let fast = move || other.go_fast(Transition::GuestUnshareHost, 0, PageSize::Size2M, guest(1, 0x40));
        let thread = spawn(fast);
        world.host_fault(1);
        world.host_fault(3);
        let unshared = thread.join().unwrap();
        let expected = if unshared { Kind::GuestExclusive } else { Kind::GuestSharedHost };
        assert_eq!(world.settled()[..4], [expected; 4]);
    });
}

#[test]
fn a_fault_beside_a_donation_sees_both_pages_or_none() {
    model("fault_against_donation", None, || {
        let world = World::new();
        world.host_fault(0).unwrap();
        let other = Arc::clone(&world);
        let thread = spawn(move || other.go(Transition::HostDonateGuest, 0, 4, guest(1, 0x40)));
        let first = world.host_fault(0);
        let last = world.host_fault(3);
        let donated = thread.join().unwrap().is_ok();
        if first == Some(Kind::GuestExclusive) {
            assert!(matches!(last, None | Some(Kind::GuestExclusive)), "half a donation: {first:?}, {last:?}");
        }
        let expected = if donated { Kind::GuestExclusive } else { Kind::HostExclusive };
        assert_eq!(world.settled()[..4], [expected; 4]);
    });
}

#[test]
fn a_guard_over_two_pages_never_sees_half_a_commit() {
    model("guard_against_commit", None, || {
        let world = World::new();
        // Mixed before and after: the entries change in the block, the word only in its counts.
        world.go(Transition::HostDonateHyp, 3, 1, Identity::NONE).unwrap();
        let other = Arc::clone(&world);
        let thread = spawn(move || other.go(Transition::HostDonateHyp, 0, 2, Identity::NONE).is_ok());
        let pages = [Pfn::new(0).unwrap(), Pfn::new(1).unwrap()];
        if let Ok(guard) = world.tracker.lock_region(pages[0]) {
            let [first, second] = pages.map(|pfn| guard.entry(pfn).kind());
            assert_eq!(first, second, "half a commit");
        }
        let donated = thread.join().unwrap();
        let expected = if donated { Kind::HypExclusive } else { Kind::HostExclusive };
        assert_eq!(world.settled()[..2], [expected; 2]);
    });
}

#[test]
fn the_hardware_size_a_fault_records_survives_a_commit() {
    model("hardware_size", None, || {
        let world = World::new();
        let first = Pfn::new(0).unwrap();
        world.tracker.lock_region(first).unwrap().set_hardware_size(PageSize::Size4K);
        let other = Arc::clone(&world);
        let thread = spawn(move || {
            let guard = other.tracker.lock_region(first);
            guard.map(|mut guard| guard.set_hardware_size(PageSize::Size2M)).is_ok()
        });
        let shared = world.go(Transition::HostShareHyp, 0, 4, Identity::NONE).is_ok();
        let merged = thread.join().unwrap();
        let size = world.tracker.lock_region(first).unwrap().hardware_size();
        assert_eq!(size, if merged { PageSize::Size2M } else { PageSize::Size4K });
        assert_eq!(world.settled()[0] == Kind::HostSharedHyp, shared);
    });
}

#[test]
fn two_who_take_and_one_who_faults_agree() {
    model("fault_against_two_claims", Some(2), || {
        let world = shared_page();
        let (guest_side, host_side) = (Arc::clone(&world), Arc::clone(&world));
        let guest_side =
            spawn(move || guest_side.go_fast(Transition::GuestUnshareHost, 0, PageSize::Size4K, guest(1, 0x40)));
        let host_side = spawn(move || host_side.go(Transition::HostDonateHyp, 3, 1, Identity::NONE).is_ok());
        world.host_fault(0);
        world.host_fault(3);
        let (unshared, donated) = (guest_side.join().unwrap(), host_side.join().unwrap());
        let kinds = world.settled();
        assert_eq!(kinds[0], if unshared { Kind::GuestExclusive } else { Kind::GuestSharedHost });
        assert_eq!(kinds[3], if donated { Kind::HypExclusive } else { Kind::HostExclusive });
    });
}
