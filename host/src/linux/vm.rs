//! One VM, and the memory of its slots.

use super::failed::Failed;
use super::kvm::{Capability, check};
use super::memory::{GmemFlags, GuestMemory};
use super::vcpu::Vcpu;
use super::{ioctl, wire};
use rustix::fd::{AsFd, AsRawFd, OwnedFd};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
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
        check(self.shared.fd.as_fd(), capability)
    }

    /// New memory of a `guest_memfd` of this VM, mapped into this process.
    ///
    /// # Errors
    /// What `KVM_CREATE_GUEST_MEMFD` or `mmap` say.
    pub fn create_gmem(&self, bytes: usize, flags: GmemFlags) -> Result<Arc<GuestMemory>, Failed> {
        GuestMemory::gmem(self.shared.fd.as_fd(), bytes, flags).map(Arc::new)
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
        self.set_region(region, memory.gmem_fd().map(|fd| fd.as_raw_fd().unsigned_abs()))?;
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
        let none =
            wire::UserspaceMemoryRegion { slot, flags: 0, guest_phys_addr: 0, memory_size: 0, userspace_addr: 0 };
        self.set_region(none, None)?;
        slots.remove(&slot);
        Ok(())
    }

    /// Sets a slot; memory named in `region` is kept mapped by the caller's entry in `slots`.
    fn set_region(&self, mut region: wire::UserspaceMemoryRegion, gmem: Option<u32>) -> Result<(), Failed> {
        let Some(guest_memfd) = gmem else {
            // SAFETY: this is the structure of this request; its address is that of a `GuestMemory` which `slots` keeps
            // alive as long as the VM or one of its vCPUs exists.
            return unsafe {
                ioctl::structure(
                    &self.shared.fd,
                    "KVM_SET_USER_MEMORY_REGION",
                    wire::SET_USER_MEMORY_REGION,
                    &mut region,
                )
            }
            .map(drop);
        };
        region.flags |= wire::MEM_GUEST_MEMFD;
        let mut region2 =
            wire::UserspaceMemoryRegion2 { region, guest_memfd_offset: 0, guest_memfd, pad1: 0, pad2: [0; 14] };
        // SAFETY: as above.
        unsafe {
            ioctl::structure(
                &self.shared.fd,
                "KVM_SET_USER_MEMORY_REGION2",
                wire::SET_USER_MEMORY_REGION2,
                &mut region2,
            )
        }
        .map(drop)
    }

    /// Creates vCPU `id`, initialised: the processor type of this machine, with PSCI, powered on only if it is the first.
    ///
    /// # Errors
    /// What `KVM_CREATE_VCPU`, `KVM_ARM_PREFERRED_TARGET` or `KVM_ARM_VCPU_INIT` say.
    pub fn create_vcpu(&self, id: u8) -> Result<Vcpu, Failed> {
        let fd = &self.shared.fd;
        let vcpu = ioctl::number(fd, "KVM_CREATE_VCPU", wire::CREATE_VCPU, id.into())?;
        let vcpu = ioctl::owned(vcpu);
        let mut init = wire::VcpuInit { target: 0, features: [0; 7] };
        // SAFETY: this is the structure of this request, and it holds no address.
        unsafe { ioctl::structure(fd, "KVM_ARM_PREFERRED_TARGET", wire::ARM_PREFERRED_TARGET, &mut init) }?;
        Vcpu::new(vcpu, init, id != 0, self.shared.run_bytes, Arc::clone(&self.shared))
    }
}

/// The slot that shows `bytes` bytes at `userspace_addr` to the guest from frame `first` on.
fn region(slot: u32, first: Gfn, bytes: u64, userspace_addr: u64) -> Result<wire::UserspaceMemoryRegion, Failed> {
    FrameRange::<Gfn>::from_bytes(first.address(), bytes, AddressWidth::GUEST_MAX)
        .map_err(|error| Failed::new("slot", error.errno()))?;
    let guest_phys_addr = first.address();
    Ok(wire::UserspaceMemoryRegion { slot, flags: 0, guest_phys_addr, memory_size: bytes, userspace_addr })
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
