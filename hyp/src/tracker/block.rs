//! Blocks: the 512 page entries of a region whose pages differ, and where blocks come from.

use crate::sync::{self, AtomicU64, BLOCK_CELLS};
use tenure_abi::VmSlot;

/// The page entries of one region. 4 KiB, so that a block is a page of its own.
///
/// Entries are read and written only under the lock of the region that holds the block.
#[repr(C, align(4096))]
pub struct Block(pub(crate) [AtomicU64; BLOCK_CELLS]);

impl Block {
    /// A zeroed block, for static memory.
    #[cfg(not(loom))]
    pub const fn zeroed() -> Self {
        Self(sync::zeroed())
    }

    /// A zeroed block, of the model that runs.
    #[cfg(loom)]
    pub fn zeroed() -> Self {
        Self(sync::zeroed())
    }
}

/// Names a block of a [`BlockSource`]: at most 39 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockIndex(pub(crate) u64);

impl BlockIndex {
    /// How many bits a region word has for it.
    pub const BITS: u32 = 39;

    /// Block number `index`; `None` if a region word cannot hold it.
    pub const fn new(index: u64) -> Option<Self> {
        if index >> Self::BITS == 0 { Some(Self(index)) } else { None }
    }

    /// The number.
    pub const fn get(self) -> u64 {
        self.0
    }
}

/// Where the tracker gets blocks from.
///
/// Blocks are taken before anything changes, so running out refuses a call and changes nothing. A source may
/// be called with region locks held: it must not claim pages itself.
pub trait BlockSource: Sync {
    /// A block, whatever it holds, for region number `region` (chunk × 512 + slot), charged to `payer` (`None`: the host).
    fn take(&self, region: u64, payer: Option<VmSlot>) -> Option<BlockIndex>;
    /// Takes a block back, with its entries as they are.
    fn give_back(&self, block: BlockIndex, payer: Option<VmSlot>);
    /// The block behind an index; `None` if it names none.
    fn block(&self, index: BlockIndex) -> Option<&Block>;
}

/// The simplest source: one block for each region, all there from the start (8.016 bytes a page).
pub struct AllAtStart<'m> {
    blocks: &'m [Block],
}

impl<'m> AllAtStart<'m> {
    /// `blocks[i]` is for region `i`. Regions beyond have none and cannot become mixed.
    pub const fn new(blocks: &'m [Block]) -> Self {
        Self { blocks }
    }
}

impl BlockSource for AllAtStart<'_> {
    #[inline]
    fn take(&self, region: u64, _: Option<VmSlot>) -> Option<BlockIndex> {
        (region < self.blocks.len() as u64).then_some(BlockIndex(region))
    }

    fn give_back(&self, _: BlockIndex, _: Option<VmSlot>) {}

    #[inline]
    fn block(&self, index: BlockIndex) -> Option<&Block> {
        self.blocks.get(usize::try_from(index.0).ok()?)
    }
}
