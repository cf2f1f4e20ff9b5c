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

#[cfg(test)]
mod tests {
    use super::*;

    /// No VM: it refuses every request.
    fn not_a_vm() -> std::fs::File {
        std::fs::File::open("/dev/null").unwrap()
    }

    #[test]
    fn a_slot_that_is_not_inside_its_memory_never_reaches_the_kernel() {
        let (slots, memory) = (Slots::new(), Arc::new(GuestMemory::anonymous(0x2000).unwrap()));
        let add = |userspace_addr, memory_size| {
            let slot =
                UserspaceMemoryRegion { slot: 1, userspace_addr, memory_size, ..UserspaceMemoryRegion::default() };
            slots.add(not_a_vm(), &memory.backing(slot), &memory).unwrap_err().errno
        };
        let start = memory.address();
        assert_eq!([add(start, 0x3000), add(start + 0x1000, 0x1000)], [Errno::EINVAL; 2]);
        assert_eq!(add(start, 0x2000), Errno::ENOTTY, "the kernel was asked");
        assert_eq!(Arc::strong_count(&memory), 1, "nothing is kept of a slot that was refused");
    }

    #[test]
    fn memory_stays_until_the_kernel_says_that_the_slot_is_gone() {
        let (slots, memory) = (Slots::new(), Arc::new(GuestMemory::anonymous(0x1000).unwrap()));
        slots.all().insert(3, Arc::clone(&memory));
        assert_eq!(slots.delete(not_a_vm(), 4).unwrap_err().errno, Errno::ENOENT);
        assert_eq!(slots.delete(not_a_vm(), 3).unwrap_err().errno, Errno::ENOTTY);
        let taken = slots.add(
            not_a_vm(),
            &memory.backing(UserspaceMemoryRegion {
                slot: 3,
                userspace_addr: memory.address(),
                memory_size: 0x1000,
                ..UserspaceMemoryRegion::default()
            }),
            &memory,
        );
        assert_eq!(taken.unwrap_err().errno, Errno::EEXIST);
        slots.leave(not_a_vm());
        assert_eq!(Arc::strong_count(&memory), 2, "kept for ever");
    }
}
