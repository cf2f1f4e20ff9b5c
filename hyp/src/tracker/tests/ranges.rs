//! Ranges: all or nothing, the first page at fault, the edges of memory.

use super::*;
use crate::tracker::Transition::*;
use tenure_abi::Error::{Denied, Invalid, NotMemory};
use tenure_abi::PageState;

fn error_at(error: Error, page: u64) -> Result<u64, Located<Error>> {
    Err(Located::pfn(error, Pfn::new(page).unwrap()))
}

#[test]
fn a_range_over_many_regions_moves_as_one() {
    let t = tracker();
    let (first, count) = (RAM + 300, 3 * 512);
    let id = guest(1, 0x1234);
    t.donate(first, count, 1, 0x1234);
    for op in [GuestShareHost, GuestUnshareHost] {
        assert_eq!(t.go(op, first, count, id), Ok(count));
        t.sound();
    }
    for page in [first, first + 211, first + 212, first + 1000, first + count - 1] {
        let entry = t.lock_region(Pfn::new(page).unwrap()).unwrap().entry(Pfn::new(page).unwrap());
        assert_eq!(entry.guest().unwrap().1.number(), 0x1234 + page - first);
    }
    assert_eq!(t.state(Pfn::new(first - 1).unwrap()), Ok(PageState::Exclusive(tenure_abi::Owner::Host)));
    assert_eq!(t.state(Pfn::new(first + count).unwrap()), Ok(PageState::Exclusive(tenure_abi::Owner::Host)));
}

#[test]
fn one_wrong_page_anywhere_refuses_the_whole_range() {
    for wrong in [RAM, RAM + 1, RAM + 511, RAM + 512, RAM + 700, RAM + 1535] {
        let t = tracker();
        t.go(HostDonateHyp, wrong, 1, Identity::NONE).unwrap();
        let before = t.snapshot();
        assert_eq!(t.go(HostShareHyp, RAM, 1536, Identity::NONE), error_at(Denied, wrong));
        assert_eq!(t.snapshot(), before);
        t.sound();
    }
}

#[test]
fn the_first_wrong_page_of_several_is_named() {
    let t = tracker();
    t.go(HostDonateHyp, RAM + 40, 5, Identity::NONE).unwrap();
    t.go(HostShareHyp, RAM + 20, 1, Identity::NONE).unwrap();
    assert_eq!(t.go(HostDonateGuest, RAM, 512, guest(1, 0)), error_at(Denied, RAM + 20));
    assert_eq!(t.go(HostShareGuest, RAM + 21, 491, Identity::NONE), error_at(Denied, RAM + 40));
}

#[test]
fn what_is_not_memory_is_refused_as_such() {
    let t = tracker();
    for page in [0, HOLE, HOLE + 511, TAIL + 100, 0x7_ffff, (1 << 40) - 1] {
        assert_eq!(t.go(HostShareHyp, page, 1, Identity::NONE), error_at(NotMemory, page), "{page:#x}");
    }
    assert_eq!(t.go(HostShareHyp, HOLE, 100, Identity::NONE), error_at(NotMemory, HOLE));
}

#[test]
fn a_range_over_the_edge_of_memory_is_malformed() {
    let t = tracker();
    // The state of a page inside does not matter: the range is looked at first.
    t.go(HostDonateHyp, HOLE - 2, 1, Identity::NONE).unwrap();
    let before = t.snapshot();
    assert_eq!(t.go(HostShareHyp, HOLE - 2, 4, Identity::NONE), error_at(Invalid, HOLE));
    assert_eq!(t.go(HostShareHyp, TAIL - 3, 5, Identity::NONE), error_at(Invalid, TAIL - 3));
    assert_eq!(t.go(HostShareHyp, TAIL + 99, 2, Identity::NONE), error_at(Invalid, TAIL + 100));
    assert_eq!(t.go(HostShareHyp, RAM, TAIL + 1 - RAM, Identity::NONE), error_at(Invalid, HOLE));
    assert_eq!(t.snapshot(), before);
    // Ending exactly at the edge is fine.
    assert_eq!(t.go(HostShareHyp, HOLE - 1, 1, Identity::NONE), Ok(1));
    assert_eq!(t.go(HostShareHyp, TAIL, 100, Identity::NONE), Ok(100));
    t.sound();
}

#[test]
fn a_guest_side_beyond_48_bits_is_refused() {
    let t = tracker();
    let last = AddressWidth::GUEST_MAX.frames() - 1;
    assert_eq!(t.go(HostDonateGuest, RAM, 2, guest(1, last)), Err(Located::call(Invalid)));
    assert_eq!(t.go(HostDonateGuest, RAM, 1, guest(1, last)), Ok(1));
}

#[test]
fn claims_with_content_work_end_at_the_region() {
    let t = tracker();
    let id = |offset: u64| guest(1, 0x800 + offset);
    assert_eq!(t.go(HostDonateGuest, RAM + 500, 600, id(0)), Ok(12));
    assert_eq!(t.go(HostDonateGuest, RAM + 512, 588, id(12)), Ok(512));
    assert_eq!(t.go(HostDonateGuest, RAM + 1024, 76, id(524)), Ok(76));
    assert_eq!(t.go(ReclaimOwned, RAM + 500, 600, id(0)), Ok(12));
    assert_eq!(t.go(ReclaimOwned, RAM + 512, 588, id(12)), Ok(512));
    assert_eq!(t.go(ReclaimOwned, RAM + 1024, 76, id(524)), Ok(76));
    t.sound();
    assert_eq!(t.snapshot(), tracker().snapshot());
}

#[test]
fn the_memory_map_is_checked() {
    assert!(tracker_over(&[]).is_err());
    assert!(tracker_over(&[pfns(0x1000, 10), pfns(0x1005, 10)]).is_err(), "overlap");
    assert!(tracker_over(&[pfns(0x2000, 10), pfns(0x1000, 10)]).is_err(), "unsorted");
    assert!(tracker_over(&[pfns(4 << 18, 1)]).is_err(), "beyond the directory");
    assert!(tracker_over(&[pfns(0, 3 << 18)]).is_err(), "chunks missing");
    // Several ranges in one GiB, unaligned on both sides, abutting.
    let t = tracker_over(&[pfns(3, 5), pfns(8, 1), pfns(700, 1000), pfns(1 << 18, 7)]).unwrap();
    t.sound();
    // Under Miri not far beyond what is RAM.
    let far = if cfg!(miri) { 2000 } else { 1 << 18 };
    let pages = (0..far).chain(1 << 18..(1 << 18) + 2 * far);
    let ram = pages.filter(|&p| t.state(Pfn::new(p).unwrap()) != Ok(PageState::Absent)).count();
    assert_eq!(ram, 5 + 1 + 1000 + 7);
}

#[test]
fn a_chunk_is_needed_for_each_gib_that_has_memory() {
    let gib = |n: u64| n << 18;
    for (ram, needed) in [
        (&[][..], 0),
        (&[pfns(0, 1)], 1),
        (&[pfns(gib(3), gib(1))], 1),
        (&[pfns(gib(3) - 1, 2)], 2),
        (&[pfns(gib(5) + 7, gib(2))], 3),
        // Several pieces in one GiB are one chunk; one that reaches into the next shares it with the piece there.
        (&[pfns(gib(2), 9), pfns(gib(2) + 100, 9)], 1),
        (&[pfns(gib(2), 9), pfns(gib(3) - 9, 18), pfns(gib(3) + 100, 1), pfns(gib(9), 1)], 3),
    ] {
        assert_eq!(TestTracker::chunks_needed(ram), needed, "{ram:?}");
    }
}

#[test]
fn memory_in_several_gib_is_told_apart() {
    let gib = 1 << 18;
    let t = tracker_over(&[pfns(gib - 512, 512), pfns(2 * gib, 1024)]).unwrap();
    // Regions of both, all mixed at once, each with entries of its own.
    let pages = [gib - 512, gib - 1, 2 * gib, 2 * gib + 511, 2 * gib + 512, 2 * gib + 1023];
    for (i, page) in pages.into_iter().enumerate() {
        t.donate(page, 1, 1, i as u64);
    }
    for (i, page) in pages.into_iter().enumerate() {
        let pfn = Pfn::new(page).unwrap();
        assert_eq!(t.lock_region(pfn).unwrap().entry(pfn).guest().unwrap().1.number(), i as u64, "{page:#x}");
    }
    assert_eq!(t.audit(Pfn::new(0).unwrap(), u64::MAX).kinds[4], 6);
    assert_eq!(t.state(Pfn::new(gib).unwrap()), Ok(PageState::Absent));
    t.sound();
}
