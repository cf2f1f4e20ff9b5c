//! The requests of [`crate::ram::Ram`] on Linux: the VM belongs to any library, its memory to us.

use super::file::GuestFile;
use super::memory::{GuestMemory, size, with_file};
use super::request;
use crate::ram::{Failed, Kernel, Plain, Slot};
use rustix::fd::AsFd;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tenure_abi::Errno;
use tenure_abi::gmem::{CreateFlags, MemoryAttributes, MemoryAttributes2, UserspaceMemoryRegion};

/// One VM, by its descriptor, and the memory of the slots made through this.
///
/// Memory stays mapped as long as a slot shows it, also when the descriptor is closed under us: what the kernel does not confirm
/// as deleted is never unmapped.
pub struct Requests<V: AsFd> {
    vm: V,
    slots: Mutex<BTreeMap<u32, Arc<GuestMemory>>>,
}

impl<V: AsFd> Requests<V> {
    /// On `vm`: an owned descriptor, a borrowed one, or any type that has one.
    pub const fn new(vm: V) -> Self {
        Self { vm, slots: Mutex::new(BTreeMap::new()) }
    }

    /// The VM.
    pub const fn vm(&self) -> &V {
        &self.vm
    }

    fn slots(&self) -> MutexGuard<'_, BTreeMap<u32, Arc<GuestMemory>>> {
        // Nothing panics while the map is half changed.
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn delete(&self, slot: u32) -> Result<(), Failed> {
        let none = UserspaceMemoryRegion { slot, ..UserspaceMemoryRegion::default() };
        // SAFETY: nothing is shown to the guest.
        unsafe { request::set_user_memory_region(&self.vm, &none) }
    }
}

impl<V: AsFd + Send + Sync> Kernel for Requests<V> {
    type File = GuestFile;
    type Memory = GuestMemory;

    fn create_file(&self, bytes: u64, flags: CreateFlags) -> Result<GuestFile, Failed> {
        GuestFile::create(&self.vm, bytes, flags)
    }

    fn map_file(&self, file: &Arc<GuestFile>, bytes: u64) -> Result<GuestMemory, Failed> {
        GuestMemory::of_file(file, 0, size(bytes)?)
    }

    fn plain(&self, bytes: u64, kind: Plain) -> Result<GuestMemory, Failed> {
        GuestMemory::plain(bytes, kind)
    }

    fn set_slot(&self, slot: &Slot<'_, Self>) -> Result<(), Failed> {
        if slot.bytes > slot.memory.bytes() as u64 {
            return Err(Failed::new("slot", Errno::EINVAL));
        }
        let region = UserspaceMemoryRegion {
            slot: slot.number,
            flags: 0,
            guest_phys_addr: slot.gpa,
            memory_size: slot.bytes,
            userspace_addr: slot.memory.address(),
        };
        let region = with_file(region, slot.file.map(|file| (file, 0)));
        let mut slots = self.slots();
        if slots.contains_key(&slot.number) {
            return Err(Failed::new("slot", Errno::EEXIST));
        }
        // SAFETY: `slots` keeps the memory mapped until the slot is deleted; no reference is ever made to it.
        unsafe { request::set_region(&self.vm, &region) }?;
        slots.insert(slot.number, Arc::clone(slot.memory));
        Ok(())
    }

    fn delete_slot(&self, number: u32) -> Result<(), Failed> {
        let mut slots = self.slots();
        if !slots.contains_key(&number) {
            return Err(Failed::new("slot", Errno::ENOENT));
        }
        self.delete(number)?;
        slots.remove(&number);
        Ok(())
    }

    fn set_attributes(&self, attributes: &MemoryAttributes) -> Result<(), Failed> {
        request::set_memory_attributes(&self.vm, attributes)
    }

    fn convert(&self, file: &GuestFile, attributes: &mut MemoryAttributes2) -> Result<(), Failed> {
        request::set_memory_attributes2(file, attributes)
    }

    fn punch(&self, file: &GuestFile, offset: u64, bytes: u64) -> Result<(), Failed> {
        file.punch(offset, bytes)
    }

    fn discard(&self, memory: &GuestMemory, offset: u64, bytes: u64) -> Result<(), Failed> {
        memory.discard(offset, bytes)
    }
}

impl<V: AsFd> Drop for Requests<V> {
    fn drop(&mut self) {
        let slots = core::mem::take(&mut *self.slots());
        for (number, memory) in slots {
            // vCPUs of other owners may outlive us and still run the guest: without the kernel's word that the slot is gone the
            // mapping stays for ever.
            if self.delete(number).is_err() {
                core::mem::forget(memory);
            }
        }
    }
}
