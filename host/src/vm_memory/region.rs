//! The region: consecutive guest frames, a mapping of this process, and the front that converts them.

use super::{Leased, Unleased, Untouchable};
use crate::convert::{Backing, Front};
use crate::lease::{Access, Leases, Patience};
use crate::linux::GuestMemory;
use core::ops::Deref;
use core::ptr::with_exposed_provenance_mut;
use core::time::Duration;
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use tenure_abi::{AddressWidth, Error, FrameRange, Gfn, Visibility};
use vm_memory::{
    FileOffset, GuestAddress, GuestMemoryError, GuestMemoryRegion, GuestUsize, MemoryRegionAddress, VolatileSlice,
};

/// Guest memory of one mapping. Only what is shared can be touched through it.
pub struct Region<B, L> {
    front: Arc<Front<B, Patience<L>>>,
    gfns: FrameRange<Gfn>,
    memory: Arc<GuestMemory>,
    file: Option<FileOffset>,
    patience: Duration,
}

impl<B: Backing, L: Deref<Target = Leases>> Region<B, L> {
    /// `memory`, which the guest sees from frame `first` on. `front` must be the one through which these frames are converted.
    /// `patience` is how long an access waits for a conversion nearby.
    ///
    /// # Errors
    /// `InvalidInput` if the memory is not whole pages or ends beyond 52 bits; what the kernel says to a second descriptor
    /// of the file.
    pub fn new(
        front: Arc<Front<B, Patience<L>>>,
        first: Gfn,
        memory: Arc<GuestMemory>,
        patience: Duration,
    ) -> io::Result<Self> {
        let gfns = FrameRange::from_bytes(first.address(), memory.bytes() as u64, AddressWidth::MAX);
        let gfns = gfns.map_err(|_| io::ErrorKind::InvalidInput)?;
        let file = match memory.file() {
            Some((file, offset)) => Some(FileOffset::new(File::from(file.as_fd().try_clone_to_owned()?), offset)),
            None => None,
        };
        Ok(Self { front, gfns, memory, file, patience })
    }

    /// The front.
    pub fn front(&self) -> &Arc<Front<B, Patience<L>>> {
        &self.front
    }

    /// The mapping, for slots of a VM. Touching it is not checked.
    pub fn memory(&self) -> &Arc<GuestMemory> {
        &self.memory
    }

    /// A lease on `count` bytes, all of which are shared.
    ///
    /// # Errors
    /// [`GuestMemoryError::InvalidBackendAddress`] for no bytes or some outside of the region,
    /// [`GuestMemoryError::InvalidGuestAddress`] for one that nothing backs, [`Untouchable`].
    fn lease(&self, offset: MemoryRegionAddress, count: usize) -> Result<Access<'_>, GuestMemoryError> {
        let outside = GuestMemoryError::InvalidBackendAddress;
        let last = (count as u64).checked_sub(1).and_then(|more| offset.0.checked_add(more));
        let Some(last) = last.filter(|&last| last < self.len()) else { return Err(outside) };
        let begin = self.gfns.first().address() + offset.0;
        let pages = (last >> tenure_abi::PAGE_SHIFT) - (offset.0 >> tenure_abi::PAGE_SHIFT) + 1;
        let rest = self.gfns.rest(offset.0 >> tenure_abi::PAGE_SHIFT);
        let Some(gfns) = rest.and_then(|rest| rest.prefix(pages)) else { return Err(outside) };

        let leases: &Leases = &self.front.leases().leases;
        let converting = |_| Untouchable::Converting(GuestAddress(begin));
        let access = leases.access_within(gfns, self.patience).map_err(converting)?;
        // In this order: what is shared now stays so while the lease is there.
        match self.front.check(gfns, Visibility::Shared) {
            Ok(()) => Ok(access),
            Err((gfn, Error::NotFound)) => Err(GuestMemoryError::InvalidGuestAddress(GuestAddress(gfn.address()))),
            Err((gfn, _)) => Err(Untouchable::Private(GuestAddress(gfn.address().max(begin))).into()),
        }
    }

    fn pointer(&self, offset: MemoryRegionAddress) -> *mut u8 {
        with_exposed_provenance_mut::<u8>(self.memory.address() as usize).wrapping_add(offset.0 as usize)
    }
}

impl<B: Backing, L: Deref<Target = Leases>> GuestMemoryRegion for Region<B, L> {
    type B = Unleased;

    fn len(&self) -> GuestUsize {
        self.memory.bytes() as u64
    }

    fn start_addr(&self) -> GuestAddress {
        GuestAddress(self.gfns.first().address())
    }

    fn bitmap(&self) -> Leased<'_> {
        Leased(None)
    }

    /// The address of a byte that is shared now. It may be private by the time it is used: prefer slices.
    fn get_host_address(&self, offset: MemoryRegionAddress) -> Result<*mut u8, GuestMemoryError> {
        self.lease(offset, 1).map(|_| self.pointer(offset))
    }

    fn file_offset(&self) -> Option<&FileOffset> {
        self.file.as_ref()
    }

    /// `count` bytes, all of them shared as long as the slice is there.
    fn get_slice(
        &self,
        offset: MemoryRegionAddress,
        count: usize,
    ) -> Result<VolatileSlice<'_, Leased<'_>>, GuestMemoryError> {
        let lease = match count {
            0 if offset.0 <= self.len() => Leased(None),
            _ => Leased(Some(self.lease(offset, count)?)),
        };
        // SAFETY: the bytes lie inside the mapping (`lease` has checked it; none do), which is there as long as `self` is.
        // This process and its guests only touch it by volatile accesses.
        Ok(unsafe { VolatileSlice::with_bitmap(self.pointer(offset), count, lease, None) })
    }
}
