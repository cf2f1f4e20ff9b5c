//! One VM, and the memory of its slots.

use super::memory::GuestMemory;
use super::slots::Slots;
use super::vcpu::Vcpu;
use super::{GuestFile, ioctl, request, wire};
use crate::ram::Failed;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use tenure_abi::gmem::ioctl::CREATE_VCPU;
use tenure_abi::gmem::{Capability, CreateFlags, UserspaceMemoryRegion};
use tenure_abi::{AddressWidth, FrameRange, Gfn};

/// What a VM and its vCPUs own together; the last of them to go unmaps the memory.
pub(super) struct Shared {
    // Before the memory: fields are dropped in order, and the VM must be gone before its memory is unmapped.
    fd: OwnedFd,
    pub(super) slots: Slots,
    run_bytes: usize,
}

/// One VM. It is destroyed when this value, its vCPUs and its `guest_memfd`s are all gone.
pub struct Vm {
    shared: Arc<Shared>,
}

impl Vm {
    pub(super) fn new(fd: OwnedFd, run_bytes: usize) -> Self {
        Self { shared: Arc::new(Shared { fd, slots: Slots::new(), run_bytes }) }
    }

    /// What keeps its memory.
    pub(super) fn shared(&self) -> Arc<Shared> {
        Arc::clone(&self.shared)
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
        self.shared.slots.add(self, &memory.backing(region), memory)
    }

    /// Takes slot `slot` away from the guest. A protected VM that has run refuses: `EPERM`.
    ///
    /// # Errors
    /// `ENOENT` for a slot without memory; otherwise what the kernel says.
    pub fn remove_memory(&self, slot: u32) -> Result<(), Failed> {
        self.shared.slots.delete(self, slot)
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
    use tenure_abi::Errno;

    #[test]
    fn memory_outside_the_address_space_never_reaches_the_kernel() {
        let last = Gfn::new(AddressWidth::GUEST_MAX.frames() - 1).unwrap();
        for (first, bytes) in [(last, 0x2000), (last, 0), (last, 0x800), (Gfn::new(0).unwrap(), u64::MAX << 12)] {
            assert_eq!(region(0, first, bytes, 0).err(), Some(Failed::new("slot", Errno::EINVAL)), "{bytes:#x}");
        }
        assert_eq!(region(3, last, 0x1000, 0).map(|region| region.guest_phys_addr), Ok(last.address()));
    }
}
