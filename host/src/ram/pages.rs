//! The record of one region: what each page is, and which pages the kernel still has to free.
//!
//! Two bits a page. Read without a lock, so that an exit of a vCPU never waits for a conversion; written by whoever holds the
//! region's lock.

use core::ops::Range;
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::{AcqRel, Acquire};
use std::boxed::Box;
use tenure_abi::Visibility;

/// One bit a page.
struct Bits(Box<[AtomicU64]>);

impl Bits {
    fn new(pages: u64, all: bool) -> Self {
        Self((0..pages.div_ceil(64)).map(|_| AtomicU64::new(if all { u64::MAX } else { 0 })).collect())
    }

    /// Whether all bits of the range are `set`.
    #[inline]
    fn all(&self, pages: &Range<u64>, set: bool) -> bool {
        words(pages).all(|(word, mask)| self.0[word].load(Acquire) & mask == if set { mask } else { 0 })
    }

    #[inline]
    fn put(&self, pages: &Range<u64>, set: bool) {
        for (word, mask) in words(pages) {
            if set {
                self.0[word].fetch_or(mask, AcqRel);
            } else {
                self.0[word].fetch_and(!mask, AcqRel);
            }
        }
    }

    #[inline]
    fn get(&self, page: u64) -> bool {
        self.0[(page / 64) as usize].load(Acquire) >> (page % 64) & 1 == 1
    }
}

/// The words that a range touches, and its bits in each.
#[inline]
fn words(pages: &Range<u64>) -> impl Iterator<Item = (usize, u64)> + use<> {
    let Range { start, end } = *pages;
    let (first, after) = (start / 64, end.div_ceil(64));
    (first..after).map(move |word| {
        let from = if word == first { u64::MAX << (start % 64) } else { u64::MAX };
        let to = if word + 1 == after { u64::MAX >> (after * 64 - end) } else { u64::MAX };
        (word as usize, from & to)
    })
}

/// The pages of a region.
pub(super) struct Pages {
    private: Bits,
    /// Pages of which the side that is not used may still be backed.
    owed: Bits,
}

impl Pages {
    pub(super) fn new(pages: u64, all: Visibility) -> Self {
        Self { private: Bits::new(pages, all == Visibility::Private), owed: Bits::new(pages, false) }
    }

    #[inline]
    pub(super) fn visibility(&self, page: u64) -> Visibility {
        if self.private.get(page) { Visibility::Private } else { Visibility::Shared }
    }

    /// Whether all of them are `to`.
    #[inline]
    pub(super) fn are(&self, pages: &Range<u64>, to: Visibility) -> bool {
        self.private.all(pages, to == Visibility::Private)
    }

    /// Whether all of them are `to` and nothing of them is owed.
    #[inline]
    pub(super) fn are_settled(&self, pages: &Range<u64>, to: Visibility) -> bool {
        self.are(pages, to) && self.owed.all(pages, false)
    }

    /// They are `to` now.
    #[inline]
    pub(super) fn set(&self, pages: &Range<u64>, to: Visibility) {
        self.private.put(pages, to == Visibility::Private);
    }

    /// They are `to` now, and the side that they left is owed: before anybody can find them turned and settled.
    #[inline]
    pub(super) fn turn(&self, pages: &Range<u64>, to: Visibility) {
        self.owed.put(pages, true);
        self.set(pages, to);
    }

    /// Nothing of them is owed any longer.
    #[inline]
    pub(super) fn settle(&self, pages: &Range<u64>) {
        self.owed.put(pages, false);
    }

    /// The pages that follow `page`, up to `end`, and are seen as it is.
    pub(super) fn run(&self, page: u64, end: u64) -> Range<u64> {
        let as_it = self.private.get(page);
        let other = (page..end).find(|&next| self.private.get(next) != as_it);
        page..other.unwrap_or(end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_of_bits_are_exactly_those_asked_for() {
        for (start, end) in [(0, 1), (63, 64), (0, 64), (63, 65), (1, 200), (64, 128), (199, 200), (5, 6)] {
            let bits = Bits::new(200, false);
            bits.put(&(start..end), true);
            for page in 0..200 {
                assert_eq!(bits.get(page), (start..end).contains(&page), "{page} of {start}..{end}");
            }
            assert!(bits.all(&(start..end), true) && !bits.all(&(start..end), false));
            bits.put(&(start..end), false);
            assert!(bits.all(&(0..200), false));
        }
    }

    #[test]
    fn a_run_ends_where_the_visibility_does() {
        let pages = Pages::new(100, Visibility::Private);
        pages.set(&(40..70), Visibility::Shared);
        assert_eq!((pages.run(0, 100), pages.run(40, 100), pages.run(50, 60)), (0..40, 40..70, 50..60));
        assert!(pages.are(&(41..70), Visibility::Shared) && !pages.are(&(39..70), Visibility::Shared));
        assert_eq!((pages.visibility(39), pages.visibility(40)), (Visibility::Private, Visibility::Shared));
    }
}
