//! Claims over more regions than share a lock word: eight at a time, and all or nothing all the same.

use super::*;
use crate::tracker::Transition::*;
use tenure_abi::Error::{Denied, Retry};

/// Three lock words full of regions.
const REGIONS: u64 = 24;
const WIDE: u64 = 0x40000;

fn pfn(page: u64) -> Pfn {
    Pfn::new(page).unwrap()
}

fn wide() -> TestTracker {
    tracker_over(&[pfns(WIDE, REGIONS * 512)]).unwrap()
}

/// What the words of all regions say, whether they are free, and that nobody has them.
fn words(t: &TestTracker) -> Vec<(Option<super::super::Entry>, PageSize)> {
    let word = |region| {
        let guard = t.lock_region(pfn(WIDE + region * 512)).expect("nobody has it");
        (guard.uniform(), guard.hardware_size())
    };
    (0..REGIONS).map(word).collect()
}

/// From region to region, inside, and over whole lock words.
const SHAPES: [(u64, u64); 4] = [(0, 24 * 512), (7 * 512 + 300, 2 * 512), (511, 20 * 512), (8 * 512, 9 * 512)];

#[test]
fn a_claim_over_several_lock_words_moves_as_one() {
    for (first, count) in SHAPES {
        let t = wide();
        let fresh = words(&t);
        assert_eq!(t.go(HostShareHyp, WIDE + first, count, Identity::NONE), Ok(count));
        assert_eq!(t.audit(pfn(0), u64::MAX).kinds[1], count);
        assert_eq!(t.go(HypPin, WIDE + first, count, Identity::NONE), Ok(count));
        assert_eq!(t.go(HypUnpin, WIDE + first, count, Identity::NONE), Ok(count));
        assert_eq!(t.go(HostUnshareHyp, WIDE + first, count, Identity::NONE), Ok(count));
        assert_eq!(words(&t), fresh);
        t.sound();
    }
}

#[test]
fn a_guests_pages_follow_one_another_across_lock_words() {
    let t = wide();
    let id = guest(7, 0x1_0000);
    t.donate(WIDE, REGIONS * 512, 7, 0x1_0000);
    for op in [GuestShareHost, GuestUnshareHost] {
        assert_eq!(t.go(op, WIDE, REGIONS * 512, id), Ok(REGIONS * 512));
        for page in [0, 511, 512, 8 * 512 - 1, 8 * 512, 17 * 512 + 3, 24 * 512 - 1] {
            let entry = t.lock_region(pfn(WIDE + page)).unwrap().entry(pfn(WIDE + page));
            assert_eq!(entry.guest().unwrap().1.number(), 0x1_0000 + page);
        }
        t.sound();
    }
    // One gfn further on is another guest frame, wherever it is looked at first.
    for first in [0, 512, 8 * 512] {
        let wrong = t.go(GuestShareHost, WIDE + first, 8 * 512, guest(7, 0x1_0001 + first));
        assert_eq!(wrong, Err(Located::pfn(Error::Internal, pfn(WIDE + first))));
    }
}

#[test]
fn one_wrong_page_behind_the_first_lock_word_lets_go_of_all() {
    for wrong in [0, 8 * 512 - 1, 8 * 512, 12 * 512 + 7, 16 * 512, 24 * 512 - 1] {
        let t = wide();
        t.go(HostDonateHyp, WIDE + wrong, 1, Identity::NONE).unwrap();
        let before = words(&t);
        let refused = Err(Located::pfn(Denied, pfn(WIDE + wrong)));
        assert_eq!(t.go(HostShareHyp, WIDE, REGIONS * 512, Identity::NONE), refused);
        assert_eq!(words(&t), before);
        // In other hands: the same, and it is told apart from a wrong page.
        let guard = t.lock_region(pfn(WIDE + wrong)).unwrap();
        let busy = t.go(HostShareHyp, WIDE, REGIONS * 512, Identity::NONE).unwrap_err();
        assert_eq!((busy.error, busy.at), (Retry, place_of(WIDE + wrong / 512 * 512)));
        drop(guard);
        assert_eq!(words(&t), before);
        t.sound();
    }
}

fn place_of(page: u64) -> tenure_abi::Place {
    tenure_abi::Place::Pfn(pfn(page))
}

#[test]
fn a_parked_claim_over_several_lock_words_keeps_every_region_of_its_own() {
    for (first, count) in SHAPES {
        let t = wide();
        let mut claim = t.claim(HostDonateHyp, pfns(WIDE + first, count), Identity::NONE).unwrap();
        let held =
            |t: &TestTracker| (0..REGIONS).filter(|r| t.lock_region(pfn(WIDE + r * 512)).is_err()).count() as u64;
        let regions = (first + count - 1) / 512 - first / 512 + 1;
        assert_eq!(held(&t), regions);
        claim.park();
        claim.park();
        assert_eq!(held(&t), regions);
        drop(claim);
        assert_eq!(words(&t), words(&wide()));
    }
}

#[test]
fn regions_claimed_whole_record_the_size_their_new_owner_gives_them() {
    for size in [PageSize::Size2M, PageSize::Size4K] {
        let t = wide();
        let all = || pfns(WIDE, REGIONS * 512);
        let sizes = |t: &TestTracker| words(t).into_iter().map(|(_, size)| size).collect::<Vec<_>>();
        t.claim(HostDonateHyp, all(), Identity::NONE).unwrap().commit(size);
        assert_eq!(sizes(&t), std::vec![size; 24]);
        // The other size, and back by a claim that does not change the owner: it is left as it is.
        let other = if size == PageSize::Size2M { PageSize::Size4K } else { PageSize::Size2M };
        t.claim(HypDonateHost, all(), Identity::NONE).unwrap().commit(other);
        t.claim(HostShareHyp, all(), Identity::NONE).unwrap().commit(size);
        assert_eq!(sizes(&t), std::vec![other; 24]);
        t.sound();
    }
}

#[test]
fn mixed_regions_inside_whole_lock_words_become_uniform() {
    let t = wide();
    for region in [0, 3, 8, 15, 23] {
        t.go(HostShareHyp, WIDE + region * 512 + 5, 1, Identity::NONE).unwrap();
    }
    // All of it is shared in the end, by pieces around those pages.
    let mut at = WIDE;
    for region in [0, 3, 8, 15, 23] {
        let page = WIDE + region * 512 + 5;
        t.go(HostShareHyp, at, page - at, Identity::NONE).unwrap();
        at = page + 1;
    }
    t.go(HostShareHyp, at, WIDE + REGIONS * 512 - at, Identity::NONE).unwrap();
    assert!(words(&t).iter().any(|(uniform, _)| uniform.is_none()));
    t.go(HostUnshareHyp, WIDE, REGIONS * 512, Identity::NONE).unwrap();
    assert!(words(&t).iter().all(|(uniform, _)| *uniform == Some(super::super::Entry::HOST)));
    t.sound();
}
