//! Adding and removing memory: at start, and while the guest runs.

use super::Ram;
use super::kernel::{Failed, Kernel, Plain};
use super::region::{Region, RegionId};
use super::strategy::Strategy;
use std::sync::{Arc, PoisonError};
use tenure_abi::gmem::CreateFlags;
use tenure_abi::{AddressWidth, Errno, FrameRange, Gfn, PAGE_SHIFT, Visibility};

/// What backs a region: its file, if it has one, and its mapping.
type Backed<K> = (Option<Arc<<K as Kernel>::File>>, <K as Kernel>::Memory);

impl<K: Kernel> Ram<K> {
    /// Gives the guest memory at `gfns`, all of it `initially` private or shared. A measured guest's memory starts private.
    ///
    /// # Errors
    /// Nothing was added. `EOPNOTSUPP` for a visibility that the strategy does not have, `EINVAL` beyond 48 bits, `EEXIST` if
    /// there is memory already, `ENOMEM` without a free slot; otherwise what the kernel says.
    pub fn add(&self, gfns: FrameRange<Gfn>, initially: Visibility) -> Result<RegionId, Failed> {
        let refused = |errno| Failed::new("add memory", errno);
        let offered = match self.strategy {
            Strategy::SharedOnly { .. } => initially == Visibility::Shared,
            Strategy::Protected => initially == Visibility::Private,
            Strategy::InPlace { .. } | Strategy::TwoBackings => true,
        };
        if !offered {
            return Err(refused(Errno::EOPNOTSUPP));
        }
        if gfns.end() > AddressWidth::GUEST_MAX.frames() {
            return Err(refused(Errno::EINVAL));
        }
        let mut regions = self.regions.write().unwrap_or_else(PoisonError::into_inner);
        let place = regions.partition_point(|region| region.gfns.first() < gfns.first());
        let before = place.checked_sub(1).and_then(|before| regions.get(before));
        let overlaps = before.is_some_and(|region| region.gfns.end() > gfns.first().number())
            || regions.get(place).is_some_and(|region| gfns.end() > region.gfns.first().number());
        if overlaps {
            return Err(refused(Errno::EEXIST));
        }
        let free = |number: &u32| regions.iter().all(|region| region.slot != *number);
        let slot = self.slots.clone().find(free).ok_or(refused(Errno::ENOMEM))?;
        let (file, memory) = self.noted(self.back(gfns.count() << PAGE_SHIFT, initially))?;
        let region = Arc::new(Region::new((self.next_id(), slot), gfns, file, memory, initially));
        self.noted(self.begin(&region, initially))?;
        let id = region.id;
        regions.insert(place, region);
        Ok(id)
    }

    /// Takes the memory that begins at `first` away from the guest. Its contents are lost; its mapping lives until the last user
    /// of it lets go. End the leases on it first: [`crate::convert::Front::remove`] does.
    ///
    /// # Errors
    /// `ENOENT` if no memory begins there; otherwise what the kernel says: nothing was removed, or (an error of
    /// `KVM_SET_MEMORY_ATTRIBUTES`) the memory is gone and the guest's accesses there are memory faults instead of device accesses,
    /// until memory is added again.
    pub fn remove(&self, first: Gfn) -> Result<(), Failed> {
        let mut regions = self.regions.write().unwrap_or_else(PoisonError::into_inner);
        let place = regions.iter().position(|region| region.gfns.first() == first);
        let place = place.ok_or(Failed::new("remove memory", Errno::ENOENT))?;
        let region = Arc::clone(&regions[place]);
        let mut alive = region.lock();
        self.noted(self.kernel.delete_slot(region.slot))?;
        alive.0 = false;
        regions.remove(place);
        if self.strategy == Strategy::TwoBackings {
            self.noted(region.attributes(&self.kernel, &(0..region.gfns.count()), Visibility::Shared))?;
        }
        Ok(())
    }

    fn next_id(&self) -> RegionId {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        *next += 1;
        RegionId(*next)
    }

    /// The file and the mapping of a new region.
    fn back(&self, bytes: u64, initially: Visibility) -> Result<Backed<K>, Failed> {
        let kernel = &self.kernel;
        let mapped = |flags| {
            let file = Arc::new(kernel.create_file(bytes, flags)?);
            let memory = kernel.map_file(&file, bytes)?;
            Ok((Some(file), memory))
        };
        let shared = match initially {
            Visibility::Private => CreateFlags::empty(),
            Visibility::Shared => CreateFlags::INIT_SHARED,
        };
        match self.strategy {
            Strategy::InPlace { .. } | Strategy::SharedOnly { file: true } => mapped(CreateFlags::MMAP | shared),
            Strategy::TwoBackings => {
                let file = Arc::new(kernel.create_file(bytes, CreateFlags::empty())?);
                Ok((Some(file), kernel.plain(bytes, Plain::File)?))
            }
            Strategy::SharedOnly { file: false } => Ok((None, kernel.plain(bytes, Plain::File)?)),
            Strategy::Protected => Ok((None, kernel.plain(bytes, Plain::Anonymous)?)),
        }
    }

    /// The guest sees the region: as it shall be from its first access on.
    fn begin(&self, region: &Region<K>, initially: Visibility) -> Result<(), Failed> {
        let all = 0..region.gfns.count();
        let by_address = self.strategy == Strategy::TwoBackings;
        if by_address {
            region.attributes(&self.kernel, &all, initially)?;
        }
        region.show(&self.kernel).inspect_err(|_| {
            if by_address && initially == Visibility::Private {
                // Without memory there a leftover would only turn device accesses into memory faults.
                let _ = region.attributes(&self.kernel, &all, Visibility::Shared);
            }
        })
    }
}
