//! The fast path: claims that change one entry.
//!
//! That is one page of a mixed region, or all 512 pages of a uniform one, whose entry is the region word. A guest that shares
//! and unshares single pages or whole leaves spends its time here, so nothing is reserved, split or counted. What does
//! not fit goes through [`Tracker::claim`], which also finds the error.

use super::entry::{Entry, Identity};
use super::layout::{PAGE_MASK, Word};
use super::region::Cell;
use super::rules::Transition;
use super::{BlockSource, Tracker};
use crate::sync::AtomicU64;
use core::sync::atomic::Ordering::{Relaxed, Release};
use tenure_abi::{PageSize, Pfn};

/// One entry held for a transition; dropping it restores it.
pub struct EntryClaim<'t> {
    cell: Cell<'t>,
    entry: &'t AtomicU64,
    new: u64,
}

impl<B: BlockSource> Tracker<'_, B> {
    /// Holds one page, or with [`PageSize::Size2M`] the whole region that begins at `pfn`, for `op` if that is the
    /// fast case; `None` says nothing about whether it is allowed.
    #[inline]
    pub fn claim_entry(&self, op: Transition, pfn: Pfn, size: PageSize, identity: Identity) -> Option<EntryClaim<'_>> {
        let row = op.row();
        let (from, to) = row.exact(identity)?;
        // Another owner would decide the hardware size anew, a host page the live count.
        if row.changes_owner() || from == Entry::HOST || to == Entry::HOST {
            return None;
        }
        let cell = self.cell(pfn.number())?;
        let word = cell.lock().ok()?;
        match size {
            PageSize::Size4K => {
                if word.is_mixed()
                    && let Some(block) = self.block_of(word)
                    && let Some(entry) = block.0.get((pfn.number() & PAGE_MASK) as usize)
                    && entry.load(Relaxed) == from.bits()
                {
                    return Some(EntryClaim { cell, entry, new: to.bits() });
                }
            }
            PageSize::Size2M => {
                if pfn.number() & PAGE_MASK == 0 && word.without_hw() == Word::uniform(from, false) {
                    let new = Word::uniform(to, word.hw_4k()).0;
                    return Some(EntryClaim { cell, entry: cell.word, new });
                }
            }
            PageSize::Size1G => {}
        }
        cell.unlock();
        None
    }
}

impl EntryClaim<'_> {
    /// Publishes the new state and unlocks.
    #[inline]
    pub fn commit(self) {
        self.entry.store(self.new, Release);
        // Dropping unlocks, whether the entry changed or not.
    }
}

impl Drop for EntryClaim<'_> {
    #[inline]
    fn drop(&mut self) {
        self.cell.unlock();
    }
}
