//! The fast path: one page of a mixed region that keeps its owner and its live count.
//!
//! A guest that shares and unshares single pages spends its time here, so nothing is reserved, split or counted. What does
//! not fit (a uniform region, a page in another state) goes through [`Tracker::claim`], which also finds the error.

use super::entry::{Entry, Identity};
use super::layout::{PAGE_MASK, Word};
use super::region::{lock, unlock};
use super::rules::Transition;
use super::{BlockSource, Tracker};
use crate::sync::AtomicU64;
use core::sync::atomic::Ordering::Relaxed;
use tenure_abi::Pfn;

/// One page held for a transition; dropping it restores it.
pub struct PageClaim<'t> {
    cell: &'t AtomicU64,
    word: Word,
    entry: &'t AtomicU64,
    new: u64,
}

impl<B: BlockSource> Tracker<'_, B> {
    /// Holds one page for `op` if that is the fast case; `None` says nothing about whether it is allowed.
    #[inline]
    pub fn claim_page(&self, op: Transition, pfn: Pfn, identity: Identity) -> Option<PageClaim<'_>> {
        let row = op.row();
        let (from, to) = row.exact(identity)?;
        if row.changes_owner() || from == Entry::HOST || to == Entry::HOST {
            return None;
        }
        let cell = self.word(pfn.number())?;
        let word = lock(cell).ok()?;
        if word.is_mixed()
            && let Some(block) = self.block_of(word)
            && let Some(entry) = block.0.get((pfn.number() & PAGE_MASK) as usize)
            && entry.load(Relaxed) == from.bits()
        {
            return Some(PageClaim { cell, word, entry, new: to.bits() });
        }
        unlock(cell, word);
        None
    }
}

impl PageClaim<'_> {
    /// Publishes the new state and unlocks.
    #[inline]
    pub fn commit(self) {
        self.entry.store(self.new, Relaxed);
        // Dropping unlocks, whether the entry changed or not.
    }
}

impl Drop for PageClaim<'_> {
    #[inline]
    fn drop(&mut self) {
        unlock(self.cell, self.word);
    }
}
