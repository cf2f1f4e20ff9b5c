//! The record of one region: what each page is, and which pages the kernel still has to free.
//!
//! Two bits a page. Read without a lock, so that an exit of a vCPU never waits for a conversion; written by whoever holds the
//! region's lock.

use core::ops::Range;
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::{AcqRel, Acquire};
use std::boxed::Box;
use tenure_abi::Visibility;

/// The words that a range touches, and its bits in each.
#[inline]
fn words(pages: &Range<u64>) -> impl Iterator<Item = (usize, u64)> + use<> {
    let Range { start, end } = *pages;
    #[expect(clippy::manual_div_ceil, reason = "no sum of pages comes near 2^64, and this needs no branch")]
    let (first, after) = (start / 64, (end + 63) / 64);
    (first..after).map(move |word| {
        let from = if word == first { u64::MAX << (start % 64) } else { u64::MAX };
        let to = if word + 1 == after { u64::MAX >> (after * 64 - end) } else { u64::MAX };
        (word as usize, from & to)
    })
}

/// What is known of 64 pages, a bit each.
struct Word {
    private: AtomicU64,
    /// Pages of which the side that is not used may still be backed.
    owed: AtomicU64,
}

impl Word {
    /// Whether the pages of `mask` are `to`.
    #[inline]
    fn are(&self, mask: u64, to: Visibility) -> bool {
        self.private.load(Acquire) & mask == if to == Visibility::Private { mask } else { 0 }
    }
}

#[inline]
fn put(bits: &AtomicU64, mask: u64, set: bool) {
    if set {
        bits.fetch_or(mask, AcqRel);
    } else {
        bits.fetch_and(!mask, AcqRel);
    }
}

/// The pages of a region.
pub(super) struct Pages(Box<[Word]>);

impl Pages {
    pub(super) fn new(pages: u64, all: Visibility) -> Self {
        let private = if all == Visibility::Private { u64::MAX } else { 0 };
        let word = |_| Word { private: AtomicU64::new(private), owed: AtomicU64::new(0) };
        Self((0..pages.div_ceil(64)).map(word).collect())
    }

    fn is_private(&self, page: u64) -> bool {
        self.0[(page / 64) as usize].private.load(Acquire) >> (page % 64) & 1 == 1
    }

    #[inline]
    pub(super) fn visibility(&self, page: u64) -> Visibility {
        if self.is_private(page) { Visibility::Private } else { Visibility::Shared }
    }

    /// Whether all of them are `to`.
    #[inline]
    pub(super) fn are(&self, pages: &Range<u64>, to: Visibility) -> bool {
        words(pages).all(|(word, mask)| self.0[word].are(mask, to))
    }

    /// Whether all of them are `to` and nothing of them is owed.
    #[inline]
    pub(super) fn are_settled(&self, pages: &Range<u64>, to: Visibility) -> bool {
        // In this order: `turn` marks what is owed first.
        words(pages).all(|(word, mask)| self.0[word].are(mask, to) && self.0[word].owed.load(Acquire) & mask == 0)
    }

    /// They are `to` now.
    #[inline]
    pub(super) fn set(&self, pages: &Range<u64>, to: Visibility) {
        for (word, mask) in words(pages) {
            put(&self.0[word].private, mask, to == Visibility::Private);
        }
    }

    /// They are `to` now, and the side that they left is owed: before anybody can find them turned and settled.
    #[inline]
    pub(super) fn turn(&self, pages: &Range<u64>, to: Visibility) {
        for (word, mask) in words(pages) {
            put(&self.0[word].owed, mask, true);
            put(&self.0[word].private, mask, to == Visibility::Private);
        }
    }

    /// Nothing of them is owed any longer.
    #[inline]
    pub(super) fn settle(&self, pages: &Range<u64>) {
        for (word, mask) in words(pages) {
            put(&self.0[word].owed, mask, false);
        }
    }

    /// The pages that follow `page`, up to `end`, and are seen as it is.
    pub(super) fn run(&self, page: u64, end: u64) -> Range<u64> {
        let as_it = self.is_private(page);
        let other = (page..end).find(|&next| self.is_private(next) != as_it);
        page..other.unwrap_or(end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_of_bits_are_exactly_those_asked_for() {
        for (start, end) in [(0, 1), (63, 64), (0, 64), (63, 65), (1, 200), (64, 128), (199, 200), (5, 6)] {
            let pages = Pages::new(200, Visibility::Shared);
            pages.set(&(start..end), Visibility::Private);
            for page in 0..200 {
                assert_eq!(pages.is_private(page), (start..end).contains(&page), "{page} of {start}..{end}");
            }
            assert!(pages.are(&(start..end), Visibility::Private) && !pages.are(&(start..end), Visibility::Shared));
            pages.set(&(start..end), Visibility::Shared);
            assert!(pages.are(&(0..200), Visibility::Shared));
        }
    }

    #[test]
    fn pages_that_turned_are_not_settled_until_all_of_them_are() {
        let (pages, turned) = (Pages::new(200, Visibility::Shared), 60..140);
        let is = |range: Range<u64>| {
            (pages.are(&range, Visibility::Private), pages.are_settled(&range, Visibility::Private))
        };
        pages.turn(&turned, Visibility::Private);
        assert_eq!((is(60..140), is(59..60), is(140..141)), ((true, false), (false, false), (false, false)));
        assert!(pages.are_settled(&(0..60), Visibility::Shared) && pages.are_settled(&(140..200), Visibility::Shared));
        pages.settle(&(60..139));
        assert_eq!((is(60..139), is(60..140), is(139..140)), ((true, true), (true, false), (true, false)));
        pages.settle(&turned);
        assert_eq!(is(turned), (true, true));
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
