//! The requests of [`crate::ram::Ram`] on Linux: the VM belongs to any library, its memory to us.

use super::Vm;
use super::file::GuestFile;
use super::memory::{GuestMemory, size, with_file};
use super::request;
use super::slots::Slots;
use super::vm::Shared;
use crate::ram::{Failed, Kernel, Plain, Slot};
use rustix::fd::AsFd;
use std::sync::Arc;
use tenure_abi::gmem::{CreateFlags, MemoryAttributes, MemoryAttributes2, UserspaceMemoryRegion};

/// One VM, by its descriptor, and the memory of the slots made through this.
///
/// Memory stays mapped as long as a slot shows it, also when the descriptor is closed under us: what the kernel does not confirm
/// as deleted is never unmapped.
pub struct Requests<V: AsFd> {
    vm: V,
    kept: Kept,
}

/// Who keeps the memory of slots.
enum Kept {
    /// We do, and delete the slots at our end: nobody else knows them.
    Here(Slots),
    /// A VM and its vCPUs, until the last of them is gone.
    WithVm(Arc<Shared>),
}

impl<V: AsFd> Requests<V> {
    /// On `vm`: an owned descriptor, a borrowed one, or any type that has one. The slots are deleted when this is dropped.
    pub const fn new(vm: V) -> Self {
        Self { vm, kept: Kept::Here(Slots::new()) }
    }

    /// The VM.
    pub const fn vm(&self) -> &V {
        &self.vm
    }

    fn slots(&self) -> &Slots {
        match &self.kept {
            Kept::Here(slots) => slots,
            Kept::WithVm(shared) => &shared.slots,
        }
    }
}

impl Requests<Vm> {
    /// On a VM of ours: its slots stay when this is dropped, for as long as the VM or one of its vCPUs lives.
    pub fn of(vm: Vm) -> Self {
        let kept = Kept::WithVm(vm.shared());
        Self { vm, kept }
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
        let region = UserspaceMemoryRegion {
            slot: slot.number,
            flags: 0,
            guest_phys_addr: slot.gpa,
            memory_size: slot.bytes,
            userspace_addr: slot.memory.address(),
        };
        self.slots().add(&self.vm, &with_file(region, slot.file.map(|file| (file, 0))), slot.memory)
    }

    fn delete_slot(&self, number: u32) -> Result<(), Failed> {
        self.slots().delete(&self.vm, number)
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
        if let Kept::Here(slots) = &self.kept {
            slots.leave(&self.vm);
        }
    }
}
