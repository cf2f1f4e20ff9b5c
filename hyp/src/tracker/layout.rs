//! The region word, and the memory a tracker is built from.
//!
//! | bits of a region word | uniform region | mixed region |
//! |---|---|---|
//! | 0 | 0 | 0 |
//! | 1 | claimed: in work, lock given back | claimed |
//! | 2 | 0 | 1 |
//! | 3 | hardware size: 0 2 MiB, 1 4 KiB | the same |
//! | 4..64 | entry of page 0; page i's gfn is gfn + i | 4..14 live, 14..25 payer, 25..64 block |
//!
//! *Live* is how many pages are not host-exclusive: at 0 the block goes back. *Payer* is 0 for the host or
//! slot + 1. The hardware size is that of the owner's hardware entry; it survives a return to uniform,
//! because merging hardware entries is explicit, never assumed.

use super::block::{BlockIndex, BlockSource};
use super::entry::{Entry, Identity};
use super::lock::LOCK_REGIONS;
use super::region::Cell;
use super::rules::Transition;
use super::{Block, Tracker};
use crate::sync::{self, AtomicU64, BLOCK_CELLS, CHUNK_CELLS};
use core::sync::atomic::Ordering::Relaxed;
use tenure_abi::{AddressWidth, Error, FrameRange, Located, PageSize, Pfn, VmSlot};

/// Pages in a region.
pub const REGION_PAGES: u64 = BLOCK_CELLS as u64;
pub(crate) const PAGE_MASK: u64 = REGION_PAGES - 1;
const CHUNK_REGIONS: u64 = CHUNK_CELLS as u64;
pub(super) const CHUNK_PAGES: u64 = CHUNK_REGIONS * REGION_PAGES;

// A region is what one hardware entry of the second level covers, a chunk what one of the first does.
const _: () = assert!(cfg!(loom) || REGION_PAGES == PageSize::Size2M.frames());
const _: () = assert!(cfg!(loom) || CHUNK_PAGES == PageSize::Size1G.frames());

/// Pages whose regions have their lock bits in one word.
const GROUP_PAGES: u64 = LOCK_REGIONS * REGION_PAGES;
pub(crate) const GROUP_MASK: u64 = GROUP_PAGES - 1;
const GROUPS: usize = CHUNK_CELLS / LOCK_REGIONS as usize;

/// The words of 512 regions, 1 GiB, and their locks: 4,608 bytes.
#[repr(C, align(64))]
pub struct Chunk {
    words: [AtomicU64; CHUNK_CELLS],
    locks: [AtomicU64; GROUPS],
}

/// The words of regions whose lock bits share a word, and that word.
#[derive(Clone, Copy)]
pub(crate) struct Group<'t> {
    pub(crate) lock: &'t AtomicU64,
    pub(crate) words: &'t [AtomicU64],
}

impl Chunk {
    /// A chunk of host-owned regions, for static memory.
    #[cfg(not(loom))]
    pub const fn zeroed() -> Self {
        Self { words: sync::zeroed(), locks: sync::zeroed() }
    }

    /// A chunk of host-owned regions, of the model that runs.
    #[cfg(loom)]
    pub fn zeroed() -> Self {
        Self { words: sync::zeroed(), locks: sync::zeroed() }
    }
}

/// A region word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Word(pub(crate) u64);

impl Word {
    pub(crate) const CLAIMED: u64 = 2;
    pub(crate) const MIXED: u64 = 4;
    pub(crate) const HW_4K: u64 = 8;
    pub(crate) const FLAGS: u64 = 0xf;
    const LIVE_SHIFT: u32 = 4;
    const LIVE_MASK: u64 = 0x3ff << Self::LIVE_SHIFT;
    const PAYER_SHIFT: u32 = 14;
    const PAYER_MASK: u64 = 0x7ff << Self::PAYER_SHIFT;
    pub(crate) const BLOCK_SHIFT: u32 = 25;

    /// A uniform region whose first page has entry `entry`.
    pub(crate) const fn uniform(entry: Entry, hw_4k: bool) -> Self {
        Self(entry.bits() | if hw_4k { Self::HW_4K } else { 0 })
    }

    /// A mixed region.
    pub(crate) fn mixed(block: BlockIndex, live: u64, payer: Option<VmSlot>, hw_4k: bool) -> Self {
        let payer = payer.map_or(0, |slot| u64::from(slot.index()) + 1);
        let hw = if hw_4k { Self::HW_4K } else { 0 };
        Self(
            block.get() << Self::BLOCK_SHIFT | payer << Self::PAYER_SHIFT | live << Self::LIVE_SHIFT | Self::MIXED | hw,
        )
    }

    pub(crate) const fn is_mixed(self) -> bool {
        self.0 & Self::MIXED != 0
    }

    /// In the hands of a parked claim.
    pub(crate) const fn is_claimed(self) -> bool {
        self.0 & Self::CLAIMED != 0
    }

    /// Everything but the hardware size.
    pub(crate) const fn without_hw(self) -> Self {
        Self(self.0 & !Self::HW_4K)
    }

    pub(crate) const fn hw_4k(self) -> bool {
        self.0 & Self::HW_4K != 0
    }

    /// Uniform: the entry of page 0.
    pub(crate) const fn entry(self) -> Entry {
        Entry::from_bits(self.0 & !Self::FLAGS)
    }

    /// Uniform: the entry of page `index`.
    pub(crate) const fn entry_at(self, index: u64) -> Entry {
        let first = self.entry();
        Entry::from_bits(first.bits().wrapping_add(first.step().wrapping_mul(index)))
    }

    /// Mixed: its block.
    pub(crate) const fn block(self) -> BlockIndex {
        BlockIndex(self.0 >> Self::BLOCK_SHIFT)
    }

    /// Mixed: how many of its pages are not host-exclusive.
    pub(crate) const fn live(self) -> u64 {
        (self.0 & Self::LIVE_MASK) >> Self::LIVE_SHIFT
    }

    pub(crate) const fn with_live(self, live: u64) -> Self {
        Self(self.0 & !Self::LIVE_MASK | live << Self::LIVE_SHIFT)
    }

    pub(crate) const fn with_hw_4k(self) -> Self {
        Self(self.0 | Self::HW_4K)
    }

    /// Mixed: who is charged for the block.
    pub(crate) fn payer(self) -> Option<VmSlot> {
        let raw = ((self.0 & Self::PAYER_MASK) >> Self::PAYER_SHIFT) as u16;
        VmSlot::new(raw.checked_sub(1)?).ok()
    }
}

impl<'m, B: BlockSource> Tracker<'m, B> {
    /// How many chunks RAM in `ram` needs: one per GiB of address space that holds any.
    pub fn chunks_needed(ram: &[FrameRange<Pfn>]) -> usize {
        let mut needed = 0;
        let mut next = 0;
        for range in ram {
            let first = (range.first().number() / CHUNK_PAGES).max(next);
            let end = range.end().div_ceil(CHUNK_PAGES);
            needed += end.saturating_sub(first) as usize;
            next = end.max(next);
        }
        needed
    }

    /// A tracker in which the host owns all of `ram`, exclusively, and everything else is absent.
    ///
    /// `directory` has a word per GiB of the physical address span; `chunks` as many chunks as
    /// [`Tracker::chunks_needed`] says. All must be zero, as static memory is. `ram` is sorted and does not overlap.
    ///
    /// # Errors
    /// [`Error::Invalid`] if `ram` is empty, unsorted, overlapping or ends beyond the directory, or memory is not zero;
    /// [`Error::NoMemory`] if chunks are missing, or blocks for the regions at unaligned edges.
    pub fn new(
        directory: &'m mut [u32],
        chunks: &'m [Chunk],
        ram: &'m [FrameRange<Pfn>],
        blocks: B,
    ) -> Result<Self, Located<Error>> {
        let sorted = ram.is_sorted_by(|a, b| a.end() <= b.first().number());
        let end = ram.last().ok_or(Error::Invalid)?.end();
        if !sorted || end.div_ceil(CHUNK_PAGES) > directory.len() as u64 {
            return Err(Error::Invalid.into());
        }
        let clean = |words: &[AtomicU64]| words.iter().all(|w| w.load(Relaxed) == 0);
        if directory.iter().any(|&w| w != 0) || !chunks.iter().all(|c| clean(&c.words) && clean(&c.locks)) {
            return Err(Error::Invalid.into());
        }
        if Self::chunks_needed(ram) > chunks.len() {
            return Err(Error::NoMemory.into());
        }
        let mut used = 0;
        for range in ram {
            for gib in range.first().number() / CHUNK_PAGES..range.end().div_ceil(CHUNK_PAGES) {
                if let Some(word) = directory.get_mut(gib as usize).filter(|w| **w == 0) {
                    used += 1;
                    *word = used;
                }
            }
        }
        let tracker = Self { directory, chunks, ram, blocks, contradictions: AtomicU64::new(0) };
        tracker.mark_holes()?;
        Ok(tracker)
    }

    /// Makes every page of a chunk that is not RAM absent.
    fn mark_holes(&self) -> Result<(), Located<Error>> {
        for (gib, &chunk) in self.directory.iter().enumerate() {
            if chunk == 0 {
                continue;
            }
            let mut at = gib as u64 * CHUNK_PAGES;
            let end = at + CHUNK_PAGES;
            for range in self.ram {
                // As far as the range lies between here and the end of the chunk; elsewhere it is empty.
                let within = |page: u64| page.max(at).min(end);
                let (first, after) = (within(range.first().number()), within(range.end()));
                self.make_absent(at, first)?;
                at = after;
            }
            self.make_absent(at, end)?;
        }
        Ok(())
    }

    fn make_absent(&self, first: u64, end: u64) -> Result<(), Located<Error>> {
        if first < end {
            let range = FrameRange::new(Pfn::new(first)?, end - first, AddressWidth::MAX)?;
            self.claim(Transition::MakeAbsent, range, Identity::NONE)?.commit(PageSize::Size2M);
        }
        Ok(())
    }

    #[inline]
    fn chunk(&self, pfn: u64) -> Option<&Chunk> {
        let chunk = *self.directory.get((pfn / CHUNK_PAGES) as usize)?;
        self.chunks.get((chunk as usize).wrapping_sub(1))
    }

    /// The region that holds page number `pfn`; `None` where nothing is tracked.
    #[inline]
    pub(crate) fn cell(&self, pfn: u64) -> Option<Cell<'_>> {
        let chunk = self.chunk(pfn)?;
        let region = pfn / REGION_PAGES % CHUNK_REGIONS;
        Some(Cell {
            word: chunk.words.get(region as usize)?,
            lock: chunk.locks.get((region / LOCK_REGIONS) as usize)?,
            bit: 1 << (region % LOCK_REGIONS),
        })
    }

    /// The regions that share the lock word of page number `pfn`; `None` where nothing is tracked.
    #[inline]
    pub(crate) fn group(&self, pfn: u64) -> Option<Group<'_>> {
        let chunk = self.chunk(pfn)?;
        let group = (pfn / GROUP_PAGES) as usize % GROUPS;
        let regions = LOCK_REGIONS as usize;
        let words = chunk.words.get(group * regions..(group + 1) * regions)?;
        Some(Group { lock: chunk.locks.get(group)?, words })
    }

    /// The number of the region that holds page number `pfn`, as block sources count.
    pub(crate) fn region_number(&self, pfn: u64) -> Option<u64> {
        let chunk = self.directory.get((pfn / CHUNK_PAGES) as usize)?.checked_sub(1)?;
        Some(u64::from(chunk) * CHUNK_REGIONS + pfn / REGION_PAGES % CHUNK_REGIONS)
    }

    /// The block of a mixed word.
    #[inline]
    pub(crate) fn block_of(&self, word: Word) -> Option<&Block> {
        self.blocks.block(word.block())
    }
}
