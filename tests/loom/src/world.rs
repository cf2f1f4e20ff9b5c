//! A small machine: four regions of four pages, two to a lock word, blocks that move between them, one access bit a page.

use loom::cell::UnsafeCell;
use loom::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;
use tenure_abi::{AddressWidth, Error, FrameRange, Gfn, Pfn, VmSlot};
use tenure_hyp::tracker::layout::REGION_PAGES;
use tenure_hyp::tracker::{Block, BlockIndex, BlockSource, Chunk, Entry, Identity, Kind, Tracker};

/// Regions of the machine.
pub const REGIONS: u64 = 4;
/// Its pages, from frame 0 on.
pub const PAGES: u64 = REGIONS * REGION_PAGES;
const BLOCKS: usize = 4;

/// Blocks for any region. They come back as they are, so a stale entry read from one is an entry of another region.
pub struct Pool {
    /// On the heap one by one: a thread of a model has little stack.
    blocks: Vec<Block>,
    free: AtomicU64,
}

/// A pool on loan to the tracker.
pub struct Lender(&'static Pool);

impl BlockSource for Lender {
    fn take(&self, _: u64, _: Option<VmSlot>) -> Option<BlockIndex> {
        let mut free = self.0.free.load(Ordering::Relaxed);
        while free != 0 {
            let lowest = free & free.wrapping_neg();
            match self.0.free.compare_exchange(free, free ^ lowest, Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) => return BlockIndex::new(u64::from(lowest.trailing_zeros())),
                Err(now) => free = now,
            }
        }
        None
    }

    fn give_back(&self, block: BlockIndex, _: Option<VmSlot>) {
        let before = self.0.free.fetch_or(1 << block.get(), Ordering::Release);
        assert_eq!(before >> block.get() & 1, 0, "{block:?} was given back twice");
    }

    fn block(&self, index: BlockIndex) -> Option<&Block> {
        self.0.blocks.get(usize::try_from(index.get()).ok()?)
    }
}

struct Memory {
    directory: [u32; 1],
    chunks: Vec<Chunk>,
    ram: [FrameRange<Pfn>; 1],
    pool: Pool,
}

/// A machine of one execution of a model.
pub struct World {
    /// What is checked.
    pub tracker: Tracker<'static, Lender>,
    pool: &'static Pool,
    /// Which pages of a region the host's stage-2 maps; guarded by the region's lock.
    host: [UnsafeCell<[bool; REGION_PAGES as usize]>; REGIONS as usize],
    /// A page's bytes: guarded by who may touch the page.
    bytes: [UnsafeCell<u64>; PAGES as usize],
    memory: *mut Memory,
}

// SAFETY: the cells are what loom watches: it ends the model where two threads reach one unordered. `memory` is only
// used by the drop, when no other reference is left.
unsafe impl Send for World {}
// SAFETY: as above.
unsafe impl Sync for World {}

impl World {
    /// The host owns everything, and maps nothing yet.
    pub fn new() -> Arc<Self> {
        let memory = Box::into_raw(Box::new(Memory {
            directory: [0],
            chunks: vec![Chunk::zeroed()],
            ram: [pages(0, PAGES)],
            pool: Pool {
                blocks: (0..BLOCKS).map(|_| Block::zeroed()).collect(),
                free: AtomicU64::new((1 << BLOCKS) - 1),
            },
        }));
        // SAFETY: just made, and freed only by the drop of the world that holds everything borrowed from it.
        let Memory { directory, chunks, ram, pool } = unsafe { &mut *memory };
        let (chunks, ram, pool): (&'static [Chunk], &'static [_], &'static Pool) = (chunks, ram, pool);
        let tracker = Tracker::new(directory, chunks, ram, Lender(pool)).unwrap();
        let host = core::array::from_fn(|_| UnsafeCell::new([false; REGION_PAGES as usize]));
        let bytes = core::array::from_fn(|_| UnsafeCell::new(0));
        Arc::new(Self { tracker, pool, host, bytes, memory })
    }

    /// The host's access bit of `page`, whose region the caller has locked.
    pub fn host_bit<R>(&self, page: u64, f: impl FnOnce(&mut bool) -> R) -> R {
        let region = &self.host[(page / REGION_PAGES) as usize];
        region.with_mut(|bits| {
            // SAFETY: loom ends the model before this if another thread's access is not ordered with this one.
            let bits = unsafe { &mut *bits };
            f(&mut bits[(page % REGION_PAGES) as usize])
        })
    }

    /// The bytes of `page`, by somebody who may touch them or holds the page.
    pub fn bytes<R>(&self, page: u64, f: impl FnOnce(&mut u64) -> R) -> R {
        self.bytes[page as usize].with_mut(|bytes| {
            // SAFETY: as in `host_bit`.
            f(unsafe { &mut *bytes })
        })
    }

    /// The entry of `page`.
    ///
    /// # Errors
    /// The tracker's.
    pub fn entry(&self, page: u64) -> Result<Entry, Error> {
        let pfn = Pfn::new(page)?;
        Ok(self.tracker.lock_region(pfn)?.entry(pfn))
    }

    /// The kind of `page`, when nobody is at work.
    pub fn kind(&self, page: u64) -> Kind {
        self.entry(page).unwrap().kind().unwrap()
    }

    /// Ends an execution: everything is unlocked, sound and accounted for, the hardware gives the host no page that the
    /// entries do not, and every block is in use or in the pool. Returns the kinds of all pages.
    pub fn settled(&self) -> Vec<Kind> {
        let audit = self.tracker.audit(Pfn::new(0).unwrap(), u64::MAX);
        assert_eq!((audit.faults, audit.busy, audit.next), (0, 0, None), "{audit:?}");
        assert_eq!(audit.kinds.iter().sum::<u64>(), PAGES, "a page was lost");
        let kinds: Vec<Kind> = (0..PAGES).map(|page| self.kind(page)).collect();
        for (page, kind) in (0..PAGES).zip(&kinds) {
            let mapped = self.host_bit(page, |bit| *bit);
            assert!(!mapped || kind.host_may_touch(), "the host reaches page {page}, which is {kind:?}");
        }
        let out = BLOCKS as u32 - self.pool.free.load(Ordering::Relaxed).count_ones();
        let mixed = (0..REGIONS).map(|r| Pfn::new(r * REGION_PAGES).unwrap());
        let mixed = mixed.filter(|&pfn| self.tracker.lock_region(pfn).unwrap().uniform().is_none()).count();
        assert_eq!(out as usize, mixed, "blocks were lost");
        kinds
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // SAFETY: made by `Box::into_raw`; what the fields borrow from it has no drop of its own, and nobody else holds any.
        drop(unsafe { Box::from_raw(self.memory) });
    }
}

/// `count` frames from `first`.
pub fn pages(first: u64, count: u64) -> FrameRange<Pfn> {
    FrameRange::new(Pfn::new(first).unwrap(), count, AddressWidth::MAX).unwrap()
}

/// The guest of slot `slot`, at `gfn`.
pub fn guest(slot: u16, gfn: u64) -> Identity {
    Identity::guest(VmSlot::new(slot).unwrap(), Gfn::new(gfn).unwrap()).unwrap()
}
