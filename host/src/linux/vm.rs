//! One VM, and the memory of its slots.

use super::memory::{GuestMemory, size};
use super::vcpu::Vcpu;
use super::{GuestFile, ioctl, request, wire};
use crate::ram::Failed;
use crate::ram::{Kernel, Plain, Slot};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use tenure_abi::gmem::ioctl::CREATE_VCPU;
use tenure_abi::gmem::{Capability, CreateFlags, MemoryAttributes, MemoryAttributes2, UserspaceMemoryRegion};
use tenure_abi::{AddressWidth, Errno, FrameRange, Gfn};

/// What a VM and its vCPUs own together; the last of them to go unmaps the memory.
pub(super) struct Shared {
    // Before the memory: fields are dropped in order, and the VM must be gone before its memory is unmapped.
    fd: OwnedFd,
    slots: Mutex<BTreeMap<u32, Arc<GuestMemory>>>,
    run_bytes: usize,
}

/// One VM. It is destroyed when this value, its vCPUs and its `guest_memfd`s are all gone.
pub struct Vm {
    shared: Arc<Shared>,
}

impl Vm {
    pub(super) fn new(fd: OwnedFd, run_bytes: usize) -> Self {
        Self { shared: Arc::new(Shared { fd, slots: Mutex::default(), run_bytes }) }
    }

    /// The value of a capability of this VM; 0 if the kernel does not know it.
    ///
    /// # Errors
    /// What `KVM_CHECK_EXTENSION` says.
    pub fn check(&self, capability: Capability) -> Result<u32, Failed> {
        request::check_extension(self, capability)
    }

    /// New memory of a `guest_memfd` of this VM, mapped into this process.
    ///
    /// # Errors
    /// What `KVM_CREATE_GUEST_MEMFD` or `mmap` say.
    pub fn create_gmem(&self, bytes: usize, flags: CreateFlags) -> Result<Arc<GuestMemory>, Failed> {
        let file = Arc::new(GuestFile::create(self, bytes as u64, flags)?);
        GuestMemory::of_file(&file, 0, bytes).map(Arc::new)
    }

    /// Gives the guest `memory` from frame `first` on, in slot `slot`.
    ///
    /// # Errors
    /// `EINVAL` if the memory is empty, not whole pages or ends beyond 48 bits; otherwise what the kernel says:
    /// `EEXIST` for a slot that overlaps another, `EINVAL` for one that is in use.
    pub fn add_memory(&self, slot: u32, first: Gfn, memory: &Arc<GuestMemory>) -> Result<(), Failed> {
        let region = region(slot, first, memory.bytes() as u64, memory.address())?;
        let mut slots = self.shared.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if slots.contains_key(&slot) {
            return Err(Failed::new("slot", Errno::EEXIST));
        }
        let region = memory.backing(region);
        // SAFETY: `slots` keeps the memory mapped as long as the VM or one of its vCPUs exists.
        unsafe { request::set_region(self, &region) }?;
        slots.insert(slot, Arc::clone(memory));
        Ok(())
    }

    /// Takes slot `slot` away from the guest. A protected VM that has run refuses: `EPERM`.
    ///
    /// # Errors
    /// `ENOENT` for a slot without memory; otherwise what the kernel says.
    pub fn remove_memory(&self, slot: u32) -> Result<(), Failed> {
        let mut slots = self.shared.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if !slots.contains_key(&slot) {
            return Err(Failed::new("slot", Errno::ENOENT));
        }
        let none = UserspaceMemoryRegion { slot, ..UserspaceMemoryRegion::default() };
        // SAFETY: nothing is shown to the guest.
        unsafe { request::set_user_memory_region(self, &none) }?;
        slots.remove(&slot);
        Ok(())
    }

    /// Creates vCPU `id`, initialised: the processor type of this machine, with PSCI, powered on only if it is the first.
    ///
    /// # Errors
    /// What `KVM_CREATE_VCPU`, `KVM_ARM_PREFERRED_TARGET` or `KVM_ARM_VCPU_INIT` say.
    pub fn create_vcpu(&self, id: u8) -> Result<Vcpu, Failed> {
        let fd = &self.shared.fd;
        let vcpu = ioctl::number(fd, "KVM_CREATE_VCPU", CREATE_VCPU, id.into())?;
        let vcpu = ioctl::owned(vcpu);
        let mut init = wire::VcpuInit { target: 0, features: [0; 7] };
        // SAFETY: this is the structure of this request, and it holds no address.
        unsafe { ioctl::structure(fd, "KVM_ARM_PREFERRED_TARGET", wire::ARM_PREFERRED_TARGET, &mut init) }?;
        Vcpu::new(vcpu, init, id != 0, self.shared.run_bytes, Arc::clone(&self.shared))
    }
}

/// The VM as what a [`crate::ram::Ram`] asks: its memory stays mapped as long as the VM or one of its vCPUs lives.
impl Kernel for Vm {
    type File = GuestFile;
    type Memory = GuestMemory;

    fn create_file(&self, bytes: u64, flags: CreateFlags) -> Result<GuestFile, Failed> {
        GuestFile::create(self, bytes, flags)
    }

    fn map_file(&self, file: &Arc<GuestFile>, bytes: u64) -> Result<GuestMemory, Failed> {
        GuestMemory::of_file(file, 0, size(bytes)?)
    }

    fn plain(&self, bytes: u64, kind: Plain) -> Result<GuestMemory, Failed> {
        GuestMemory::plain(bytes, kind)
    }

    fn set_slot(&self, slot: &Slot<'_, Self>) -> Result<(), Failed> {
        let first = Gfn::from_address(slot.gpa).map_err(|error| Failed::new("slot", error.errno()))?;
        if slot.bytes != slot.memory.bytes() as u64 {
            return Err(Failed::new("slot", Errno::EINVAL));
        }
        self.add_memory(slot.number, first, slot.memory)
    }

    fn delete_slot(&self, number: u32) -> Result<(), Failed> {
        self.remove_memory(number)
    }

    fn set_attributes(&self, attributes: &MemoryAttributes) -> Result<(), Failed> {
        request::set_memory_attributes(self, attributes)
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

impl AsFd for Vm {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.shared.fd.as_fd()
    }
}

/// The slot that shows `bytes` bytes at `userspace_addr` to the guest from frame `first` on.
fn region(slot: u32, first: Gfn, bytes: u64, userspace_addr: u64) -> Result<UserspaceMemoryRegion, Failed> {
    FrameRange::<Gfn>::from_bytes(first.address(), bytes, AddressWidth::GUEST_MAX)
        .map_err(|error| Failed::new("slot", error.errno()))?;
    let guest_phys_addr = first.address();
    Ok(UserspaceMemoryRegion { slot, flags: 0, guest_phys_addr, memory_size: bytes, userspace_addr })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_outside_the_address_space_never_reaches_the_kernel() {
        let last = Gfn::new(AddressWidth::GUEST_MAX.frames() - 1).unwrap();
        for (first, bytes) in [(last, 0x2000), (last, 0), (last, 0x800), (Gfn::new(0).unwrap(), u64::MAX << 12)] {
            assert_eq!(region(0, first, bytes, 0).err(), Some(Failed::new("slot", Errno::EINVAL)), "{bytes:#x}");
        }
        assert_eq!(region(3, last, 0x1000, 0).map(|region| region.guest_phys_addr), Ok(last.address()));
    }
}
