//! The back of a conversion on the platform that enforces nothing: 2 MiB to private and back, over what a bare walk of the
//! same pages costs.
//!
//! The file is the provider's; its integrator does nothing but look at one reference counter a frame, as a kernel does
//! at a folio. The bare walk is the least that any provider has to do for pages that lie apart: find each page's frame
//! in its record and look at that frame's counter. What a real zap, flush or TLB shootdown costs is in neither.

use crate::{SAMPLES, figure, median};
use core::num::NonZeroU32;
use std::hint::black_box;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Instant;
use tenure_abi::{ContentMode, FrameRange, Gfn, PageSize, Pfn, Visibility, VmHandle, VmSlot};
use tenure_arch::lock::SpinLock;
use tenure_host::gmem::index::Index;
use tenure_host::gmem::{Env, File, FileId, FilePages, Node, Options, SliceNodes, Tracking};
use tenure_host::platform::{Fault, Memory, Phase, Unenforced};

/// Pages of the file, and frames there are.
pub(crate) const PAGES: u64 = 512;
/// Calls of a sample.
const CALLS: u32 = 100;
/// Frames lie this far apart, so that no two pages are neighbours.
pub(crate) const APART: u64 = 3;

/// An integrator with reference counters and nothing else.
pub(crate) struct Host {
    references: Vec<AtomicU32>,
    next: AtomicU64,
    apart: u64,
}

impl Host {
    pub(crate) fn new(apart: u64) -> Self {
        let references = (0..PAGES * APART + PAGES).map(|_| AtomicU32::new(1)).collect();
        Self { references, next: AtomicU64::new(0), apart }
    }
}

impl Memory for Host {
    fn zero(&self, _: FrameRange<Pfn>) {}
    fn copy(&self, _: FrameRange<Pfn>, _: Pfn) {}
}

impl Env for Host {
    type Lock = SpinLock;

    fn page(&self, size: PageSize) -> Option<Pfn> {
        let first = self.next.fetch_add(size.frames() * self.apart, Relaxed);
        (size == PageSize::Size4K || self.apart == 1).then(|| Pfn::new(first).ok()).flatten()
    }

    fn give_back(&self, _: Pfn, _: PageSize) {}
    fn withdraw(&self, _: Pfn, _: PageSize, _: Fault) {}
    fn zap_host(&self, _: FileId, _: FilePages) {}
    fn zap_guest(&self, _: VmHandle, _: FrameRange<Gfn>) {}
    fn flush_guests(&self) {}
    fn drain_references(&self) {}

    fn first_held(&self, frames: FrameRange<Pfn>) -> Option<u64> {
        let first = frames.first().number() as usize;
        let held =
            self.references[first..][..frames.count() as usize].iter().position(|count| count.load(Relaxed) != 1);
        held.map(|at| at as u64)
    }

    fn pause(&self, _: u32) -> bool {
        false
    }
}

/// What a conversion of 2 MiB costs, in nanoseconds.
struct Times {
    /// Half a round trip.
    half: f64,
    /// One way and the other, with what reading the clock costs.
    to_private: f64,
    to_shared: f64,
}

/// Conversions of 2 MiB with frames of `largest`, `apart` from each other.
fn conversions(largest: PageSize, apart: u64) -> Times {
    let host = Host::new(apart);
    let platform = Unenforced::new(&host);
    let mut nodes = vec![Node::ZERO; 16];
    let options = Options { initially: Visibility::Shared, tracking: Tracking::File, largest };
    let file: File<'_, _, _, _, 4> =
        File::new(FileId(1), PAGES << 12, options, &host, &platform, SliceNodes::new(&mut nodes)).expect("a file");
    let guest = VmHandle::new(VmSlot::new(1).expect("a slot"), NonZeroU32::MIN);
    file.bind(guest, Gfn::new(PAGES).expect("a frame"), file.all(), Phase::Running).expect("a binding");
    file.allocate(file.all()).expect("frames");
    for page in 0..PAGES {
        file.host_fault(page << 12, black_box).expect("a mapping");
    }
    let convert = |to| {
        black_box(file.convert(file.all(), to, ContentMode::Unspecified)).expect("nobody holds it");
    };
    let mut to = Visibility::Shared;
    let half = median(CALLS, || {
        to = if to == Visibility::Shared { Visibility::Private } else { Visibility::Shared };
        convert(to);
    });
    // An even number of calls: all is shared again.
    let directions = [Visibility::Private, Visibility::Shared];
    let mut times = [[0.0; SAMPLES]; 2];
    for sample in 0..SAMPLES {
        for _ in 0..CALLS {
            for (to, times) in directions.into_iter().zip(&mut times) {
                let start = Instant::now();
                convert(to);
                times[sample] += start.elapsed().as_secs_f64() * 1e9 / f64::from(CALLS);
            }
        }
    }
    let [to_private, to_shared] = times.map(|mut times| {
        times.sort_by(f64::total_cmp);
        times[SAMPLES / 2]
    });
    Times { half, to_private, to_shared }
}

/// What a walk of 512 pages that lie apart costs.
fn bare_walk() -> f64 {
    let host = Host::new(APART);
    let mut nodes = vec![Node::ZERO; 16];
    let mut nodes = SliceNodes::new(&mut nodes);
    let mut index = Index::new(PAGES).expect("an index");
    for page in 0..PAGES {
        let pfn = host.page(PageSize::Size4K).expect("a frame");
        index.fill(&mut nodes, page, PageSize::Size4K, tenure_host::gmem::Entry::backed(pfn)).expect("room");
    }
    median(CALLS, || {
        for page in 0..PAGES {
            let (entry, _) = black_box(index.get(&nodes, page)).expect("backed");
            assert_eq!(black_box(host.first_held(FrameRange::single(entry.pfn()))), None);
        }
    })
}

/// Prints the figures: half a round trip is one conversion.
pub(crate) fn times() {
    let (apart, together) = (conversions(PageSize::Size4K, APART), conversions(PageSize::Size2M, 1));
    let walk = bare_walk();
    figure("gmem.convert_2m_scattered", apart.half, "ns");
    figure("gmem.convert_2m_scattered_to_private", apart.to_private, "ns");
    figure("gmem.convert_2m_scattered_to_shared", apart.to_shared, "ns");
    figure("gmem.convert_2m_one_frame", together.half, "ns");
    figure("gmem.bare_walk_2m", walk, "ns");
    figure("gmem.convert_2m_over_bare_walk", apart.half / walk, "ratio");
}
