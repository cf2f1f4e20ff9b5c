//! A pool of blocks that keeps accounts and fails on demand, and a tracker over it.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use tenure_abi::{Error, FrameRange, Located, PageSize, Pfn, VmSlot};
use tenure_hyp::tracker::{Block, BlockIndex, BlockSource, Chunk, Entry, Identity, Tracker, Transition};
use tenure_test_board::pfns;

/// What lies in a block that nobody uses: no entry of any kind.
const JUNK: u64 = 0xdead_beef_dead_bef8;

struct Accounts {
    free: Vec<u64>,
    /// Blocks in use, and who pays.
    out: BTreeMap<u64, Option<VmSlot>>,
    takes: u64,
    /// This take fails, counted from 0.
    fails: Option<u64>,
    failed: u64,
}

/// The pool. Which block a region gets depends on who gave one back last, never on the region.
pub(crate) struct Pool {
    blocks: &'static [Block],
    accounts: Mutex<Accounts>,
}

impl Pool {
    /// `count` blocks, named by numbers that are no region's.
    const FIRST: u64 = 1 << 20;

    fn new(count: u64) -> &'static Self {
        let blocks = Box::leak((0..count).map(|_| Block::zeroed()).collect::<Vec<_>>().into_boxed_slice());
        let free = (0..count).map(|i| Self::FIRST + i).collect();
        let accounts = Accounts { free, out: BTreeMap::new(), takes: 0, fails: None, failed: 0 };
        let pool = Self { blocks, accounts: Mutex::new(accounts) };
        (0..count).for_each(|i| pool.spoil(Self::FIRST + i));
        Box::leak(Box::new(pool))
    }

    fn spoil(&self, block: u64) {
        let words: *const Block = &raw const self.blocks[usize::try_from(block - Self::FIRST).unwrap()];
        // SAFETY: a block is 512 atomic words in `repr(C)` and lives for ever; it is only accessed atomically.
        let words = unsafe { &*words.cast::<[AtomicU64; 512]>() };
        for word in words {
            word.store(JUNK, Relaxed);
        }
    }

    /// From now on the `n`-th take fails, counted from 0; `None`: none does.
    pub(crate) fn fail(&self, n: Option<u64>) {
        let mut accounts = self.accounts.lock().unwrap();
        (accounts.takes, accounts.fails) = (0, n);
    }

    /// How many takes have failed.
    pub(crate) fn failed(&self) -> u64 {
        self.accounts.lock().unwrap().failed
    }

    /// How many blocks are in use.
    pub(crate) fn out(&self) -> usize {
        self.accounts.lock().unwrap().out.len()
    }

    /// How many blocks this guest pays for.
    pub(crate) fn paid_by(&self, slot: u16) -> usize {
        let slot = VmSlot::new(slot).unwrap();
        self.accounts.lock().unwrap().out.values().filter(|&&payer| payer == Some(slot)).count()
    }
}

/// The pool as a tracker has it.
#[derive(Clone, Copy)]
pub(crate) struct Handle(&'static Pool);

impl BlockSource for Handle {
    fn take(&self, _: u64, payer: Option<VmSlot>) -> Option<BlockIndex> {
        let mut accounts = self.0.accounts.lock().unwrap();
        let n = accounts.takes;
        accounts.takes += 1;
        if accounts.fails == Some(n) || accounts.free.is_empty() {
            accounts.failed += 1;
            return None;
        }
        let block = accounts.free.pop()?;
        assert_eq!(accounts.out.insert(block, payer), None);
        BlockIndex::new(block)
    }

    fn give_back(&self, block: BlockIndex, payer: Option<VmSlot>) {
        let mut accounts = self.0.accounts.lock().unwrap();
        assert_eq!(accounts.out.remove(&block.get()), Some(payer), "given back by who does not have it: {block:?}");
        self.0.spoil(block.get());
        accounts.free.push(block.get());
    }

    fn block(&self, index: BlockIndex) -> Option<&Block> {
        assert!(self.0.accounts.lock().unwrap().out.contains_key(&index.get()), "{index:?} is not in use");
        self.0.blocks.get(usize::try_from(index.get() - Pool::FIRST).unwrap())
    }
}

/// First frame of RAM.
pub(crate) const RAM: u64 = 0x40000;
/// Regions of RAM.
pub(crate) const REGIONS: u64 = 4;
/// First frame behind RAM.
pub(crate) const END: u64 = RAM + REGIONS * 512;

pub(crate) fn leak<T>(values: Vec<T>) -> &'static mut [T] {
    Box::leak(values.into_boxed_slice())
}

/// A tracker on any source of blocks.
pub(crate) fn tracker_on<B: BlockSource>(blocks: B) -> Tracker<'static, B> {
    let chunks = leak(vec![Chunk::zeroed()]);
    Tracker::new(leak(vec![0; 2]), chunks, leak(vec![pfns(RAM, REGIONS * 512)]), blocks).unwrap()
}

/// A tracker on a pool.
pub(crate) struct System {
    pub(crate) tracker: Tracker<'static, Handle>,
    pub(crate) pool: &'static Pool,
}

impl System {
    /// With as many blocks as regions.
    pub(crate) fn new() -> Self {
        Self::with(REGIONS)
    }

    pub(crate) fn with(blocks: u64) -> Self {
        let pool = Pool::new(blocks);
        Self { tracker: tracker_on(Handle(pool)), pool }
    }

    pub(crate) fn go(&self, op: Transition, first: u64, count: u64, id: Identity) -> Result<u64, Located<Error>> {
        go(&self.tracker, op, pfns(first, count), id)
    }

    pub(crate) fn entries(&self) -> Vec<(u64, Entry)> {
        entries(&self.tracker)
    }

    /// Asserts that the records are sound and that blocks are in use exactly where pages differ.
    pub(crate) fn sound(&self) {
        let audit = self.tracker.audit(Pfn::new(0).unwrap(), u64::MAX);
        assert_eq!((audit.faults, audit.busy), (0, 0), "{audit:?}");
        assert_eq!(audit.kinds.iter().sum::<u64>(), audit.pages, "a page was lost");
        let mixed = (0..REGIONS).filter(|i| {
            let region = Pfn::new(RAM + i * 512).unwrap();
            self.tracker.lock_region(region).unwrap().uniform().is_none()
        });
        assert_eq!(self.pool.out(), mixed.count(), "blocks in use are those of mixed regions");
    }
}

/// Claims and commits.
pub(crate) fn go<B: BlockSource>(
    tracker: &Tracker<'static, B>,
    op: Transition,
    frames: FrameRange<Pfn>,
    id: Identity,
) -> Result<u64, Located<Error>> {
    let claim = tracker.claim(op, frames, id)?;
    let done = claim.count();
    claim.commit(PageSize::Size4K);
    Ok(done)
}

/// Every page of RAM and its entry; for an interpreter those around the ends of regions, and of the others one in so many.
pub(crate) fn entries<B: BlockSource>(tracker: &Tracker<'static, B>) -> Vec<(u64, Entry)> {
    let looked_at = |page: &u64| !cfg!(miri) || (page + 4) % 512 < 8 || page.is_multiple_of(31);
    let entry = |page| {
        let pfn = Pfn::new(page).unwrap();
        (page, tracker.lock_region(pfn).unwrap().entry(pfn))
    };
    (RAM..END).filter(looked_at).map(entry).collect()
}

/// Guest `slot` at `gfn`.
pub(crate) fn guest(slot: u16, gfn: u64) -> Identity {
    Identity::guest(VmSlot::new(slot).unwrap(), tenure_abi::Gfn::new(gfn).unwrap()).unwrap()
}
