//! VMs, and KVM's requests.

use super::memory::Mapping;
use super::{Kernel, code, touch};
use crate::target::{Answer, FileId, OWN_MEMORY, VmId, Vmm};
use kvm_ioctls::{VcpuFd, VmFd};
use std::os::fd::{AsRawFd, BorrowedFd};
use tenure_abi::Errno;
use tenure_abi::gmem::{
    Capability, CreateGuestMemfd, EnableCapability, MemoryAttributes, MemoryAttributes2, PreFaultMemory,
    UserspaceMemoryRegion, UserspaceMemoryRegion2, VmType, ioctl,
};
use tenure_host::linux::{Failed, request};

/// One VM with one vCPU, and the memory that holds its code.
pub(super) struct Vm {
    // In this order: nothing may run once the memory is unmapped.
    pub(super) vcpu: VcpuFd,
    fd: VmFd,
    _own: Mapping,
}

impl Vm {
    fn new(kvm: &kvm_ioctls::Kvm, kind: VmType) -> Answer<Self> {
        let fd = kvm.create_vm_with_type(kind.0).map_err(|error| errno(error.errno()))?;
        let own = Mapping::anonymous(OWN_MEMORY)?;
        for (address, byte) in code::image() {
            touch::store(own.start, address.into(), byte).expect("the target's own memory");
        }
        let slot = UserspaceMemoryRegion { memory_size: OWN_MEMORY, userspace_addr: own.start, ..Default::default() };
        let vcpu = fd.create_vcpu(0).map_err(|error| errno(error.errno()))?;
        let vm = Self { vcpu, fd, _own: own };
        // SAFETY: no reference is ever made to that memory, and it is unmapped only after the vCPU and the VM are gone.
        unsafe { request::set_user_memory_region(vm.borrow(), &slot) }.map_err(why)?;
        Ok(vm)
    }

    pub(super) fn descriptor(&self) -> i32 {
        self.fd.as_raw_fd()
    }

    pub(super) fn borrow(&self) -> BorrowedFd<'_> {
        // SAFETY: the descriptor is open as long as `self` is borrowed.
        unsafe { BorrowedFd::borrow_raw(self.fd.as_raw_fd()) }
    }
}

pub(super) fn errno(number: i32) -> Errno {
    Errno(u16::try_from(number).unwrap_or(0))
}

fn why(failed: Failed) -> Errno {
    failed.errno
}

impl Kernel {
    fn vm(&mut self, vm: VmId) -> &mut Vm {
        self.vms.get(vm.0)
    }
}

impl Vmm for Kernel {
    fn create_vm(&mut self, kind: VmType) -> Answer<VmId> {
        Ok(VmId(self.vms.add(Vm::new(&self.kvm, kind)?)))
    }

    fn close_vm(&mut self, vm: VmId) {
        drop(self.vms.remove(vm.0));
    }

    fn check(&mut self, vm: Option<VmId>, capability: Capability) -> u32 {
        let fd = vm.map_or(self.kvm.as_raw_fd(), |vm| self.vm(vm).descriptor());
        // SAFETY: both are open during the call.
        request::check_extension(unsafe { BorrowedFd::borrow_raw(fd) }, capability).unwrap_or(0)
    }

    fn enable(&mut self, vm: VmId, capability: &EnableCapability) -> Answer {
        request::enable_capability(self.vm(vm).borrow(), capability).map_err(why)
    }

    fn create_file(&mut self, vm: VmId, create: &CreateGuestMemfd) -> Answer<FileId> {
        let file = request::create_guest_memfd(self.vm(vm).borrow(), create).map_err(why)?;
        Ok(FileId(self.files.add(file)))
    }

    fn set_region(&mut self, vm: VmId, region: &UserspaceMemoryRegion) -> Answer {
        // SAFETY: as in `set_region2`.
        unsafe { request::set_user_memory_region(self.vm(vm).borrow(), region) }.map_err(why)
    }

    fn set_region2(&mut self, vm: VmId, region: &UserspaceMemoryRegion2) -> Answer {
        // SAFETY: tests give addresses of `Mapping`s, to which no reference is ever made and whose addresses stay
        // reserved until no VM is left, or addresses at which nothing is ever mapped.
        unsafe { request::set_user_memory_region2(self.vm(vm).borrow(), region) }.map_err(why)
    }

    fn set_attributes(&mut self, vm: VmId, attributes: &MemoryAttributes) -> Answer {
        request::set_memory_attributes(self.vm(vm).borrow(), attributes).map_err(why)
    }

    fn set_attributes2(&mut self, file: FileId, attributes: Option<&mut MemoryAttributes2>) -> Answer {
        let fd = self.descriptor(file);
        let Some(attributes) = attributes else {
            let number = u64::from(ioctl::SET_MEMORY_ATTRIBUTES2);
            // SAFETY: the kernel finds nothing at the last page of the address space, and says so.
            let result = unsafe { libc::syscall(libc::SYS_ioctl, fd, number, !0xfff_u64) };
            return super::checked(result).map(drop);
        };
        // SAFETY: the file is open during the call.
        request::set_memory_attributes2(unsafe { BorrowedFd::borrow_raw(fd) }, attributes).map_err(why)
    }

    fn prefault(&mut self, vm: VmId, range: &mut PreFaultMemory) -> Answer {
        let fd = self.vm(vm).vcpu.as_raw_fd();
        // SAFETY: the vCPU is open during the call.
        request::pre_fault_memory(unsafe { BorrowedFd::borrow_raw(fd) }, range).map_err(why)
    }
}
