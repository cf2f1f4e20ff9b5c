//! A tracker whose words and entries the test can overwrite, to reach states that no number of calls reaches.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use tenure_abi::{Error, FrameRange, Located, PageSize, Pfn};
use tenure_hyp::tracker::{AllAtStart, Block, Chunk, Entry, Identity, Tracker, Transition};
use tenure_test_board::pfns;

/// A tracker over `ram` within the first 4 GiB; chunk 0 is the first GiB that has any.
pub(crate) struct Raw {
    pub(crate) tracker: Tracker<'static, AllAtStart<'static>>,
    blocks: &'static [Block],
}

fn leak<T>(values: Vec<T>) -> &'static mut [T] {
    Box::leak(values.into_boxed_slice())
}

impl Raw {
    pub(crate) fn new(ram: &[FrameRange<Pfn>]) -> Self {
        let blocks: &'static [Block] = leak((0..1024).map(|_| Block::zeroed()).collect());
        let chunks = leak((0..2).map(|_| Chunk::zeroed()).collect());
        let tracker = Tracker::new(leak(vec![0; 4]), chunks, leak(ram.to_vec()), AllAtStart::new(blocks)).unwrap();
        Self { tracker, blocks }
    }

    /// Overwrites the entry of page `page` of region `region`, which is mixed.
    pub(crate) fn overwrite(&self, region: usize, page: usize, bits: u64) {
        let words: *const Block = &raw const self.blocks[region];
        // SAFETY: a block is 512 atomic words in `repr(C)` and lives for ever; it is only accessed atomically.
        let words = unsafe { &*words.cast::<[AtomicU64; 512]>() };
        words[page].store(bits, Relaxed);
    }

    pub(crate) fn go(&self, op: Transition, first: u64, count: u64, id: Identity) -> Result<u64, Located<Error>> {
        let claim = self.tracker.claim(op, pfns(first, count), id)?;
        let done = claim.count();
        claim.commit(PageSize::Size4K);
        Ok(done)
    }

    pub(crate) fn entry(&self, page: u64) -> Entry {
        let pfn = Pfn::new(page).unwrap();
        self.tracker.lock_region(pfn).unwrap().entry(pfn)
    }

    pub(crate) fn sound(&self) {
        let audit = self.tracker.audit(Pfn::new(0).unwrap(), u64::MAX);
        assert_eq!((audit.faults, audit.busy, self.tracker.contradictions()), (0, 0, 0), "{audit:?}");
        assert_eq!(audit.kinds.iter().sum::<u64>(), audit.pages);
    }
}
