//! Locking one region, and the guard that a fault handler reads under.

use super::entry::Entry;
use super::layout::{PAGE_MASK, Word};
use super::lock;
use super::{BlockSource, Tracker};
use crate::sync::AtomicU64;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use tenure_abi::{Error, PageSize, Pfn};

/// A region's word and its lock.
#[derive(Clone, Copy)]
pub(crate) struct Cell<'t> {
    pub(crate) word: &'t AtomicU64,
    pub(crate) lock: &'t AtomicU64,
    /// Its bit in the lock word.
    pub(crate) bit: u64,
}

impl Cell<'_> {
    /// Locks the region and returns its word.
    ///
    /// # Errors
    /// [`Error::Retry`] if another has it locked or claimed.
    #[inline]
    pub(crate) fn lock(self) -> Result<Word, Error> {
        lock::take(self.lock, self.bit)?;
        // Pairs with the release store of a parked claim that published without the lock.
        let word = Word(self.word.load(Acquire));
        if word.is_claimed() {
            self.unlock();
            return Err(Error::Retry);
        }
        Ok(word)
    }

    /// Writes the word of the locked region.
    #[inline]
    pub(crate) fn publish(self, word: Word) {
        self.word.store(word.0, Release);
    }

    #[inline]
    pub(crate) fn unlock(self) {
        lock::give_back(self.lock, self.bit);
    }
}

/// One locked region: entries can be read, and hardware tables of this region changed, until it is dropped.
pub struct RegionGuard<'t, B> {
    tracker: &'t Tracker<'t, B>,
    cell: Cell<'t>,
    word: Word,
}

impl<B: BlockSource> Tracker<'_, B> {
    /// Locks the region of `pfn`, to read its entries and change its hardware entries accordingly.
    ///
    /// # Errors
    /// [`Error::NotMemory`] where nothing is tracked; [`Error::Retry`] while the region is in other hands.
    #[inline]
    pub fn lock_region(&self, pfn: Pfn) -> Result<RegionGuard<'_, B>, Error> {
        let cell = self.cell(pfn.number()).ok_or(Error::NotMemory)?;
        let word = cell.lock()?;
        Ok(RegionGuard { tracker: self, cell, word })
    }
}

impl<B: BlockSource> RegionGuard<'_, B> {
    /// The entry of `pfn`, which must lie in this region (its place in the region is what counts).
    #[inline]
    pub fn entry(&self, pfn: Pfn) -> Entry {
        self.tracker.entry_under_lock(self.word, pfn.number())
    }

    /// The entry of the region's first page if all 512 pages follow from it.
    pub fn uniform(&self) -> Option<Entry> {
        (!self.word.is_mixed()).then(|| self.word.entry())
    }

    /// The size of the owner's hardware entry.
    pub fn hardware_size(&self) -> PageSize {
        if self.word.hw_4k() { PageSize::Size4K } else { PageSize::Size2M }
    }

    /// Records that the hardware's entries were split (4K) or merged into one (2M).
    pub fn set_hardware_size(&mut self, size: PageSize) {
        self.word.0 = match size {
            PageSize::Size4K => self.word.0 | Word::HW_4K,
            PageSize::Size2M | PageSize::Size1G => self.word.0 & !Word::HW_4K,
        };
        self.cell.publish(self.word);
    }
}

impl<B> Drop for RegionGuard<'_, B> {
    #[inline]
    fn drop(&mut self) {
        self.cell.unlock();
    }
}

impl<B: BlockSource> Tracker<'_, B> {
    /// The entry of page number `pfn`, whose region word is `word` and locked by the caller.
    #[inline]
    pub(crate) fn entry_under_lock(&self, word: Word, pfn: u64) -> Entry {
        if !word.is_mixed() {
            return word.entry_at(pfn & PAGE_MASK);
        }
        match self.block_of(word).and_then(|block| block.0.get((pfn & PAGE_MASK) as usize)) {
            Some(entry) => Entry::from_bits(entry.load(Relaxed)),
            // A word that leads nowhere is a contradiction: nobody gets the page.
            None => Entry::HOST.quarantined(tenure_abi::QuarantineReason::HardwareUnknown),
        }
    }
}
