//! The memory of one guest, for a VMM: slots, what backs them, and conversions, over a kernel with KVM's requests.
//!
//! [`Ram`] owns the guest memory files, their mappings and the slots that show them to the guest, and is the
//! [`Backing`](crate::convert::Backing) of a [`Front`](crate::convert::Front). What differs between kernels is a
//! [`Strategy`], found by trying ([`Offers::probe`]), never by version:
//!
//! | strategy | private memory | shared memory | a conversion |
//! |---|---|---|---|
//! | [`InPlace`](Strategy::InPlace) | the file | the same pages of the file, mapped | one request on the file |
//! | [`TwoBackings`](Strategy::TwoBackings) | a file that nobody can map | a memory file of the VMM | attributes of the VM, then the side that is no longer used is freed |
//! | [`SharedOnly`](Strategy::SharedOnly) | none | a file if there are any, else a memory file of the VMM | there is none |
//! | [`Protected`](Strategy::Protected) | the same pages, for the hypervisor to decide | the same pages | the guest's own doing, by hypercall |
//!
//! All methods take `&self`, from any thread. Conversions of different regions run side by side, those of one region
//! one after the other; no lock is held while a vCPU runs. The kernel has no request that says what is private: this is the
//! record, so nobody else may change attributes of this memory.
//!
//! | module | what |
//! |---|---|
//! | `kernel` | the requests this needs, and nothing more |
//! | `strategy` | what a kernel offers, and what follows |
//! | `region` | one slot and what backs it |
//! | `pages` | the record of one region's pages |
//! | `table` | adding and removing memory, also while the guest runs |
//! | `convert` | conversions, and the balloon |
//! | `users` | the same where others use the memory too |

mod convert;
mod kernel;
mod pages;
mod region;
mod strategy;
mod table;
mod users;

pub use kernel::{Failed, Kernel, Plain, Slot};
pub use region::{Handle, RegionId};
pub use strategy::{Offers, Strategy};

use core::ops::Range;
use region::Region;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::vec::Vec;
use tenure_abi::{FrameRange, Gfn, Visibility};

/// The memory of one guest.
pub struct Ram<K: Kernel> {
    kernel: K,
    strategy: Strategy,
    /// The numbers of slots that are ours.
    slots: Range<u32>,
    /// In the order of guest addresses, none overlapping.
    regions: RwLock<Vec<Arc<Region<K>>>>,
    next: Mutex<u64>,
    last_failure: Mutex<Option<Failed>>,
}

impl<K: Kernel> Ram<K> {
    /// No memory yet, for the VM that `kernel` is of; memory gets the slots `slots`, which nobody else uses.
    pub fn new(kernel: K, strategy: Strategy, slots: Range<u32>) -> Self {
        let (regions, next, last_failure) = (RwLock::default(), Mutex::new(0), Mutex::new(None));
        Self { kernel, strategy, slots, regions, next, last_failure }
    }

    /// The kernel.
    pub const fn kernel(&self) -> &K {
        &self.kernel
    }

    /// How its memory is backed.
    pub const fn strategy(&self) -> Strategy {
        self.strategy
    }

    /// The mapping that shows the shared side of `gfn` to this process, and the byte in it; `None` without memory there.
    ///
    /// Touching a page of it that is private reads nothing of the guest's; where the strategy is in place or protected it raises a
    /// signal. Hold an [`Access`](crate::lease::Access) and ask [`Ram::visibility`] first.
    pub fn memory(&self, gfn: Gfn) -> Option<(Arc<K::Memory>, u64)> {
        let region = self.at(gfn)?;
        let offset = region.page(gfn) << tenure_abi::PAGE_SHIFT;
        Some((Arc::clone(&region.memory), offset))
    }

    /// How a frame is seen; `None` without memory there, and in protected guests, which do not tell.
    pub fn visibility(&self, gfn: Gfn) -> Option<Visibility> {
        let region = self.at(gfn).filter(|_| self.strategy != Strategy::Protected)?;
        Some(region.pages.visibility(region.page(gfn)))
    }

    /// Where there is memory, in the order of addresses.
    pub fn map(&self) -> Vec<FrameRange<Gfn>> {
        self.regions().iter().map(|region| region.gfns).collect()
    }

    /// The call that failed last, with the kernel's own errno: what [`tenure_abi::Error`] says in fewer words.
    pub fn last_failure(&self) -> Option<Failed> {
        *self.last_failure.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps what the kernel said.
    #[inline]
    fn noted<T>(&self, result: Result<T, Failed>) -> Result<T, Failed> {
        result.inspect_err(|failed| self.note(*failed))
    }

    #[cold]
    fn note(&self, failed: Failed) {
        *self.last_failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(failed);
    }

    fn regions(&self) -> std::sync::RwLockReadGuard<'_, Vec<Arc<Region<K>>>> {
        // Nothing panics while the table is half changed.
        self.regions.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The region that `gfn` is in.
    #[inline]
    fn at(&self, gfn: Gfn) -> Option<Arc<Region<K>>> {
        let regions = self.regions();
        let after = regions.partition_point(|region| region.gfns.first() <= gfn);
        regions.get(after.checked_sub(1)?).filter(|region| region.gfns.contains(gfn)).cloned()
    }
}
