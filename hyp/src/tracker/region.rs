//! Locking one region: the bounded lock, and the guard that a fault handler reads under.

use super::entry::Entry;
use super::layout::{PAGE_MASK, Word};
use super::{BlockSource, Tracker};
use crate::sync::{AtomicU64, spin_loop};
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use tenure_abi::{Error, PageSize, Pfn};

/// How often a region lock is tried before the caller is told to come back.
///
/// Holders do entry, page-table and TLB work only, so a lock that stays taken this long is in heavy use.
///
/// A loom model tries twice: giving up is then among the outcomes it explores.
pub const LOCK_TRIES: u32 = if cfg!(loom) { 2 } else { 4096 };

/// Locks `word` and returns it as it was.
///
/// The acquire pairs with the release store that unlocks: what the last holder wrote below the word is seen.
#[inline]
pub(crate) fn lock(word: &AtomicU64) -> Result<Word, Error> {
    let value = word.load(Relaxed);
    if value & (Word::LOCK | Word::CLAIMED) == 0
        && word.compare_exchange(value, value | Word::LOCK, Acquire, Relaxed).is_ok()
    {
        return Ok(Word(value));
    }
    lock_contended(word)
}

#[cold]
#[inline(never)]
fn lock_contended(word: &AtomicU64) -> Result<Word, Error> {
    for _ in 0..LOCK_TRIES {
        let value = word.load(Relaxed);
        if value & Word::CLAIMED != 0 {
            return Err(Error::Retry);
        }
        if value & Word::LOCK == 0 && word.compare_exchange_weak(value, value | Word::LOCK, Acquire, Relaxed).is_ok() {
            return Ok(Word(value));
        }
        spin_loop();
    }
    Err(Error::Retry)
}

/// Publishes `new` and unlocks.
#[inline]
pub(crate) fn unlock(word: &AtomicU64, new: Word) {
    word.store(new.0 & !(Word::LOCK | Word::CLAIMED), Release);
}

/// One locked region: entries can be read, and hardware tables of this region changed, until it is dropped.
pub struct RegionGuard<'t, B> {
    tracker: &'t Tracker<'t, B>,
    word: &'t AtomicU64,
    value: Word,
}

impl<B: BlockSource> Tracker<'_, B> {
    /// Locks the region of `pfn`, to read its entries and change its hardware entries accordingly.
    ///
    /// # Errors
    /// [`Error::NotMemory`] where nothing is tracked; [`Error::Retry`] while the region is in other hands.
    #[inline]
    pub fn lock_region(&self, pfn: Pfn) -> Result<RegionGuard<'_, B>, Error> {
        let word = self.word(pfn.number()).ok_or(Error::NotMemory)?;
        let value = lock(word)?;
        Ok(RegionGuard { tracker: self, word, value })
    }
}

impl<B: BlockSource> RegionGuard<'_, B> {
    /// The entry of `pfn`, which must lie in this region (its place in the region is what counts).
    #[inline]
    pub fn entry(&self, pfn: Pfn) -> Entry {
        self.tracker.entry_under_lock(self.value, pfn.number())
    }

    /// The entry of the region's first page if all 512 pages follow from it.
    pub fn uniform(&self) -> Option<Entry> {
        (!self.value.is_mixed()).then(|| self.value.entry())
    }

    /// The size of the owner's hardware entry.
    pub fn hardware_size(&self) -> PageSize {
        if self.value.hw_4k() { PageSize::Size4K } else { PageSize::Size2M }
    }

    /// Records that the hardware's entries were split (4K) or merged into one (2M).
    pub fn set_hardware_size(&mut self, size: PageSize) {
        self.value.0 = match size {
            PageSize::Size4K => self.value.0 | Word::HW_4K,
            PageSize::Size2M | PageSize::Size1G => self.value.0 & !Word::HW_4K,
        };
    }
}

impl<B> Drop for RegionGuard<'_, B> {
    #[inline]
    fn drop(&mut self) {
        unlock(self.word, self.value);
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
