//! Two claims at once: what overlaps excludes, what does not is not lost.
#![cfg(loom)]

use loom::thread::spawn;
use std::sync::Arc;
use tenure_abi::Error;
use tenure_hyp::tracker::{Identity, Kind, Transition};
use tenure_loom::moves::model;
use tenure_loom::world::{PAGES, World, guest};

const NONE: Identity = Identity::NONE;

/// Every page of `range` is `kind`, if the move was made; else none is.
fn all_or_nothing(kinds: &[Kind], range: core::ops::Range<usize>, kind: Kind, moved: Result<u64, Error>) {
    let here = kinds[range.clone()].iter().filter(|&&k| k == kind).count();
    let expected = if moved.is_ok() { range.len() } else { 0 };
    assert_eq!(here, expected, "{moved:?} and {kinds:?}");
}

#[test]
fn overlapping_ranges_go_to_one_of_two() {
    model("overlapping_ranges", None, || {
        let world = World::new();
        let other = Arc::clone(&world);
        // Pages 2..6 lie across both regions, and so do 3..8.
        let thread = spawn(move || other.go(Transition::HostDonateHyp, 2, 4, NONE));
        let shared = world.go(Transition::HostShareHyp, 3, 5, NONE);
        let donated = thread.join().unwrap();
        let kinds = world.settled();
        assert!(shared.is_err() || donated.is_err(), "pages 3..6 went to both");
        for refused in [shared, donated].into_iter().filter_map(Result::err) {
            assert!(matches!(refused, Error::Denied | Error::Retry), "{refused:?}");
        }
        all_or_nothing(&kinds, 2..6, Kind::HypExclusive, donated);
        all_or_nothing(&kinds, 3..8, Kind::HostSharedHyp, shared);
    });
}

#[test]
fn overlapping_ranges_over_two_lock_words_go_to_one_of_two() {
    model("overlapping_lock_words", None, || {
        let world = World::new();
        let other = Arc::clone(&world);
        // Pages 6..10 lie across both lock words; 4..12 are whole regions of both.
        let thread = spawn(move || other.go(Transition::HostDonateHyp, 6, 4, NONE));
        let shared = world.go(Transition::HostShareHyp, 4, 8, NONE);
        let donated = thread.join().unwrap();
        let kinds = world.settled();
        assert!(shared.is_err() || donated.is_err(), "pages 6..10 went to both");
        all_or_nothing(&kinds, 6..10, Kind::HypExclusive, donated);
        all_or_nothing(&kinds, 4..12, Kind::HostSharedHyp, shared);
    });
}

#[test]
fn all_regions_of_a_lock_word_at_once_exclude_a_page_of_one() {
    model("whole_lock_word", None, || {
        let world = World::new();
        let other = Arc::clone(&world);
        let thread = spawn(move || other.go(Transition::HostDonateHyp, 0, 8, NONE));
        let shared = world.go(Transition::HostShareHyp, 5, 1, NONE);
        let donated = thread.join().unwrap();
        let kinds = world.settled();
        assert!(shared.is_err() || donated.is_err(), "page 5 went to both");
        all_or_nothing(&kinds, 0..8, Kind::HypExclusive, donated);
        all_or_nothing(&kinds, 5..6, Kind::HostSharedHyp, shared);
    });
}

#[test]
fn neighbours_under_one_lock_word_are_both_kept() {
    model("neighbours", None, || {
        let world = World::new();
        let other = Arc::clone(&world);
        // Different regions, one lock word: they only meet in the word.
        let thread = spawn(move || other.go(Transition::HostDonateHyp, 0, 4, NONE));
        let shared = world.go(Transition::HostShareHyp, 5, 1, NONE);
        let donated = thread.join().unwrap();
        let kinds = world.settled();
        for result in [shared, donated] {
            assert!(matches!(result, Ok(_) | Err(Error::Retry)), "{result:?}");
        }
        all_or_nothing(&kinds, 0..4, Kind::HypExclusive, donated);
        all_or_nothing(&kinds, 5..6, Kind::HostSharedHyp, shared);
    });
}

#[test]
fn claims_of_one_region_are_both_kept() {
    model("split_against_claim", None, || {
        let world = World::new();
        let other = Arc::clone(&world);
        // The donation splits the region, and so does the share.
        let thread = spawn(move || other.go(Transition::HostDonateGuest, 0, 1, guest(1, 0x40)));
        let shared = world.go(Transition::HostShareHyp, 3, 1, NONE);
        let donated = thread.join().unwrap();
        for result in [shared, donated] {
            assert!(matches!(result, Ok(1) | Err(Error::Retry)), "{result:?}");
        }
        let kinds = world.settled();
        all_or_nothing(&kinds, 0..1, Kind::GuestExclusive, donated);
        all_or_nothing(&kinds, 3..4, Kind::HostSharedHyp, shared);
        assert_eq!(kinds[1..3], [Kind::HostExclusive; 2]);
    });
}

#[test]
fn the_last_page_to_come_home_and_the_next_to_leave_agree_on_the_block() {
    model("merge_against_split", None, || {
        let world = World::new();
        world.go(Transition::HostDonateHyp, 0, 1, NONE).unwrap();
        let other = Arc::clone(&world);
        // Page 0 was the only one: its return gives the block back, while page 3 needs one.
        let thread = spawn(move || other.go(Transition::HypDonateHost, 0, 1, NONE));
        let shared = world.go(Transition::HostShareHyp, 3, 1, NONE);
        let returned = thread.join().unwrap();
        let kinds = world.settled();
        assert_eq!(kinds[0], if returned.is_ok() { Kind::HostExclusive } else { Kind::HypExclusive });
        all_or_nothing(&kinds, 3..4, Kind::HostSharedHyp, shared);
    });
}

#[test]
fn a_block_that_moves_to_another_region_takes_no_entry_along() {
    model("block_moves", None, || {
        let world = World::new();
        world.go(Transition::HostDonateHyp, 0, 1, NONE).unwrap();
        let other = Arc::clone(&world);
        let thread = spawn(move || {
            let returned = other.go(Transition::HypDonateHost, 0, 1, NONE);
            (returned, other.go(Transition::HostDonateHyp, 1, 1, NONE))
        });
        let shared = world.go(Transition::HostShareHyp, 9, 2, NONE);
        let (returned, donated) = thread.join().unwrap();
        let kinds = world.settled();
        // Regions 0 and 2 share neither lock nor lock word.
        assert_eq!((shared, returned, donated), (Ok(2), Ok(1), Ok(1)), "nobody else was in these regions");
        let mut expected = [Kind::HostExclusive; PAGES as usize];
        (expected[1], expected[9], expected[10]) = (Kind::HypExclusive, Kind::HostSharedHyp, Kind::HostSharedHyp);
        assert_eq!(kinds, expected);
    });
}

#[test]
fn a_refused_claim_changes_nothing_that_another_thread_could_see() {
    model("refused_claim", None, || {
        let world = World::new();
        world.go(Transition::HostDonateHyp, 6, 1, NONE).unwrap();
        let other = Arc::clone(&world);
        // Refused at page 6, when region 0 has been locked already.
        let thread = spawn(move || other.go(Transition::HostShareHyp, 2, 5, NONE));
        let seen = world.host_fault(2);
        let donated = world.go(Transition::HostDonateHyp, 3, 1, NONE);
        assert!(matches!(thread.join().unwrap(), Err(Error::Denied | Error::Retry)));
        assert!(matches!(seen, None | Some(Kind::HostExclusive)), "{seen:?}");
        let kinds = world.settled();
        all_or_nothing(&kinds, 3..4, Kind::HypExclusive, donated);
        assert_eq!(kinds[2], Kind::HostExclusive);
    });
}

#[test]
fn counts_raised_by_two_are_both_counted() {
    model("two_pins", None, || {
        let world = World::new();
        world.go(Transition::HostShareHyp, 0, 2, NONE).unwrap();
        let other = Arc::clone(&world);
        let thread = spawn(move || other.go(Transition::HypPin, 0, 2, NONE).is_ok());
        let mine = world.go(Transition::HypPin, 1, 1, NONE).is_ok();
        let theirs = thread.join().unwrap();
        world.settled();
        let pins = |page| world.entry(page).unwrap().count();
        assert_eq!((pins(0), pins(1)), (u32::from(theirs), u32::from(theirs) + u32::from(mine)));
    });
}

#[test]
fn three_claims_in_a_ring_end() {
    model("three_claims", Some(3), || {
        let world = World::new();
        let (second, third) = (Arc::clone(&world), Arc::clone(&world));
        let second = spawn(move || second.go(Transition::HostShareHyp, 3, 2, NONE));
        let third = spawn(move || third.go(Transition::HostDonateHyp, 4, 1, NONE));
        let first = world.go(Transition::HostDonateHyp, 2, 2, NONE);
        let (second, third) = (second.join().unwrap(), third.join().unwrap());
        let kinds = world.settled();
        all_or_nothing(&kinds, 2..4, Kind::HypExclusive, first);
        all_or_nothing(&kinds, 3..5, Kind::HostSharedHyp, second);
        all_or_nothing(&kinds, 4..5, Kind::HypExclusive, third);
        assert!(second.is_err() || (first.is_err() && third.is_err()));
    });
}
