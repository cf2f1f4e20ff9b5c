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
use super::layout::{PAGE_MASK, REGION_PAGES, Word};
use super::region::{lock, unlock};
use super::rules::{Extent, Row, Transition};
use super::{BlockSource, Tracker};
use crate::sync::AtomicU64;
use core::sync::atomic::Ordering::{Relaxed, Release};
use tenure_abi::{AddressWidth, Error, FrameRange, Located, PageSize, Pfn, QuarantineReason, VmSlot};

/// Pages held for one transition.
pub struct Claim<'t, B: BlockSource> {
    tracker: &'t Tracker<'t, B>,
    row: Row,
    identity: Identity,
    /// What is held once the claim is complete.
    frames: FrameRange<Pfn>,
    first: u64,
    count: u64,
    /// Blocks for the first and the last region, where those will have to be split.
    reserved: [Option<BlockIndex>; 2],
}

/// One region's share of a claim: pages `at..stop`.
#[derive(Clone, Copy)]
struct Part<'t> {
    cell: &'t AtomicU64,
    at: u64,
    stop: u64,
}

impl Part<'_> {
    fn is_whole_region(self) -> bool {
        self.stop - self.at == REGION_PAGES
    }

    fn word(self) -> Word {
        Word(self.cell.load(Relaxed) & !(Word::LOCK | Word::CLAIMED))
    }

    fn page_indexes(self) -> core::ops::Range<usize> {
        let first = (self.at & PAGE_MASK) as usize;
        first..first + (self.stop - self.at) as usize
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
    /// [`Error::Retry`] where somebody else is at work, [`Error::NoMemory`] if a region has to be split and there is no block,
    /// [`Error::Internal`] if the page belongs to another guest or gfn than the caller says.
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
        self.hold(row, frames, identity)
    }

    fn hold(&self, row: Row, frames: FrameRange<Pfn>, identity: Identity) -> Result<Claim<'_, B>, Located<Error>> {
        let first = frames.first().number();
        // The claim grows region by region; dropping it half grown unlocks what it has.
        let mut claim = Claim { tracker: self, row, identity, frames, first, count: 0, reserved: [None; 2] };
        while let Some(part) = self.part(first + claim.count, frames.end()) {
            let Some(part) = part else {
                drop(claim);
                return Err(self.refuse_untracked(frames));
            };
            let word = lock(part.cell).map_err(|error| Located { error, at: place(part.at) })?;
            claim.count += part.stop - part.at;
            if let Err(refused) = claim.check(part, word) {
                // Still under the region's lock, so that a contradiction goes into quarantine as it was found.
                return Err(self.refuse(&row, frames, identity, &refused, part.cell));
            }
            let resumable = matches!(row.extent, Extent::Resumable);
            if !word.is_mixed() && (resumable || !part.is_whole_region()) {
                let block = self.region_number(part.at).and_then(|region| self.blocks.take(region, claim.payer()));
                let block = block.ok_or(Located { error: Error::NoMemory, at: place(part.at) })?;
                let [head, tail] = &mut claim.reserved;
                *if part.at == first { head } else { tail } = Some(block);
            }
        }
        Ok(claim)
    }

    /// The part of `at..end` that lies in the region of `at`: `None` at the end, `Some(None)` where nothing is tracked.
    #[allow(clippy::option_option)]
    fn part(&self, at: u64, end: u64) -> Option<Option<Part<'_>>> {
        if at >= end {
            return None;
        }
        let stop = end.min((at | PAGE_MASK) + 1);
        Some(self.word(at).map(|cell| Part { cell, at, stop }))
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
        let part = self.tracker.part(page, page + 1)??;
        Some(self.tracker.entry_under_lock(part.word(), page))
    }

    /// The pages held.
    pub fn frames(&self) -> FrameRange<Pfn> {
        self.frames
    }

    /// The rule they are held for.
    pub fn row(&self) -> &Row {
        &self.row
    }

    /// By how many entry bits page `at` differs from the first page, for a side of the row that names a guest.
    fn shift(&self, entry: Entry, at: u64) -> Entry {
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
        let Some((from, _)) = self.row.exact(self.identity) else {
            let bad = entries.iter().position(|e| self.row.counted(Entry::from_bits(e.load(Relaxed))).is_err());
            return bad.map_or(Ok(()), |i| refused(part.at + i as u64, entry_of(entries, i)));
        };
        let first = self.shift(from, part.at).bits();
        let step = from.step();
        let mut differences = 0;
        let mut expected = first;
        for entry in entries {
            differences |= entry.load(Relaxed) ^ expected;
            expected = expected.wrapping_add(step);
        }
        if differences == 0 {
            return Ok(());
        }
        let wrong = |i: usize| entry_of(entries, i).bits() != first.wrapping_add(step.wrapping_mul(i as u64));
        let i = (0..entries.len()).find(|&i| wrong(i)).unwrap_or(0);
        refused(part.at + i as u64, entry_of(entries, i))
    }

    /// Who is charged for a split: the guest the pages come from or go to.
    fn payer(&self) -> Option<VmSlot> {
        self.identity.slot().filter(|_| self.row.names_guest())
    }

    fn parts(&self) -> impl Iterator<Item = Part<'_>> {
        let end = self.first + self.count;
        let mut at = self.first;
        core::iter::from_fn(move || {
            let part = self.tracker.part(at, end)??;
            at = part.stop;
            Some(part)
        })
    }

    /// Drops the locks but keeps the pages: until commit everybody else is told to retry. For content work.
    pub fn park(&mut self) {
        for part in self.parts() {
            part.cell.store(part.word().0 | Word::CLAIMED, Release);
        }
    }

    /// Publishes the new state of all pages. `hw` is the size of the hardware entries the platform gave them.
    pub fn commit(mut self, hw: PageSize) {
        let [head, tail] = core::mem::take(&mut self.reserved);
        for part in self.parts() {
            // A region in the middle is whole: it needs no block, and the last one's is left for the last one.
            let block = match part.at == self.first {
                true => head,
                false => tail.filter(|_| part.stop == self.first + self.count),
            };
            self.publish(part, part.stop, None, block, hw);
        }
        core::mem::forget(self);
    }

    /// Publishes the new state of the first `done` pages, puts the next into quarantine if there is a reason, and restores
    /// the rest. For claims of resumable rows, which never cross a region.
    ///
    /// # Errors
    /// [`Error::Internal`], everything restored, if the claim spans regions.
    pub fn settle(self, done: u64, stuck: Option<QuarantineReason>, hw: PageSize) -> Result<(), Error> {
        let only = self.tracker.part(self.first, self.first + self.count).flatten();
        let Some(part) = only.filter(|part| part.stop == self.first + self.count) else {
            return Err(Error::Internal);
        };
        let until = self.first + done.min(self.count);
        self.publish(part, until, stuck, self.reserved[0], hw);
        core::mem::forget(self);
        Ok(())
    }

    /// Writes the new entries of `part.at..until`, quarantines the page after it if asked to, and unlocks the region.
    fn publish(
        &self,
        part: Part<'_>,
        until: u64,
        stuck: Option<QuarantineReason>,
        reserved: Option<BlockIndex>,
        hw: PageSize,
    ) {
        let word = part.word();
        let payer = self.payer();
        let all = until == part.stop && part.is_whole_region();
        let hw_4k = match self.row.changes_owner() {
            true => !all || hw == PageSize::Size4K,
            false => word.hw_4k(),
        };
        let give_back = |block: Option<BlockIndex>, payer| {
            if let Some(block) = block {
                self.tracker.blocks.give_back(block, payer);
            }
        };
        if all && let Some((_, to)) = self.row.exact(self.identity) {
            unlock(part.cell, Word::uniform(self.shift(to, part.at), hw_4k));
            if word.is_mixed() {
                give_back(Some(word.block()), word.payer());
            }
            return give_back(reserved, payer);
        }
        if all && !word.is_mixed() {
            let entry = self.row.counted(word.entry()).unwrap_or(word.entry());
            unlock(part.cell, Word::uniform(entry, hw_4k));
            return give_back(reserved, payer);
        }
        if until == part.at && stuck.is_none() {
            unlock(part.cell, word);
            return give_back(reserved, payer);
        }
        let mixed =
            if word.is_mixed() { Some(word) } else { reserved.and_then(|b| self.tracker.split(word, b, payer)) };
        let block = mixed.and_then(|word| Some((word, self.tracker.block_of(word)?)));
        // Both were made sure of when the claim was taken; without them nothing is published.
        let Some((word, block)) = block else {
            self.tracker.count_contradiction();
            return unlock(part.cell, word);
        };
        let entries = block.0.get(part.page_indexes()).unwrap_or_default();
        let done = (until - part.at) as usize;
        let mut live = word.live();
        for (i, cell) in entries.iter().enumerate() {
            let old = Entry::from_bits(cell.load(Relaxed));
            let new = match (self.row.exact(self.identity), stuck) {
                (Some((_, to)), _) if i < done => self.shift(to, part.at + i as u64),
                (None, _) if i < done => self.row.counted(old).unwrap_or(old),
                (_, Some(reason)) if i == done => old.quarantined(reason),
                _ => break,
            };
            live = (live + u64::from(new != Entry::HOST)).saturating_sub(u64::from(old != Entry::HOST));
            cell.store(new.bits(), Relaxed);
        }
        let word = if hw_4k { word.with_hw_4k() } else { word };
        if live == 0 {
            unlock(part.cell, Word::uniform(Entry::HOST, word.hw_4k()));
            give_back(Some(word.block()), word.payer());
        } else {
            unlock(part.cell, word.with_live(live));
        }
    }
}

fn entry_of(entries: &[AtomicU64], index: usize) -> Entry {
    entries.get(index).map_or(Entry::HOST, |entry| Entry::from_bits(entry.load(Relaxed)))
}

impl<B: BlockSource> Tracker<'_, B> {
    /// The mixed form of a uniform region: its 512 entries written out into `block`.
    pub(super) fn split(&self, word: Word, block: BlockIndex, payer: Option<tenure_abi::VmSlot>) -> Option<Word> {
        let cells = &self.blocks.block(block)?.0;
        for (i, cell) in cells.iter().enumerate() {
            cell.store(word.entry_at(i as u64).bits(), Relaxed);
        }
        let live = if word.entry() == Entry::HOST { 0 } else { REGION_PAGES };
        Some(Word::mixed(block, live, payer, word.hw_4k()))
    }
}

impl<B: BlockSource> Drop for Claim<'_, B> {
    fn drop(&mut self) {
        for part in self.parts() {
            unlock(part.cell, part.word());
        }
        for block in self.reserved.into_iter().flatten() {
            self.tracker.blocks.give_back(block, self.payer());
        }
    }
}
