//! Claims: pages held, checked and unchanged, while they move.
//!
//! [`Tracker::claim`] locks every region of the range and checks every page. From then on nothing can fail on
//! the tracker's side: blocks that a split will need are reserved. The order of a transition is always
//!
//! 1. claim (*reserve*): refused with nothing changed, or held
//! 2. *take*: the platform cuts the loser off, see [`Row::loser`](super::Row::loser)
//! 3. *content*, see [`Row::content`](super::Row::content); [`Claim::park`] first, so that no lock is held
//! 4. [`Claim::commit`] or [`Claim::settle`]: *publish* and unlock
//!
//! Dropping a claim restores it: the entries were never touched.

use super::block::BlockIndex;
use super::entry::{Entry, Identity};
use super::layout::{GROUP_MASK, Group, PAGE_MASK, REGION_PAGES, Word};
use super::rules::{Extent, Row, Transition};
use super::{BlockSource, Tracker, cells, lock};
use crate::sync::AtomicU64;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use tenure_abi::{AddressWidth, Error, FrameRange, Located, Pfn, QuarantineReason, VmSlot};

/// Pages held for one transition.
pub struct Claim<'t, B: BlockSource> {
    pub(super) tracker: &'t Tracker<'t, B>,
    pub(super) row: Row,
    pub(super) identity: Identity,
    pub(super) first: u64,
    pub(super) count: u64,
    /// Blocks for the first and the last region, where those will have to be split.
    pub(super) reserved: [Option<BlockIndex>; 2],
    /// The locks were given back, the words are marked as claimed.
    pub(super) parked: bool,
}

/// One region's share of a claim: pages `at..stop`.
#[derive(Clone, Copy)]
pub(super) struct Part<'t> {
    pub(super) cell: &'t AtomicU64,
    pub(super) at: u64,
    pub(super) stop: u64,
}

impl Part<'_> {
    #[inline]
    pub(super) fn is_whole_region(self) -> bool {
        self.stop - self.at == REGION_PAGES
    }

    /// The word as it will be unlocked: without the mark of a parked claim.
    #[inline]
    pub(super) fn word(self) -> Word {
        Word(self.cell.load(Relaxed) & !Word::CLAIMED)
    }

    pub(super) fn page_indexes(self) -> core::ops::Range<usize> {
        let first = (self.at & PAGE_MASK) as usize;
        first..first + (self.stop - self.at) as usize
    }
}

/// The regions of a claim that share a lock word: pages `at..stop`.
#[derive(Clone, Copy)]
pub(super) struct Span<'t> {
    pub(super) group: Group<'t>,
    pub(super) at: u64,
    stop: u64,
}

impl<'t> Span<'t> {
    /// Their lock bits.
    #[inline]
    fn bits(self) -> u64 {
        let region = |page: u64| (page & GROUP_MASK) / REGION_PAGES;
        lock::bits(region(self.at), region(self.stop - 1))
    }

    /// Whether all regions of the lock word belong to it, whole.
    #[inline]
    pub(super) fn is_whole(self) -> bool {
        self.stop - self.at == GROUP_MASK + 1
    }

    /// The first page of ours whose region somebody has locked, as far as that can be said of what changes meanwhile.
    #[cold]
    fn busy(self) -> u64 {
        let region = u64::from((self.group.lock.load(Relaxed) & self.bits()).trailing_zeros());
        let page = (self.at & !GROUP_MASK) + region * REGION_PAGES;
        if page < self.stop { page.max(self.at) } else { self.at }
    }

    /// Region by region.
    #[inline]
    pub(super) fn parts(self) -> impl Iterator<Item = Part<'t>> {
        let first = ((self.at & GROUP_MASK) / REGION_PAGES) as usize;
        let last = (((self.stop - 1) & GROUP_MASK) / REGION_PAGES) as usize;
        let mut at = self.at;
        self.group.words.get(first..=last).unwrap_or_default().iter().map(move |cell| {
            let stop = self.stop.min((at | PAGE_MASK) + 1);
            let part = Part { cell, at, stop };
            at = stop;
            part
        })
    }

    pub(super) fn unlock(self) {
        lock::give_many_back(self.group.lock, self.bits());
    }
}

/// A page that does not allow a transition, and its entry.
pub(super) struct Refused {
    pub(super) page: u64,
    pub(super) entry: Entry,
}

impl<B: BlockSource> Tracker<'_, B> {
    /// Holds `frames` for `op`; `identity` names the guest and the gfn of the first page where the row has one.
    ///
    /// A claim of a resumable row ends at the first region boundary: it may hold fewer pages than asked
    /// ([`Claim::count`]). All others hold the whole range.
    ///
    /// # Errors
    /// With nothing changed, at the first page concerned: [`Error::Invalid`] for a range that straddles the edge of
    /// memory or a guest side beyond 48 bits, [`Error::NotMemory`], the row's error for a page in another
    /// state, [`Error::Busy`] for a pinned page, [`Error::Saturated`], [`Error::Quarantined`],
    /// [`Error::Retry`] where somebody else is at work (before anything else in the eight regions around is looked at), [`Error::NoMemory`] if a region has to be split and there is no block,
    /// [`Error::Internal`] if the page belongs to another guest or gfn than the caller says.
    #[inline]
    pub fn claim(
        &self,
        op: Transition,
        frames: FrameRange<Pfn>,
        identity: Identity,
    ) -> Result<Claim<'_, B>, Located<Error>> {
        let row = op.row();
        let frames = match row.extent {
            Extent::Whole => frames,
            Extent::Resumable => {
                let room = REGION_PAGES - (frames.first().number() & PAGE_MASK);
                frames.prefix(room).unwrap_or(frames)
            }
        };
        if row.names_guest() {
            FrameRange::new(identity.gfn().ok_or(Error::Invalid)?, frames.count(), AddressWidth::GUEST_MAX)?;
        }
        let (first, count, reserved) = (frames.first().number(), 0, [None; 2]);
        let mut claim = Claim { tracker: self, row, identity, first, count, reserved, parked: false };
        // Half grown, the claim is dropped, which unlocks what it has.
        claim.grow(frames).map(|()| claim)
    }

    /// The regions of `at..end` that share the lock word of `at`; `None` where nothing is tracked.
    #[inline]
    fn span(&self, at: u64, end: u64) -> Option<Span<'_>> {
        Some(Span { group: self.group(at)?, at, stop: end.min((at | GROUP_MASK) + 1) })
    }
}

/// A page number as a place; numbers here come from frames and are in range.
pub(super) fn place(page: u64) -> tenure_abi::Place {
    Pfn::new(page).map_or(tenure_abi::Place::Call, tenure_abi::Place::Pfn)
}

impl<B: BlockSource> Claim<'_, B> {
    /// The first page held.
    pub fn first(&self) -> u64 {
        self.first
    }

    /// How many pages are held: at least 1.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The entry of page `index` as it is before the transition; `None` if the claim has no such page.
    pub fn entry(&self, index: u64) -> Option<Entry> {
        let page = self.first + Some(index).filter(|&i| i < self.count)?;
        let part = self.tracker.span(page, page + 1)?.parts().next()?;
        Some(self.tracker.entry_under_lock(part.word(), page))
    }

    /// The rule they are held for.
    pub fn row(&self) -> &Row {
        &self.row
    }

    /// Locks and checks the pages of `frames`, eight regions at a time.
    fn grow(&mut self, frames: FrameRange<Pfn>) -> Result<(), Located<Error>> {
        let exact = self.row.exact(self.identity);
        while self.first + self.count < frames.end() {
            let at = self.first + self.count;
            let Some(span) = self.tracker.span(at, frames.end()) else {
                return Err(self.tracker.refuse_untracked(frames));
            };
            lock::take(span.group.lock, span.bits()).map_err(|error| Located { error, at: place(span.busy()) })?;
            self.count += span.stop - span.at;
            if self.follows(span, exact) {
                continue;
            }
            for part in span.parts() {
                // Acquire: as when a single region is locked.
                let word = Word(part.cell.load(Acquire));
                self.hold_part(frames, part, word)?;
            }
        }
        Ok(())
    }

    /// Whether all regions of a lock word are held whole, uniform, and exactly as the row wants them. What memory by the gigabyte
    /// looks like: no branch a region.
    #[inline]
    fn follows(&self, span: Span<'_>, exact: Option<(Entry, Entry)>) -> bool {
        let Some((from, _)) = exact.filter(|_| span.is_whole() && matches!(self.row.extent, Extent::Whole)) else {
            return false;
        };
        let step = from.step().wrapping_mul(REGION_PAGES);
        let (mut expected, mut differences) = (self.shift(from, span.at).bits(), 0);
        for cell in span.group.words {
            // Acquire: as when a single region is locked.
            differences |= Word(cell.load(Acquire)).without_hw().0 ^ expected;
            expected = expected.wrapping_add(step);
        }
        differences == 0
    }

    /// Checks one region's pages and reserves what splitting it will need.
    fn hold_part(&mut self, frames: FrameRange<Pfn>, part: Part<'_>, word: Word) -> Result<(), Located<Error>> {
        if word.is_claimed() {
            return Err(Located { error: Error::Retry, at: place(part.at) });
        }
        if let Err(refused) = self.check(part, word) {
            // Still under the region's lock, so that a contradiction goes into quarantine as it was found.
            return Err(self.tracker.refuse(&self.row, frames, self.identity, &refused, part.cell));
        }
        let resumable = matches!(self.row.extent, Extent::Resumable);
        if !word.is_mixed() && (resumable || !part.is_whole_region()) {
            let region = self.tracker.region_number(part.at);
            let block = region.and_then(|region| self.tracker.blocks.take(region, self.payer()));
            let block = block.ok_or(Located { error: Error::NoMemory, at: place(part.at) })?;
            let [head, tail] = &mut self.reserved;
            *if part.at == self.first { head } else { tail } = Some(block);
        }
        Ok(())
    }

    /// The entry of page `at` if that of the first page is `entry`.
    #[inline]
    pub(super) fn shift(&self, entry: Entry, at: u64) -> Entry {
        Entry::from_bits(entry.bits().wrapping_add(entry.step().wrapping_mul(at.wrapping_sub(self.first))))
    }

    /// Checks every page of `part` against the row.
    fn check(&self, part: Part<'_>, word: Word) -> Result<(), Refused> {
        let refused = |page, entry| Err(Refused { page, entry });
        if !word.is_mixed() {
            let fits = match self.row.exact(self.identity) {
                // Page 0 of the region need not be part of the claim: compare what it would have to be.
                Some((from, _)) => word.entry() == self.shift(from, part.at & !PAGE_MASK),
                None => self.row.counted(word.entry()).is_ok(),
            };
            return if fits { Ok(()) } else { refused(part.at, word.entry_at(part.at & PAGE_MASK)) };
        }
        let entries = self.tracker.block_of(word).and_then(|block| block.0.get(part.page_indexes()));
        let Some(entries) = entries else {
            return refused(part.at, Entry::HOST.quarantined(QuarantineReason::HardwareUnknown));
        };
        let wrong = match self.row.exact(self.identity) {
            Some((from, _)) => cells::first_difference(entries, self.shift(from, part.at), from.step()),
            None => entries.iter().position(|e| self.row.counted(Entry::from_bits(e.load(Relaxed))).is_err()),
        };
        match wrong.and_then(|i| Some((i, entries.get(i)?))) {
            Some((i, entry)) => refused(part.at + i as u64, Entry::from_bits(entry.load(Relaxed))),
            None => Ok(()),
        }
    }

    /// Who is charged for a split: the guest the pages come from or go to.
    pub(super) fn payer(&self) -> Option<VmSlot> {
        self.identity.slot().filter(|_| self.row.names_guest())
    }

    /// The pages held, by lock word.
    pub(super) fn spans(&self) -> impl Iterator<Item = Span<'_>> {
        let end = self.first + self.count;
        let mut at = self.first;
        core::iter::from_fn(move || {
            let span = if at < end { self.tracker.span(at, end) } else { None }?;
            at = span.stop;
            Some(span)
        })
    }

    /// Drops the locks but keeps the pages: until commit everybody else is told to retry. For content work.
    pub fn park(&mut self) {
        if !self.parked {
            for span in self.spans() {
                span.parts().for_each(|part| part.cell.store(part.word().0 | Word::CLAIMED, Release));
                span.unlock();
            }
            self.parked = true;
        }
    }
}

impl<B: BlockSource> Drop for Claim<'_, B> {
    fn drop(&mut self) {
        for span in self.spans() {
            if self.parked {
                span.parts().for_each(|part| part.cell.store(part.word().0, Release));
            } else {
                span.unlock();
            }
        }
        for block in self.reserved.into_iter().flatten() {
            self.tracker.blocks.give_back(block, self.payer());
        }
    }
}
