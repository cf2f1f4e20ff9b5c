//! Memory for a tracker.

use tenure_abi::{AddressWidth, FrameRange, Pfn};
use tenure_hyp::tracker::{AllAtStart, Block, Chunk, Tracker};

/// First page of RAM.
pub(crate) const RAM: u64 = 1 << 18;
/// Pages of a GiB.
pub(crate) const GIB_PAGES: u64 = 1 << 18;

pub(crate) fn pfn(number: u64) -> Pfn {
    Pfn::new(number).expect("a frame")
}

pub(crate) fn pfns(first: u64, count: u64) -> FrameRange<Pfn> {
    FrameRange::new(pfn(first), count, AddressWidth::MAX).expect("a range")
}

/// RAM in so many ranges of a GiB each, a GiB apart.
pub(crate) struct Machine {
    tracker: Tracker<'static, AllAtStart<'static>>,
}

impl Machine {
    pub(crate) fn new(ranges: u64) -> Self {
        let ram: Vec<_> = (0..ranges).map(|i| pfns(RAM + 2 * i * GIB_PAGES, GIB_PAGES)).collect();
        let chunks: Vec<_> = (0..ranges).map(|_| Chunk::zeroed()).collect();
        let blocks: Vec<_> = (0..512).map(|_| Block::zeroed()).collect();
        let directory = Vec::leak(vec![0; 2 * ranges as usize + 1]);
        let tracker = Tracker::new(directory, Vec::leak(chunks), Vec::leak(ram), AllAtStart::new(Vec::leak(blocks)));
        Self { tracker: tracker.expect("a tracker") }
    }

    pub(crate) fn tracker(&self) -> &Tracker<'static, AllAtStart<'static>> {
        &self.tracker
    }
}
