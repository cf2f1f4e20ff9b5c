//! The host's stage-2: an identity map that caches what the tracker says.
//!
//! It starts with devices only. The host's first access to a page faults, and the handler maps the page (or its
//! whole 2 MiB, if all of it is the host's to touch) after it has looked at the entry, all under the region's lock. Taking access away
//! means dropping leaves; giving it means nothing at all. Tables down to level 2 are built at init, so a region's lock
//! guards exactly one level-2 entry and the level-3 table behind it.

use super::{Config, Hardware};
use crate::tracker::{BlockSource, Entry, Kind, RegionGuard, Tracker};
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use tenure_abi::{AddressWidth, Error, FrameRange, Gfn, Located, PageSize, Pfn};
use tenure_arch::lock::Locked;
use tenure_arch::pages::{TablePages, TableStack};
use tenure_arch::stage2::{Attributes, Geometry, Lookup, Stage2};
use tenure_arch::tlb::Vttbr;

/// The VMID of the host; VMs have their slot + 1.
pub(super) const HOST_VMID: u16 = 0;

/// What to do about a stage-2 fault of the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostFault {
    /// Return to the instruction: the page is mapped now, or somebody is moving it.
    Retry,
    /// The host may not touch it: the instruction takes an abort.
    Refused,
}

pub(super) struct HostMap<'m, H: Hardware> {
    map: Stage2<'m, H>,
    /// Pages for level-3 tables: a leaf lock.
    tables: Locked<TableStack<'m, H>, H::Lock>,
    /// Where the search for a level-3 table to take back goes on.
    hand: AtomicU64,
    ram: &'m [FrameRange<Pfn>],
}

impl<'m, H: Hardware> HostMap<'m, H> {
    pub(super) fn new(hw: &'m H, config: &Config<'m, H>) -> Result<Self, Located<Error>> {
        let geometry = Geometry::new(config.pa)?;
        #[allow(unsafe_code)]
        // SAFETY: the pages are the hypervisor's own (checked by the caller) and given to this map alone; below,
        // every change is made under the lock of its region, and tables down to level 2 are made here.
        let map = unsafe { Stage2::new(config.host_root, geometry, HOST_VMID, hw)? };
        let mut tables = TableStack::new(hw);
        for i in 0..config.host_tables.count() {
            tables.push(config.host_tables.first().checked_add(i).ok_or(Error::Invalid)?)?;
        }
        for &range in config.devices {
            map.map(same_gfn(range.first())?, range, Attributes::DEVICE_RW, PageSize::Size2M, hw, &mut tables)?;
        }
        for &range in config.ram {
            let guest_side = FrameRange::new(same_gfn(range.first())?, range.count(), config.pa)?;
            map.prepare(guest_side, &mut tables)?;
        }
        // Without any for level 3 the host would fault for ever where pages of a region differ.
        if tables.available() == 0 {
            return Err(Error::NoMemory.into());
        }
        Ok(Self { map, tables: Locked::new(tables), hand: AtomicU64::new(0), ram: config.ram })
    }

    pub(super) fn context(&self) -> Vttbr {
        self.map.context()
    }

    pub(super) fn vtcr(&self, pa: AddressWidth) -> u64 {
        self.map.geometry().vtcr(pa, false)
    }

    /// Takes pages `first .. first + count` away from the host; their regions are locked by the caller.
    ///
    /// When this returns no CPU can reach them through the host's stage-2. A block leaf goes as a whole: the rest
    /// of it comes back by faults.
    #[inline]
    pub(super) fn take(&self, first: u64, count: u64, hw: &H) {
        if let Ok(first) = Gfn::new(first)
            && let Ok(range) = FrameRange::new(first, count, AddressWidth::MAX)
        {
            self.map.forget(range, hw);
        }
    }

    /// Maps what the host may touch around `pfn`, whose region `guard` holds.
    pub(super) fn fault<B: BlockSource>(
        &self,
        tracker: &Tracker<'_, B>,
        guard: &mut RegionGuard<'_, B>,
        pfn: Pfn,
        hw: &H,
    ) -> HostFault {
        let touchable = |entry: Entry| entry.kind().is_some_and(Kind::host_may_touch);
        let entry = guard.entry(pfn);
        if !touchable(entry) {
            return HostFault::Refused;
        }
        let Ok(gfn) = same_gfn(pfn) else { return HostFault::Refused };
        let uniform = guard.uniform().is_some_and(touchable);
        // The record is of the owner's leaves: those of a borrowing host say nothing.
        let record = |guard: &mut RegionGuard<'_, B>, size| {
            if entry.kind() != Some(Kind::GuestSharedHost) {
                guard.set_hardware_size(size);
            }
        };
        // Where pages of a region differ a table mostly stands already.
        if !uniform && self.map.map_page(gfn, pfn, Attributes::NORMAL_RWX, hw) {
            record(guard, PageSize::Size4K);
            return HostFault::Retry;
        }
        if self.map.frame(gfn).is_some() {
            return HostFault::Retry; // Another CPU was faster.
        }
        let region_first = pfn.number() & !(PageSize::Size2M.frames() - 1);
        if uniform
            && let Ok(first) = Pfn::new(region_first)
            && self.map_range(first, PageSize::Size2M.frames(), hw).is_ok()
        {
            // Pages, where an empty table stood.
            if let Lookup::Leaf(leaf) = self.map.lookup(gfn) {
                record(guard, leaf.size);
            }
            return HostFault::Retry;
        }
        for _ in 0..2 {
            match self.map_range(pfn, 1, hw) {
                Err(Error::NoMemory) if self.take_back_a_table(tracker, region_first, hw) => {}
                Ok(()) => {
                    record(guard, PageSize::Size4K);
                    return HostFault::Retry;
                }
                Err(Error::Exists) => return HostFault::Retry,
                Err(_) => break,
            }
        }
        // Every table is in a region that somebody is working on: they will be done.
        HostFault::Retry
    }

    fn map_range(&self, first: Pfn, count: u64, hw: &H) -> Result<(), Error> {
        let frames = FrameRange::new(first, count, AddressWidth::MAX)?;
        let mut tables = self.tables.lock();
        let mapped = self.map.map(same_gfn(first)?, frames, Attributes::NORMAL_RWX, PageSize::Size2M, hw, &mut *tables);
        mapped.map_err(|refused| refused.error)
    }

    /// Takes the level-3 table of some region other than that at `keep` back into the pool; its pages will fault again.
    fn take_back_a_table<B: BlockSource>(&self, tracker: &Tracker<'_, B>, keep: u64, hw: &H) -> bool {
        let step = PageSize::Size2M.frames();
        let regions: u64 = self.ram.iter().map(|r| r.end().div_ceil(step) - r.first().number() / step).sum();
        for _ in 0..regions {
            let Some(at) = self.next_region(regions).filter(|&at| at != keep) else { continue };
            // Not in ascending order, so only tried: a region in other hands is passed over.
            let Some(_guard) = Pfn::new(at).ok().and_then(|pfn| tracker.lock_region(pfn).ok()) else { continue };
            let page = Gfn::new(at).ok().and_then(|gfn| self.map.take_page_table(gfn, hw));
            if let Some(page) = page {
                self.tables.lock().give_back(page);
                return true;
            }
        }
        false
    }

    /// The first frame of the next region of RAM, round and round.
    fn next_region(&self, regions: u64) -> Option<u64> {
        let step = PageSize::Size2M.frames();
        let mut n = self.hand.fetch_add(1, Relaxed).checked_rem(regions)?;
        for range in self.ram {
            let first = range.first().number() / step;
            let count = range.end().div_ceil(step) - first;
            if n < count {
                return Some((first + n) * step);
            }
            n -= count;
        }
        None
    }
}

/// The host's stage-2 is an identity map.
fn same_gfn(pfn: Pfn) -> Result<Gfn, Error> {
    Gfn::new(pfn.number())
}

impl<H: Hardware> super::El2<'_, H> {
    /// Answers a stage-2 fault of the host at physical address `address`.
    pub fn host_fault(&self, address: u64) -> HostFault {
        let Ok(pfn) = Pfn::new(address >> tenure_abi::PAGE_SHIFT) else { return HostFault::Refused };
        match self.tracker.lock_region(pfn) {
            Ok(mut guard) => self.host.fault(&self.tracker, &mut guard, pfn, self.hw),
            Err(Error::Retry) => HostFault::Retry,
            Err(_) => HostFault::Refused,
        }
    }
}
