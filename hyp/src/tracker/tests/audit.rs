//! The audit finds records that break a rule, wherever they are, and counts them.

use super::*;
use crate::tracker::Transition::*;
use crate::tracker::layout::Word;
use crate::tracker::{BlockIndex, Entry, Kind};
use core::sync::atomic::Ordering::Relaxed;

fn pfn(page: u64) -> Pfn {
    Pfn::new(page).unwrap()
}

impl TestTracker {
    /// Writes a region's word behind everybody's back.
    fn corrupt(&self, page: u64, word: Word) {
        self.cell(page).unwrap().word.store(word.0, Relaxed);
    }

    fn word(&self, page: u64) -> Word {
        Word(self.cell(page).unwrap().word.load(Relaxed))
    }

    fn faults(&self) -> (u64, Option<u64>) {
        let audit = self.audit(pfn(0), u64::MAX);
        (audit.faults, audit.first_fault.map(Pfn::number))
    }
}

#[test]
fn a_word_that_no_transition_makes_is_a_fault() {
    let gfn = AddressWidth::GUEST_MAX.frames();
    let at_the_end = |first| Word::uniform(Entry::new(Kind::GuestExclusive, guest(1, first)), false);
    for word in [
        Word::uniform(Entry::from_bits(8 << 4), false),
        Word::uniform(Entry::from_bits(Kind::HostSharedGuests.bits()), false),
        Word::uniform(Entry::from_bits(Kind::HostExclusive.bits() | 1 << 8), false),
        at_the_end(gfn - 511),
        at_the_end(gfn - 1),
    ] {
        let t = tracker();
        t.corrupt(RAM + 512, word);
        assert_eq!(t.faults(), (1, Some(RAM + 512)), "{word:?}");
        t.corrupt(RAM + 1024, word);
        assert_eq!(t.faults(), (2, Some(RAM + 512)), "{word:?}");
    }
    let t = tracker();
    t.corrupt(RAM + 512, at_the_end(gfn - 512));
    assert_eq!(t.faults(), (0, None), "the last gfn is one");
}

#[test]
fn a_block_that_does_not_fit_its_word_is_a_fault() {
    let mixed = || {
        let t = tracker();
        t.donate(RAM + 3, 5, 1, 0x1000);
        (t.word(RAM), t)
    };
    let (word, t) = mixed();
    assert_eq!((word.live(), t.faults()), (5, (0, None)));
    for live in [0, 4, 6] {
        t.corrupt(RAM, word.with_live(live));
        assert_eq!(t.faults(), (1, Some(RAM)), "live {live}");
    }
    t.corrupt(RAM, Word::mixed(BlockIndex::new(1 << 30).unwrap(), 5, None, true));
    assert_eq!(t.faults(), (1, Some(RAM)), "no such block");
    for (page, entry) in [(7, Entry::from_bits(9 << 4)), (0, Entry::from_bits(Kind::Absent.bits() | 1 << 60))] {
        let (word, t) = mixed();
        let block = t.block_of(word).unwrap();
        block.0[page].store(entry.bits(), Relaxed);
        // The live count may be right all the same: the entry alone is enough.
        t.corrupt(RAM, word.with_live(block.0.iter().filter(|e| e.load(Relaxed) != 0).count() as u64));
        assert_eq!(t.faults(), (1, Some(RAM)), "{entry:?}");
    }
    // An empty block should have gone back.
    let (word, t) = mixed();
    t.block_of(word).unwrap().0.iter().for_each(|entry| entry.store(0, Relaxed));
    t.corrupt(RAM, word.with_live(0));
    assert_eq!(t.faults(), (1, Some(RAM)));
}

#[test]
fn regions_in_work_are_counted_and_left_out() {
    let t = tracker();
    let whole = t.audit(pfn(0), u64::MAX);
    let guard = t.lock_region(pfn(RAM + 512)).unwrap();
    let mut claim = t.claim(HostShareHyp, pfns(RAM + 1024, 1), Identity::NONE).unwrap();
    claim.park();
    let audit = t.audit(pfn(0), u64::MAX);
    assert_eq!((audit.busy, audit.pages), (2, whole.pages - 1024));
    drop((guard, claim));
    assert_eq!(t.audit(pfn(0), u64::MAX), whole);
}

#[test]
fn a_cursor_inside_a_region_starts_at_the_region() {
    let t = tracker();
    let audit = t.audit(pfn(RAM + 700), 512);
    assert_eq!((audit.pages, audit.next.map(Pfn::number)), (512, Some(RAM + 1024)));
    assert_eq!(t.audit(pfn(RAM + 700), 513).pages, 1024);
    assert_eq!(t.audit(pfn(4 << 18), 1), crate::tracker::Audit::default(), "behind the end");
}

#[test]
fn an_audit_that_looked_at_everything_is_at_its_end() {
    let t = tracker_over(&[pfns(3 << 18, 1 << 18)]).unwrap();
    let audit = t.audit(pfn(0), 1 << 18);
    assert_eq!((audit.pages, audit.next), (1 << 18, None));
    assert_eq!(t.audit(pfn(0), (1 << 18) - 1), audit);
    assert_eq!(t.audit(pfn(0), (1 << 18) - 512).next, Some(pfn((4 << 18) - 512)));
}

#[test]
fn only_the_regions_named_are_compacted() {
    let t = tracker();
    for region in 0..3 {
        let page = RAM + region * 512;
        t.donate(page, 512, 1, 0x1000 + region * 512);
        t.go(GuestShareHost, page + 5, 1, guest(1, 0x1005 + region * 512)).unwrap();
        t.go(GuestUnshareHost, page + 5, 1, guest(1, 0x1005 + region * 512)).unwrap();
    }
    let mixed = || (0..3).map(|region| t.word(RAM + region * 512).is_mixed()).collect::<Vec<_>>();
    assert_eq!((t.compact(pfn(RAM + 600), 424), mixed()), (1, std::vec![true, false, true]));
    assert_eq!((t.compact(pfn(RAM + 511), 514), mixed()), (2, std::vec![false, false, false]));
    t.sound();
}
