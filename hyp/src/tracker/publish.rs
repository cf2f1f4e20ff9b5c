//! Publishing: the new entries of a claim, written where they belong.
//!
//! A region that is claimed whole becomes uniform and gives its block back. One that is claimed in part is
//! split first, into the block that was reserved for it.

use super::block::BlockIndex;
use super::claim::{Claim, Part, Span};
use super::entry::Entry;
use super::layout::{REGION_PAGES, Word};
use super::{BlockSource, Tracker, cells};
use core::sync::atomic::Ordering::{Relaxed, Release};
use tenure_abi::{Error, PageSize, QuarantineReason, VmSlot};

/// What becomes of the pages of one region.
#[derive(Clone, Copy)]
struct Outcome {
    /// How many pages, from the first on, get their new entry.
    done: usize,
    /// Whether the page after them goes into quarantine.
    stuck: Option<QuarantineReason>,
    hw: PageSize,
}

impl<B: BlockSource> Claim<'_, B> {
    /// Publishes the new state of all pages. `hw` is the size of the hardware entries the platform gave them.
    #[inline]
    pub fn commit(mut self, hw: PageSize) {
        let mut reserved = core::mem::take(&mut self.reserved);
        let exact = self.row.exact(self.identity);
        for span in self.spans() {
            match exact {
                Some((_, to)) if span.is_whole() => self.publish_span(span, to, hw),
                _ => {
                    for part in span.parts() {
                        let done = (part.stop - part.at) as usize;
                        let [head, tail] = &mut reserved;
                        let block = if part.at == self.first { head } else { tail };
                        self.publish(part, Outcome { done, stuck: None, hw }, block);
                    }
                }
            }
            if !self.parked {
                span.unlock();
            }
        }
        self.finish(reserved);
    }

    /// All regions of a lock word go from one exact state to another.
    #[inline]
    fn publish_span(&self, span: Span<'_>, to: Entry, hw: PageSize) {
        let (mut new, step) = (self.shift(to, span.at).bits(), to.step().wrapping_mul(REGION_PAGES));
        // The hardware size is decided anew, or it stays.
        let (set, keep) = match (self.row.changes_owner(), hw) {
            (true, PageSize::Size4K) => (Word::HW_4K, 0),
            (true, _) => (0, 0),
            (false, _) => (0, Word::HW_4K),
        };
        for cell in span.group.words {
            let old = Word(cell.load(Relaxed));
            cell.store(new | set | old.0 & keep, Release);
            if old.is_mixed() {
                self.tracker.give_block_back(old);
            }
            new = new.wrapping_add(step);
        }
    }

    /// Publishes the new state of the first `done` pages, puts the next into quarantine if there is a reason, and restores
    /// the rest. For claims of resumable rows, which never cross a region.
    ///
    /// # Errors
    /// [`Error::Internal`], everything restored, if the claim spans regions.
    pub fn settle(mut self, done: u64, stuck: Option<QuarantineReason>, hw: PageSize) -> Result<(), Error> {
        let mut spans = self.spans();
        let (Some(span), None) = (spans.next(), spans.next()) else { return Err(Error::Internal) };
        let mut parts = span.parts();
        let (Some(part), None) = (parts.next(), parts.next()) else { return Err(Error::Internal) };
        let [mut head, tail] = self.reserved;
        self.publish(part, Outcome { done: done.min(self.count) as usize, stuck, hw }, &mut head);
        if !self.parked {
            span.unlock();
        }
        drop((parts, spans));
        self.reserved = [None; 2];
        self.finish([head, tail]);
        Ok(())
    }

    /// Everything is published and unlocked: what was reserved and not needed goes back.
    #[inline]
    fn finish(self, reserved: [Option<BlockIndex>; 2]) {
        for block in reserved.into_iter().flatten() {
            self.tracker.blocks.give_back(block, self.payer());
        }
        core::mem::forget(self);
    }

    /// Whether the hardware's entries of a region are 4 KiB from now on.
    #[inline]
    fn hw_4k(&self, word: Word, whole: bool, hw: PageSize) -> bool {
        match self.row.changes_owner() {
            true => !whole || hw == PageSize::Size4K,
            false => word.hw_4k(),
        }
    }

    /// A whole region goes from one exact state to another: it is uniform.
    #[inline]
    fn publish_whole(&self, part: Part<'_>, to: Entry, hw: PageSize) {
        let word = part.word();
        let new = Word::uniform(self.shift(to, part.at), self.hw_4k(word, true, hw));
        part.cell.store(new.0, Release);
        if word.is_mixed() {
            self.tracker.give_block_back(word);
        }
    }

    /// Any other case; takes the block out of `reserved` if it needs it.
    fn publish(&self, part: Part<'_>, outcome: Outcome, reserved: &mut Option<BlockIndex>) {
        let Outcome { done, stuck, hw } = outcome;
        let word = part.word();
        let all = part.is_whole_region() && done as u64 == REGION_PAGES;
        let hw_4k = self.hw_4k(word, all, hw);
        let exact = self.row.exact(self.identity);
        if done == 0 && stuck.is_none() {
            return part.cell.store(word.0, Release);
        }
        if all && let Some((_, to)) = exact {
            return self.publish_whole(part, to, hw);
        }
        if all && !word.is_mixed() {
            let entry = self.row.counted(word.entry()).unwrap_or(word.entry());
            return part.cell.store(Word::uniform(entry, hw_4k).0, Release);
        }
        let mixed = match word.is_mixed() {
            true => Some(word),
            false => reserved.take().and_then(|block| self.tracker.split(word, block, self.payer())),
        };
        // Made sure of when the claim was taken; without it nothing is published.
        let Some((word, block)) = mixed.and_then(|word| Some((word, self.tracker.block_of(word)?))) else {
            self.tracker.count_contradiction();
            return part.cell.store(word.0, Release);
        };
        let entries = block.0.get(part.page_indexes()).unwrap_or_default();
        let (changed, rest) = entries.split_at_checked(done).unwrap_or((entries, &[]));
        let mut live = word.live();
        if let Some((from, to)) = exact {
            cells::fill(changed, self.shift(to, part.at), to.step());
            live = change(live, from, to, changed.len() as u64);
        } else {
            for cell in changed {
                let old = Entry::from_bits(cell.load(Relaxed));
                let new = self.row.counted(old).unwrap_or(old);
                cell.store(new.bits(), Relaxed);
                live = change(live, old, new, 1);
            }
        }
        if let (Some(reason), Some(cell)) = (stuck, rest.first()) {
            let old = Entry::from_bits(cell.load(Relaxed));
            let new = old.quarantined(reason);
            cell.store(new.bits(), Relaxed);
            live = change(live, old, new, 1);
        }
        let word = if hw_4k { word.with_hw_4k() } else { word };
        if live == 0 {
            part.cell.store(Word::uniform(Entry::HOST, word.hw_4k()).0, Release);
            self.tracker.give_block_back(word);
        } else {
            part.cell.store(word.with_live(live).0, Release);
        }
    }
}

/// The live count after `pages` pages went from one entry to another.
fn change(live: u64, from: Entry, to: Entry, pages: u64) -> u64 {
    match (from == Entry::HOST, to == Entry::HOST) {
        (true, false) => live + pages,
        (false, true) => live.saturating_sub(pages),
        _ => live,
    }
}

impl<B: BlockSource> Tracker<'_, B> {
    /// The mixed form of a uniform region: its 512 entries written out into `block`.
    pub(super) fn split(&self, word: Word, block: BlockIndex, payer: Option<VmSlot>) -> Option<Word> {
        cells::fill(&self.blocks.block(block)?.0, word.entry(), word.entry().step());
        let live = if word.entry() == Entry::HOST { 0 } else { REGION_PAGES };
        Some(Word::mixed(block, live, payer, word.hw_4k()))
    }

    /// Gives back the block of a word that was mixed and is not any more.
    #[cold]
    pub(super) fn give_block_back(&self, word: Word) {
        self.blocks.give_back(word.block(), word.payer());
    }
}
