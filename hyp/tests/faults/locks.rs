//! The n-th region of a claim is in other hands: locked, claimed, or claimed and parked.

use crate::pool::{RAM, REGIONS, System, guest};
use tenure_abi::{Error, Located, Pfn};
use tenure_hyp::tracker::Transition::{
    GuestShareHost, GuestUnshareHost, HostDonateGuest, HostDonateHyp, HostShareHyp, HostUnshareGuest, HostUnshareHyp,
    HypDonateHost, HypPin, HypUnpin, ReclaimShared,
};
use tenure_hyp::tracker::{Identity, Kind, Transition};
use tenure_test_board::pfns;

/// Rows that move any number of regions at once, and what puts pages in the state they expect.
const WHOLE: [(Transition, &[Transition]); 10] = [
    (HostShareHyp, &[]),
    (HostUnshareHyp, &[HostShareHyp]),
    (HypPin, &[HostShareHyp]),
    (HypUnpin, &[HostShareHyp, HypPin]),
    (HostDonateHyp, &[]),
    (HypDonateHost, &[HostDonateHyp]),
    (HostUnshareGuest, &[Transition::HostShareGuest]),
    (GuestShareHost, &[HostDonateGuest]),
    (GuestUnshareHost, &[HostDonateGuest, GuestShareHost]),
    (ReclaimShared, &[HostDonateGuest, GuestShareHost]),
];

/// From inside the first region to inside the last; and all of them.
const SHAPES: [(u64, u64); 3] = [(300, 1500), (0, 2048), (511, 514)];

fn prepared(path: &[Transition], first: u64, count: u64) -> System {
    let system = System::new();
    for &op in path {
        let mut done = 0;
        while done < count {
            done += system.go(op, RAM + first + done, count - done, guest(1, first + done)).unwrap();
        }
    }
    system
}

#[test]
fn a_region_in_other_hands_lets_go_of_all_before_it() {
    for (op, path) in WHOLE.into_iter().step_by(if cfg!(miri) { 4 } else { 1 }) {
        for (first, count) in SHAPES {
            let regions = first / 512..=(first + count - 1) / 512;
            for held in regions.clone() {
                let system = prepared(path, first, count);
                let (before, blocks) = (system.entries(), system.pool.out());
                let page = RAM + (held * 512).max(first);
                let refused = Err(Located::pfn(Error::Retry, Pfn::new(page).unwrap()));
                let ask = || system.go(op, RAM + first, count, guest(1, first));
                // Locked.
                let guard = system.tracker.lock_region(Pfn::new(page).unwrap()).unwrap();
                assert_eq!(ask(), refused, "{op:?} {first}");
                for free in (0..REGIONS).filter(|&region| region != held) {
                    assert!(system.tracker.lock_region(Pfn::new(RAM + free * 512).unwrap()).is_ok());
                }
                drop(guard);
                assert_eq!(system.pool.out(), blocks, "{op:?} {first}: the reserve went back");
                // Claimed, then parked.
                let identity = if op.row().names_guest() { guest(1, page - RAM) } else { Identity::NONE };
                let mut claim = system.tracker.claim(op, pfns(page, 1), identity).unwrap();
                let reserve = system.pool.out();
                assert_eq!(ask(), refused, "{op:?} {first}");
                claim.park();
                assert_eq!(ask(), refused, "{op:?} {first}");
                assert_eq!(system.tracker.state(Pfn::new(page).unwrap()), Err(Error::Retry));
                assert_eq!(system.pool.out(), reserve);
                drop(claim);
                assert!(system.entries() == before && system.pool.out() == blocks, "{op:?} {first} changed something");
                system.sound();
                assert_eq!(ask(), Ok(count));
                system.sound();
            }
        }
    }
}

/// A wrong page behind a region in other hands is not looked at. Nor is one a little before it: the locks of eight regions are
/// taken together, and whoever is told to retry finds the wrong page then.
#[test]
fn the_first_obstacle_is_the_answer() {
    let system = System::new();
    system.go(HostDonateHyp, RAM + 600, 1, Identity::NONE).unwrap();
    let guard = system.tracker.lock_region(Pfn::new(RAM + 1024).unwrap()).unwrap();
    let ask = || system.go(HostShareHyp, RAM, 2048, Identity::NONE);
    assert_eq!(ask(), Err(Located::pfn(Error::Retry, Pfn::new(RAM + 1024).unwrap())));
    drop(guard);
    assert_eq!(ask(), Err(Located::pfn(Error::Denied, Pfn::new(RAM + 600).unwrap())));
    let guard = system.tracker.lock_region(Pfn::new(RAM).unwrap()).unwrap();
    assert_eq!(ask(), Err(Located::pfn(Error::Retry, Pfn::new(RAM).unwrap())));
    drop(guard);
    system.sound();
}

/// An audit passes over what is in work and says so; it finds the page again afterwards.
#[test]
fn an_audit_counts_regions_in_work() {
    let system = System::new();
    let mut claim = system.tracker.claim(HostDonateHyp, pfns(RAM + 500, 600), Identity::NONE).unwrap();
    claim.park();
    let audit = system.tracker.audit(Pfn::new(0).unwrap(), u64::MAX);
    assert_eq!((audit.busy, audit.faults), (3, 0));
    assert_eq!(system.tracker.compact(Pfn::new(RAM).unwrap(), 2048), 0, "regions in work are left alone");
    claim.commit(tenure_abi::PageSize::Size4K);
    system.sound();
    let audit = system.tracker.audit(Pfn::new(0).unwrap(), u64::MAX);
    assert_eq!((audit.busy, audit.kinds[Kind::HypExclusive as usize]), (0, 600));
}
