//! The memory a tracker is built from, and a pool of blocks that notices misuse.
//!
//! Blocks are handed out last in, first out, so a block soon serves another region, and they come back
//! filled with garbage: whoever reads an entry that was not written, or a block that was given back, sees
//! pages in states that no page ever had.

use crate::trace::RAM;
use std::sync::Mutex;
use tenure_abi::{AddressWidth, FrameRange, Pfn, VmSlot};
use tenure_hyp::tracker::{Block, BlockIndex, BlockSource, Chunk};

/// How many GiB the machine's address span has.
const GIBS: usize = 8;

/// Enough blocks for every region of the machine.
pub const PLENTY: usize = 64;

/// What a tracker borrows.
pub struct Memory {
    pub(super) directory: Vec<u32>,
    pub(super) chunks: Vec<Chunk>,
    pub(super) ram: Vec<FrameRange<Pfn>>,
    pub(super) pool: Pool,
}

impl Memory {
    /// Memory for the machine of the traces, with `blocks` blocks.
    ///
    /// # Panics
    /// Never: the machine of the traces is well formed.
    pub fn new(blocks: usize) -> Self {
        let range = |(first, end)| {
            let first = Pfn::new(first).expect("RAM lies within 52 bits");
            FrameRange::new(first, end - first.number(), AddressWidth::MAX).expect("RAM is not empty")
        };
        Self {
            directory: vec![0; GIBS],
            chunks: (0..GIBS).map(|_| Chunk::zeroed()).collect(),
            ram: RAM.into_iter().map(range).collect(),
            pool: Pool::new(blocks),
        }
    }
}

/// Blocks that serve any region.
pub struct Pool {
    blocks: Vec<Block>,
    state: Mutex<State>,
}

struct State {
    free: Vec<u64>,
    misuse: Option<String>,
}

impl Pool {
    fn new(blocks: usize) -> Self {
        let free = (0..blocks as u64).rev().collect();
        Self { blocks: (0..blocks).map(|_| Block::zeroed()).collect(), state: Mutex::new(State { free, misuse: None }) }
    }

    /// How many blocks are out.
    ///
    /// # Panics
    /// If a thread panicked inside the pool.
    pub fn taken(&self) -> usize {
        self.blocks.len() - self.state.lock().expect("pool").free.len()
    }

    /// What was done wrong first, if anything was.
    ///
    /// # Panics
    /// If a thread panicked inside the pool.
    pub fn misuse(&self) -> Option<String> {
        self.state.lock().expect("pool").misuse.clone()
    }

    pub(super) fn is_small(&self) -> bool {
        self.blocks.len() < PLENTY
    }
}

/// A pool on loan to a tracker.
#[derive(Clone, Copy)]
pub struct Lender<'m>(pub(super) &'m Pool);

impl BlockSource for Lender<'_> {
    fn take(&self, _: u64, _: Option<VmSlot>) -> Option<BlockIndex> {
        let index = self.0.state.lock().expect("pool").free.pop()?;
        BlockIndex::new(index)
    }

    fn give_back(&self, block: BlockIndex, _: Option<VmSlot>) {
        let mut state = self.0.state.lock().expect("pool");
        if block.get() >= self.0.blocks.len() as u64 || state.free.contains(&block.get()) {
            state.misuse.get_or_insert(format!("{block:?} was given back without being out"));
            return;
        }
        state.free.push(block.get());
    }

    fn block(&self, index: BlockIndex) -> Option<&Block> {
        self.0.blocks.get(usize::try_from(index.get()).ok()?)
    }
}
