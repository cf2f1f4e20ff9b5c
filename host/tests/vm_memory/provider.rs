//! Eight frames of a file of the provider from guest frame 0x200 on, all shared, and a mapping of ten: nothing backs the last two.

use core::num::NonZeroU32;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use core::time::Duration;
use std::sync::Arc;
use tenure_abi::{
    AddressWidth, ContentMode, Error, FrameRange, Gfn, Located, PageSize, Pfn, Visibility, VmHandle, VmSlot,
};
use tenure_arch::lock::SpinLock;
use tenure_host::convert::{Backing, Front, Request, Stopped, Stretch};
use tenure_host::gmem::{Env, File, FileId, FilePages, Node, Options, SliceNodes, Tracking};
use tenure_host::lease::{AtDeadline, Leases, Patience};
use tenure_host::linux::GuestMemory;
use tenure_host::platform::{Fault, Memory, Phase, Rule, Unenforced};
use tenure_host::vm_memory::{Region, Untouchable};
use vm_memory::{GuestAddress, GuestMemoryError};

/// The first guest frame.
pub(crate) const G: u64 = 0x200;
/// The first guest address.
pub(crate) const BASE: u64 = G << 12;
/// Bytes that the file backs.
pub(crate) const BACKED: u64 = 8 << 12;
/// Bytes of the mapping.
pub(crate) const BYTES: u64 = 10 << 12;

/// Frames, one after the other.
#[derive(Default)]
struct Host(AtomicU64);

impl Memory for Host {
    fn zero(&self, _: FrameRange<Pfn>) {}
    fn copy(&self, _: FrameRange<Pfn>, _: Pfn) {}
}

impl Env for Host {
    type Lock = SpinLock;

    fn page(&self, size: PageSize) -> Option<Pfn> {
        (size == PageSize::Size4K).then(|| Pfn::new(self.0.fetch_add(1, Relaxed)).ok()).flatten()
    }

    fn give_back(&self, _: Pfn, _: PageSize) {}
    fn withdraw(&self, _: Pfn, _: PageSize, _: Fault) {}
    fn zap_host(&self, _: FileId, _: FilePages) {}
    fn zap_guest(&self, _: VmHandle, _: FrameRange<Gfn>) {}
    fn flush_guests(&self) {}
    fn drain_references(&self) {}

    fn first_held(&self, _: FrameRange<Pfn>) -> Option<u64> {
        None
    }

    fn pause(&self, _: u32) -> bool {
        false
    }
}

/// A file of the provider as the backing of a front.
pub(crate) struct Provided<'f>(File<'f, Host, Unenforced<'f, Host>, SliceNodes<'f>, 4>);

impl Backing for Provided<'_> {
    type File = ();

    fn find(&self, gfn: Gfn) -> Option<Stretch<()>> {
        let page = gfn.number().checked_sub(G).filter(|&page| page < BACKED >> 12)?;
        let gfns = FrameRange::new(gfn, (BACKED >> 12) - page, AddressWidth::MAX).ok()?;
        Some(Stretch { gfns, file: (), offset: page << 12 })
    }

    fn rule(&self, (): &(), _: Visibility, _: ContentMode) -> Rule {
        Rule::Free
    }

    fn is(&self, stretch: &Stretch<()>, to: Visibility) -> bool {
        (0..stretch.gfns.count()).all(|page| self.0.visibility(stretch.offset + (page << 12)) == Ok(to))
    }

    fn convert(&self, stretch: &Stretch<()>, to: Visibility, mode: ContentMode) -> Result<(), Located<Error>> {
        self.0.convert(self.0.pages(stretch.offset, stretch.gfns.count() << 12)?, to, mode)
    }
}

/// The region under test.
pub(crate) type TestRegion<'f> = Region<Provided<'f>, &'f Leases>;

/// Builds the region and hands it to `f`. Neither revokers nor takers wait.
pub(crate) fn with_region(f: impl FnOnce(TestRegion<'_>)) {
    let host = Host::default();
    let platform = Unenforced::new(&host);
    let leases = Leases::new();
    let mut nodes = vec![Node::ZERO; 4];
    let options = Options { initially: Visibility::Shared, tracking: Tracking::File, largest: PageSize::Size4K };
    let file = File::new(FileId(1), BACKED, options, &host, &platform, SliceNodes::new(&mut nodes)).unwrap();
    let guest = VmHandle::new(VmSlot::new(1).unwrap(), NonZeroU32::MIN);
    file.bind(guest, Gfn::new(G).unwrap(), file.all(), Phase::Running).unwrap();
    let patience = Patience { leases: &leases, patience: Duration::ZERO, at_deadline: AtDeadline::Refuse };
    let front = Arc::new(Front::new(Provided(file), patience));
    let memory = Arc::new(GuestMemory::memfd(BYTES as usize).unwrap());
    f(Region::new(front, Gfn::new(G).unwrap(), memory, Duration::ZERO).unwrap());
}

/// Converts `count` pages from the one of this number on.
pub(crate) fn convert(region: &TestRegion<'_>, page: u64, count: u64, to: Visibility) -> Result<(), Stopped> {
    let gfns = FrameRange::new(Gfn::new(G + page).unwrap(), count, AddressWidth::MAX).unwrap();
    region.front().convert(Request { gfns, to }, ContentMode::Unspecified)
}

/// The address that an error says is private.
pub(crate) fn private<T>(result: Result<T, GuestMemoryError>) -> Option<u64> {
    match Untouchable::of(&result.err()?)? {
        Untouchable::Private(GuestAddress(at)) => Some(at),
        Untouchable::Converting(_) => None,
    }
}
