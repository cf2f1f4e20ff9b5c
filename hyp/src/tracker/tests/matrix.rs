//! Every transition against a page in every state: what no row allows is refused and changes nothing.

use super::*;
use crate::tracker::Kind;
use crate::tracker::Transition::*;
use std::collections::BTreeMap;
use tenure_abi::Error::{Busy, Denied, Retry};

const PAGE: u64 = RAM + 7;
const ME: (u16, u64) = (3, 0x50);

/// The states a page can be put in, and the calls that put it there.
fn states() -> Vec<(&'static str, Vec<Transition>)> {
    std::vec![
        ("host", std::vec![]),
        ("shared hyp", std::vec![HostShareHyp]),
        ("pinned", std::vec![HostShareHyp, HypPin]),
        ("shared guests", std::vec![HostShareGuest]),
        ("hyp", std::vec![HostDonateHyp]),
        ("guest", std::vec![HostDonateGuest]),
        ("guest shared", std::vec![HostDonateGuest, GuestShareHost]),
    ]
}

/// The whole matrix: per state the error of each transition in the order of `Transition::ALL`, `None` where allowed.
fn expected() -> BTreeMap<&'static str, [Option<Error>; 15]> {
    const D: Option<Error> = Some(Denied);
    const B: Option<Error> = Some(Busy);
    const R: Option<Error> = Some(Retry);
    let ok = None;
    let i = Some(Error::Internal);
    // share_hyp unshare pin unpin donate_hyp hyp_donate share_g unshare_g donate_g g_share g_unshare recl recl_s force relinq
    BTreeMap::from([
        ("host", [ok, D, D, D, ok, D, ok, D, ok, D, D, D, D, R, D]),
        ("shared hyp", [D, ok, ok, i, D, D, D, D, D, D, D, D, D, R, D]),
        ("pinned", [D, B, ok, ok, D, D, D, D, D, D, D, D, D, R, D]),
        ("shared guests", [D, D, D, D, D, D, ok, ok, D, D, D, D, D, R, D]),
        ("hyp", [D, D, D, D, D, ok, D, D, D, D, D, D, D, D, D]),
        ("guest", [D, D, D, D, D, D, D, D, D, ok, D, ok, D, ok, ok]),
        ("guest shared", [D, D, D, D, D, D, D, D, D, D, ok, D, ok, R, D]),
    ])
}

/// Of how many cases one is tried.
const EVERY: usize = if cfg!(miri) { 13 } else { 1 };

fn each_case(mut check: impl FnMut(&'static str, Transition, Option<Error>, TestTracker)) {
    for (row, (name, path)) in states().into_iter().enumerate() {
        let cases = Transition::ALL.into_iter().zip(expected()[name]).enumerate();
        // Another column in each row.
        for (_, (op, error)) in cases.filter(|(column, _)| (row + column).is_multiple_of(EVERY)) {
            let t = tracker();
            for &step in &path {
                t.go(step, PAGE, 1, guest(ME.0, ME.1)).unwrap();
            }
            check(name, op, error, t);
        }
    }
}

#[test]
fn every_transition_is_allowed_or_refused_as_its_row_says() {
    each_case(|name, op, error, t| {
        let result = t.go(op, PAGE, 1, guest(ME.0, ME.1));
        let wanted = error.map_or(Ok(1), |e| Err(Located::pfn(e, Pfn::new(PAGE).unwrap())));
        assert_eq!(result, wanted, "{op:?} on a page in state {name}");
        t.sound();
    });
}

#[test]
fn a_refused_transition_changes_nothing() {
    each_case(|name, op, error, t| {
        if error.is_some_and(|e| e != Error::Internal) {
            let before = t.snapshot();
            t.go(op, PAGE, 1, guest(ME.0, ME.1)).unwrap_err();
            assert_eq!(t.snapshot(), before, "{op:?} on a page in state {name}");
            assert_eq!(t.contradictions(), 0);
        }
    });
}

#[test]
fn a_dropped_claim_changes_nothing() {
    each_case(|name, op, error, t| {
        if error.is_none() {
            let before = t.snapshot();
            let mut claim = t.claim(op, pfns(PAGE, 1), guest(ME.0, ME.1)).unwrap();
            claim.park();
            drop(claim);
            assert_eq!(t.snapshot(), before, "{op:?} on a page in state {name}");
        }
    });
}

#[test]
fn another_guests_page_is_a_contradiction_and_goes_into_quarantine() {
    for (slot, gfn) in [(4, ME.1), (ME.0, ME.1 + 1)] {
        let t = tracker();
        t.go(HostDonateGuest, PAGE, 1, guest(ME.0, ME.1)).unwrap();
        let error = t.go(GuestShareHost, PAGE, 1, guest(slot, gfn)).unwrap_err();
        assert_eq!(error, Located::pfn(Error::Internal, Pfn::new(PAGE).unwrap()));
        assert_eq!(t.contradictions(), 1);
        let state = t.state(Pfn::new(PAGE).unwrap()).unwrap();
        assert!(matches!(state, tenure_abi::PageState::Quarantined { .. }), "{state:?}");
        for op in Transition::ALL {
            let error = t.go(op, PAGE, 1, guest(ME.0, ME.1)).unwrap_err().error;
            assert!(matches!(error, Error::Quarantined | Denied), "{op:?}: {error:?}");
        }
        t.sound();
    }
}

#[test]
fn forced_reclaim_of_a_page_that_moved_meanwhile_is_told_to_look_again() {
    let t = tracker();
    t.go(HostDonateGuest, PAGE, 1, guest(4, ME.1)).unwrap();
    assert_eq!(t.go(ForceReclaim, PAGE, 1, guest(ME.0, ME.1)).unwrap_err().error, Retry);
    assert_eq!(t.contradictions(), 0);
}

#[test]
fn counters_stop_at_their_maximum() {
    // Miri takes too long to go all the way to the maximum.
    const PINS: u32 = if cfg!(miri) { 20 } else { 0xffff };
    let t = tracker();
    t.go(HostShareHyp, PAGE, 1, Identity::NONE).unwrap();
    for _ in 0..PINS {
        t.go(HypPin, PAGE, 1, Identity::NONE).unwrap();
    }
    if PINS == 0xffff {
        let before = t.snapshot();
        assert_eq!(t.go(HypPin, PAGE, 1, Identity::NONE).unwrap_err().error, Error::Saturated);
        assert_eq!(t.snapshot(), before);
    }
    for _ in 0..PINS {
        t.go(HypUnpin, PAGE, 1, Identity::NONE).unwrap();
    }
    t.go(HostUnshareHyp, PAGE, 1, Identity::NONE).unwrap();
    // The mapping count's maximum is too far to walk to: its rule is asked directly.
    let row = HostShareGuest.row();
    let full = crate::tracker::Entry::from_bits(Kind::HostSharedGuests.bits() | u64::from(u32::MAX) << 8);
    assert_eq!(row.counted(full), Err(Error::Saturated));
    assert_eq!(HostUnshareGuest.row().counted(full).map(crate::tracker::Entry::count), Ok(u32::MAX - 1));
}
