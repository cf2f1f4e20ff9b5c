//! Reading and writing a region, each by a slice of just the bytes that are asked for: a private page elsewhere in the region
//! is in nobody's way.

use super::{Leased, Region};
use crate::convert::Backing;
use crate::lease::Leases;
use core::ops::Deref;
use core::sync::atomic::Ordering;
use vm_memory::{
    AtomicAccess, Bytes, GuestMemoryError, GuestMemoryRegion, MemoryRegionAddress, ReadVolatile, VolatileSlice,
    WriteVolatile,
};

type Result<T> = core::result::Result<T, GuestMemoryError>;

impl<B: Backing, L: Deref<Target = Leases>> Region<B, L> {
    /// At most `count` bytes, fewer at the end of the region.
    fn up_to(&self, at: MemoryRegionAddress, count: usize) -> Result<VolatileSlice<'_, Leased<'_>>> {
        let left = self.len().checked_sub(at.0).filter(|&left| left > 0);
        let left = left.ok_or(GuestMemoryError::InvalidBackendAddress)?;
        self.get_slice(at, count.min(left as usize))
    }
}

/// All of it, or an error that says how much it was.
fn whole(expected: usize, completed: usize) -> Result<()> {
    match expected == completed {
        true => Ok(()),
        false => Err(GuestMemoryError::PartialBuffer { expected, completed }),
    }
}

impl<B: Backing, L: Deref<Target = Leases>> Bytes<MemoryRegionAddress> for Region<B, L> {
    type E = GuestMemoryError;

    fn write(&self, buf: &[u8], at: MemoryRegionAddress) -> Result<usize> {
        match buf.len() {
            0 => Ok(0),
            count => Ok(self.up_to(at, count)?.write(buf, 0)?),
        }
    }

    fn read(&self, buf: &mut [u8], at: MemoryRegionAddress) -> Result<usize> {
        match buf.len() {
            0 => Ok(0),
            count => Ok(self.up_to(at, count)?.read(buf, 0)?),
        }
    }

    fn write_slice(&self, buf: &[u8], at: MemoryRegionAddress) -> Result<()> {
        whole(buf.len(), self.write(buf, at)?)
    }

    fn read_slice(&self, buf: &mut [u8], at: MemoryRegionAddress) -> Result<()> {
        whole(buf.len(), self.read(buf, at)?)
    }

    fn read_volatile_from<F: ReadVolatile>(&self, at: MemoryRegionAddress, src: &mut F, count: usize) -> Result<usize> {
        let slice = self.up_to(at, count)?;
        Ok(slice.read_volatile_from(0, src, slice.len())?)
    }

    fn read_exact_volatile_from<F: ReadVolatile>(
        &self,
        at: MemoryRegionAddress,
        src: &mut F,
        count: usize,
    ) -> Result<()> {
        Ok(self.get_slice(at, count)?.read_exact_volatile_from(0, src, count)?)
    }

    fn write_volatile_to<F: WriteVolatile>(&self, at: MemoryRegionAddress, dst: &mut F, count: usize) -> Result<usize> {
        let slice = self.up_to(at, count)?;
        Ok(slice.write_volatile_to(0, dst, slice.len())?)
    }

    fn write_all_volatile_to<F: WriteVolatile>(
        &self,
        at: MemoryRegionAddress,
        dst: &mut F,
        count: usize,
    ) -> Result<()> {
        Ok(self.get_slice(at, count)?.write_all_volatile_to(0, dst, count)?)
    }

    fn store<T: AtomicAccess>(&self, value: T, at: MemoryRegionAddress, order: Ordering) -> Result<()> {
        Ok(self.get_slice(at, size_of::<T>())?.store(value, 0, order)?)
    }

    fn load<T: AtomicAccess>(&self, at: MemoryRegionAddress, order: Ordering) -> Result<T> {
        Ok(self.get_slice(at, size_of::<T>())?.load(0, order)?)
    }
}
