//! What a word of the visibility store says without a node: its pages are alike, or change at one or two places.
//!
//! | bits | what |
//! |---|---|
//! | 0 | all pages are shared; 0 with cuts |
//! | 1 | 0: no link |
//! | 2 | 1: there are cuts; 0: all pages are alike, and all bits from here on are 0 |
//! | 3, 4, 5 | the first, second, third piece is shared |
//! | 8..36 | first cut: where the second piece begins |
//! | 36..64 | second cut: where the third piece begins |
//!
//! Cuts count from the word's first page: pages at level 1 and 2, the words three levels below from level 3 on, so that one fits
//! in 28 bits. A cut at the word's end is not used. Pieces on both sides of a cut may be alike: somebody has prepared there.

use super::tree::{Kind, Tree};

const CUTS: u64 = 1 << 2;
const SHARED: u32 = 3;
const CUT: [u32; 2] = [8, 36];
const CUT_MASK: u64 = (1 << 28) - 1;

/// Whether the page `offset` pages into a word above level 0 is shared; a link says nothing of use.
#[inline]
pub(super) const fn shared<K: Kind>(word: u64, level: u32, offset: u64) -> bool {
    if word & CUTS == 0 {
        return word & 1 != 0;
    }
    // Without a branch: where a page lies in its word is not foreseeable.
    let offset = offset >> granule::<K>(level);
    let piece = (offset >= word >> CUT[0] & CUT_MASK) as u32 + (offset >= word >> CUT[1]) as u32;
    word >> (SHARED + piece) & 1 != 0
}

/// `word` of `level` without cuts between pieces that are alike.
#[inline]
pub(super) fn tidied<K: Kind>(word: u64, level: u32) -> u64 {
    match word >> SHARED & 7 {
        _ if word & CUTS == 0 => word,
        0b000 => 0,
        0b111 => 1,
        0b010 | 0b101 => word,
        _ => Pieces::of::<K>(word, level).without_needless().word::<K>(level).unwrap_or(word),
    }
}

/// The pieces of a word above level 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pieces {
    /// Pages of the word.
    span: u64,
    /// First pages of the second and the third piece.
    cuts: [u64; 2],
    /// What the pieces are.
    shared: [bool; 3],
}

/// log2 of the pages that a cut in a word of `level` counts in.
const fn granule<K: Kind>(level: u32) -> u32 {
    if level < 3 { 0 } else { K::UNIT + 9 * (level - 3) }
}

impl Pieces {
    /// A word of `span` pages that are all alike.
    #[inline]
    pub(super) const fn uniform(span: u64, shared: bool) -> Self {
        Self { span, cuts: [span; 2], shared: [shared; 3] }
    }

    /// What `word` of `level`, which is no link, says.
    #[inline]
    pub(super) fn of<K: Kind>(word: u64, level: u32) -> Self {
        let span = Tree::<K>::span(level);
        if word & CUTS == 0 {
            return Self::uniform(span, word & 1 != 0);
        }
        let cuts = CUT.map(|shift| (word >> shift & CUT_MASK) << granule::<K>(level));
        Self { span, cuts, shared: [0, 1, 2].map(|n| word >> (SHARED + n) & 1 != 0) }
    }

    /// The word of `level` that says so; `None` if a cut is not where a word of that level can have one.
    #[inline]
    pub(super) fn word<K: Kind>(self, level: u32) -> Option<u64> {
        if self.cuts == [self.span; 2] {
            return Some(u64::from(self.shared[0]));
        }
        let granule = granule::<K>(level);
        if (self.cuts[0] | self.cuts[1]) & ((1 << granule) - 1) != 0 {
            return None;
        }
        let [x, y, z] = self.shared.map(u64::from);
        let shared = (x | y << 1 | z << 2) << SHARED;
        Some(CUTS | shared | self.cuts[0] >> granule << CUT[0] | self.cuts[1] >> granule << CUT[1])
    }

    /// Whether the page `offset` pages into the word is shared, and where the piece it is in ends.
    #[inline]
    pub(super) const fn at(self, offset: u64) -> (bool, u64) {
        match self.cuts {
            [cut, _] if offset < cut => (self.shared[0], cut),
            [_, cut] if offset < cut => (self.shared[1], cut),
            _ => (self.shared[2], self.span),
        }
    }

    /// The same with a cut at `offset`; `None` if there are two others.
    #[inline]
    pub(super) fn cut(self, offset: u64) -> Option<Self> {
        let Self { span, cuts: [a, b], shared: [x, y, z] } = self;
        match () {
            () if offset == a || offset == b || offset == 0 || offset >= span => Some(self),
            () if a == span => Some(Self { span, cuts: [offset, span], shared: [x, x, x] }),
            () if b != span => None,
            () if offset < a => Some(Self { span, cuts: [offset, a], shared: [x, x, z] }),
            () => Some(Self { span, cuts: [a, offset], shared: [x, y, y] }),
        }
    }

    /// The same with every piece that lies from `first` to `end` shared or not.
    #[inline]
    pub(super) fn set(mut self, first: u64, end: u64, shared: bool) -> Self {
        let [a, b] = self.cuts;
        for (n, (start, stop)) in [(0, a), (a, b), (b, self.span)].into_iter().enumerate() {
            self.shared[n] = if first <= start && stop <= end { shared } else { self.shared[n] };
        }
        self
    }

    /// Whether [`Pieces::set`] makes the whole of `first` to `end` so: no piece is only partly in it, unless it is so already.
    pub(super) fn has(self, first: u64, end: u64, shared: bool) -> bool {
        let [a, b] = self.cuts;
        let pieces = [(0, a), (a, b), (b, self.span)];
        pieces.into_iter().zip(self.shared).all(|((start, stop), is)| {
            is == shared || start.max(first) >= stop.min(end) || first <= start && stop <= end
        })
    }

    /// The same without cuts between pieces that are alike.
    #[inline]
    pub(super) const fn without_needless(self) -> Self {
        let Self { span, cuts: [a, b], shared: [x, y, z] } = self;
        match (x == y, y == z) {
            (true, true) => Self::uniform(span, x),
            (false, true) => Self { span, cuts: [a, span], shared: [x, y, y] },
            (true, false) => Self { span, cuts: [b, span], shared: [x, z, z] },
            (false, false) => self,
        }
    }

    /// `pages` of the word from `offset` on, as the pieces of a word of their own.
    pub(super) fn part(self, offset: u64, pages: u64) -> Self {
        let cuts = self.cuts.map(|cut| cut.saturating_sub(offset).min(pages));
        let [a, b] = cuts;
        let [x, y, z] = self.shared;
        match () {
            () if a > 0 && a < pages => Self { span: pages, cuts, shared: [x, y, if b < pages { z } else { y }] },
            () if b > 0 && b < pages => Self { span: pages, cuts: [b, pages], shared: [y, z, z] },
            () => Self::uniform(pages, self.at(offset).0),
        }
    }

    /// The same with the pages from `offset` on shared or not; `None` if that takes a third cut.
    pub(super) fn then(self, offset: u64, shared: bool) -> Option<Self> {
        match self.at(self.span).0 == shared {
            true => Some(self),
            false if offset == 0 => Some(Self::uniform(self.span, shared)),
            false => Some(self.cut(offset)?.set(offset, self.span, shared)),
        }
    }
}
