//! One region: a slot, the file and the mapping behind it, and the record of its pages.

use super::kernel::{Failed, Kernel, Slot};
use super::pages::Pages;
use core::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tenure_abi::gmem::{Attributes, MemoryAttributes};
use tenure_abi::{FrameRange, Gfn, PAGE_SHIFT, Visibility};

/// Names a region; never used again, also when a slot's number is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RegionId(pub(super) u64);

/// A region, for as long as somebody works on it; it may be removed meanwhile.
pub struct Handle<K: Kernel>(pub(super) Arc<Region<K>>);

impl<K: Kernel> Clone for Handle<K> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

/// Whether a region is still there. Whoever changes it holds this.
pub(super) struct Alive(pub(super) bool);

/// Memory that one slot shows.
pub(super) struct Region<K: Kernel> {
    pub(super) id: RegionId,
    pub(super) slot: u32,
    pub(super) gfns: FrameRange<Gfn>,
    pub(super) file: Option<Arc<K::File>>,
    pub(super) memory: Arc<K::Memory>,
    pub(super) pages: Pages,
    alive: Mutex<Alive>,
}

impl<K: Kernel> Region<K> {
    pub(super) fn new(
        (id, slot): (RegionId, u32),
        gfns: FrameRange<Gfn>,
        file: Option<Arc<K::File>>,
        memory: K::Memory,
        all: Visibility,
    ) -> Self {
        let (memory, alive) = (Arc::new(memory), Mutex::new(Alive(true)));
        Self { id, slot, gfns, file, memory, pages: Pages::new(gfns.count(), all), alive }
    }

    /// Its place in the region.
    #[inline]
    pub(super) fn page(&self, gfn: Gfn) -> u64 {
        gfn.number() - self.gfns.first().number()
    }

    /// The places of frames; `None` if they are not all in the region.
    #[inline]
    pub(super) fn range(&self, gfns: FrameRange<Gfn>) -> Option<Range<u64>> {
        let first = gfns.first().number().checked_sub(self.gfns.first().number())?;
        let end = first + gfns.count();
        (end <= self.gfns.count()).then_some(first..end)
    }

    /// Until the guard is dropped nobody else changes the region.
    #[inline]
    pub(super) fn lock(&self) -> MutexGuard<'_, Alive> {
        // Nothing panics while a region is half changed.
        self.alive.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Shows it to the guest.
    pub(super) fn show(&self, kernel: &K) -> Result<(), Failed> {
        kernel.set_slot(&Slot {
            number: self.slot,
            gpa: self.gfns.first().address(),
            bytes: self.gfns.count() << PAGE_SHIFT,
            memory: &self.memory,
            file: self.file.as_deref(),
        })
    }

    /// Has the VM treat pages as `to`.
    #[inline]
    pub(super) fn attributes(&self, kernel: &K, pages: &Range<u64>, to: Visibility) -> Result<(), Failed> {
        let gpa = self.gfns.first().address() + (pages.start << PAGE_SHIFT);
        kernel.set_attributes(&MemoryAttributes::new(gpa, (pages.end - pages.start) << PAGE_SHIFT, attributes(to)))
    }
}

/// `to` in the kernel's words.
pub(super) const fn attributes(to: Visibility) -> Attributes {
    match to {
        Visibility::Private => Attributes::PRIVATE,
        Visibility::Shared => Attributes::empty(),
    }
}
