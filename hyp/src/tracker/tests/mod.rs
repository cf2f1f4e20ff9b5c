//! What the tracker promises, on memory of a few regions.

mod audit;
mod matrix;
mod ranges;
mod regions;
mod wide;

use super::{AllAtStart, Block, Chunk, Identity, Tracker, Transition};
use std::boxed::Box;
use std::vec::Vec;
use tenure_abi::{AddressWidth, Error, FrameRange, Gfn, Located, PageSize, Pfn, VmSlot};

pub(super) type TestTracker = Tracker<'static, AllAtStart<'static>>;

pub(super) fn pfns(first: u64, count: u64) -> FrameRange<Pfn> {
    FrameRange::new(Pfn::new(first).unwrap(), count, AddressWidth::MAX).unwrap()
}

/// Blocks of a tracker; under Miri, as far as RAM goes in any test.
const BLOCKS: usize = if cfg!(miri) { 514 } else { 1024 };
/// Of how many pages one is in a snapshot.
const EVERY: usize = if cfg!(miri) { 37 } else { 1 };

/// Memory is leaked: these are tests, and the tracker borrows it for as long as it lives.
pub(super) fn tracker_over(ram: &[FrameRange<Pfn>]) -> Result<TestTracker, Located<Error>> {
    let zeroed = |n: usize| -> &'static mut [u32] { Box::leak(std::vec![0; n].into_boxed_slice()) };
    let chunks: Vec<Chunk> = (0..2).map(|_| Chunk::zeroed()).collect();
    let blocks: Vec<Block> = (0..BLOCKS).map(|_| Block::zeroed()).collect();
    let ram = Box::leak(ram.to_vec().into_boxed_slice());
    Tracker::new(
        zeroed(4),
        Box::leak(chunks.into_boxed_slice()),
        ram,
        AllAtStart::new(Box::leak(blocks.into_boxed_slice())),
    )
}

/// RAM: four whole regions at 0x40000, a hole, then 100 pages that end inside a region.
pub(super) const RAM: u64 = 0x40000;
pub(super) const HOLE: u64 = RAM + 4 * 512;
pub(super) const TAIL: u64 = RAM + 8 * 512;

pub(super) fn tracker() -> TestTracker {
    tracker_over(&[pfns(RAM, 4 * 512), pfns(TAIL, 100)]).unwrap()
}

pub(super) fn guest(slot: u16, gfn: u64) -> Identity {
    Identity::guest(VmSlot::new(slot).unwrap(), Gfn::new(gfn).unwrap()).unwrap()
}

impl TestTracker {
    /// Claim and commit, in 2 MiB hardware entries where it says so.
    pub(super) fn go(&self, op: Transition, first: u64, count: u64, id: Identity) -> Result<u64, Located<Error>> {
        let claim = self.claim(op, pfns(first, count), id)?;
        let done = claim.count();
        claim.commit(PageSize::Size4K);
        Ok(done)
    }

    /// Gives pages to a guest, as many claims as it takes.
    pub(super) fn donate(&self, first: u64, count: u64, slot: u16, gfn: u64) {
        let mut done = 0;
        while done < count {
            done += self.go(Transition::HostDonateGuest, first + done, count - done, guest(slot, gfn + done)).unwrap();
        }
    }

    /// Every entry of RAM (under Miri a sample), bit for bit, to see that nothing changed.
    pub(super) fn snapshot(&self) -> Vec<super::Entry> {
        let pages = (RAM..HOLE).chain(TAIL..TAIL + 512).step_by(EVERY);
        pages.map(|p| self.lock_region(Pfn::new(p).unwrap()).unwrap().entry(Pfn::new(p).unwrap())).collect()
    }

    pub(super) fn sound(&self) {
        let audit = self.audit(Pfn::new(0).unwrap(), u64::MAX);
        assert_eq!((audit.faults, audit.busy, audit.next), (0, 0, None), "{audit:?}");
        assert_eq!(audit.kinds.iter().sum::<u64>(), audit.pages, "a page was lost");
    }
}
