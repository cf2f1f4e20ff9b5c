//! The slots of one VM, and the memory that stays mapped behind them.

use super::memory::GuestMemory;
use super::request;
use crate::ram::Failed;
use rustix::fd::AsFd;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tenure_abi::Errno;
use tenure_abi::gmem::{UserspaceMemoryRegion, UserspaceMemoryRegion2};

/// The memory of every slot that was made here, until the kernel says that the slot is gone.
#[derive(Default)]
pub(super) struct Slots(Mutex<BTreeMap<u32, Arc<GuestMemory>>>);

impl Slots {
    pub(super) const fn new() -> Self {
        Self(Mutex::new(BTreeMap::new()))
    }

    fn all(&self) -> MutexGuard<'_, BTreeMap<u32, Arc<GuestMemory>>> {
        // Nothing panics while the map is half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a slot that shows `memory`.
    ///
    /// # Errors
    /// `EEXIST` for a number that is taken, `EINVAL` for a slot that is not inside `memory`; otherwise what the kernel says.
    pub(super) fn add(
        &self,
        vm: impl AsFd,
        region: &UserspaceMemoryRegion2,
        memory: &Arc<GuestMemory>,
    ) -> Result<(), Failed> {
        let UserspaceMemoryRegion { slot, userspace_addr, memory_size, .. } = region.region;
        if userspace_addr != memory.address() || memory_size > memory.bytes() as u64 {
            return Err(Failed::new("slot", Errno::EINVAL));
        }
        let mut all = self.all();
        if all.contains_key(&slot) {
            return Err(Failed::new("slot", Errno::EEXIST));
        }
        // SAFETY: what it shows lies inside `memory`, which stays mapped until the slot is deleted; no reference to it is ever made.
        unsafe { request::set_region(vm, region) }?;
        all.insert(slot, Arc::clone(memory));
        Ok(())
    }

    /// Deletes a slot.
    ///
    /// # Errors
    /// `ENOENT` for a number without memory; otherwise what the kernel says.
    pub(super) fn delete(&self, vm: impl AsFd, slot: u32) -> Result<(), Failed> {
        let mut all = self.all();
        if !all.contains_key(&slot) {
            return Err(Failed::new("slot", Errno::ENOENT));
        }
        delete(vm, slot)?;
        all.remove(&slot);
        Ok(())
    }

    /// Deletes all of them. What the kernel does not confirm as gone stays mapped for ever: vCPUs of other owners may outlive
    /// us and still run the guest.
    pub(super) fn leave(&self, vm: impl AsFd) {
        for (slot, memory) in core::mem::take(&mut *self.all()) {
            if delete(&vm, slot).is_err() {
                core::mem::forget(memory);
            }
        }
    }
}

fn delete(vm: impl AsFd, slot: u32) -> Result<(), Failed> {
    let none = UserspaceMemoryRegion { slot, ..UserspaceMemoryRegion::default() };
    // SAFETY: nothing is shown to the guest.
    unsafe { request::set_user_memory_region(vm, &none) }
}
