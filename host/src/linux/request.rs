//! KVM's requests about guest memory, one function each: raw structures in, [`Failed`] out.
//!
//! VMs, vCPUs and files are borrowed as descriptors, so that they may belong to any other library. An interrupted
//! request is made again. Nothing is checked here that the kernel checks.

use super::ioctl;
use crate::launch::Refused;
use crate::ram::Failed;
use rustix::fd::{AsFd, AsRawFd, OwnedFd};
use tenure_abi::gmem::ioctl as number;
use tenure_abi::gmem::{
    Capability, CreateGuestMemfd, EnableCapability, MemoryAttributes, MemoryAttributes2, PreFaultMemory, RegionFlags,
    SevCommand, SnpLaunchUpdate, TdxCommand, TdxInitMemRegion, TdxRegionFlags, UserspaceMemoryRegion,
    UserspaceMemoryRegion2,
};

/// `KVM_CHECK_EXTENSION` on `/dev/kvm` or a VM: the value of a capability, 0 if the kernel does not know it.
///
/// # Errors
/// What the kernel says.
pub fn check_extension(fd: impl AsFd, capability: Capability) -> Result<u32, Failed> {
    // Errors have been turned into `Failed` already, so the value is not negative.
    ioctl::number(fd, "KVM_CHECK_EXTENSION", number::CHECK_EXTENSION, capability.0.into()).map(i32::unsigned_abs)
}

/// `KVM_ENABLE_CAP` on a VM.
///
/// # Errors
/// What the kernel says.
pub fn enable_capability(vm: impl AsFd, capability: &EnableCapability) -> Result<(), Failed> {
    let mut capability = *capability;
    // SAFETY: this is the structure of this request; none of KVM's capabilities takes an address of a buffer that the
    // kernel writes.
    unsafe { ioctl::structure(vm, "KVM_ENABLE_CAP", number::ENABLE_CAP, &mut capability) }.map(drop)
}

/// `KVM_CREATE_GUEST_MEMFD` on a VM.
///
/// # Errors
/// What the kernel says.
pub fn create_guest_memfd(vm: impl AsFd, create: &CreateGuestMemfd) -> Result<OwnedFd, Failed> {
    let mut create = *create;
    // SAFETY: this is the structure of this request, and it holds no address.
    unsafe { ioctl::structure(vm, "KVM_CREATE_GUEST_MEMFD", number::CREATE_GUEST_MEMFD, &mut create) }.map(ioctl::owned)
}

/// `KVM_SET_USER_MEMORY_REGION` on a VM.
///
/// # Errors
/// What the kernel says.
///
/// # Safety
/// As [`set_user_memory_region2`].
pub unsafe fn set_user_memory_region(vm: impl AsFd, region: &UserspaceMemoryRegion) -> Result<(), Failed> {
    let mut region = *region;
    // SAFETY: this is the structure of this request; its address is the caller's promise.
    unsafe { ioctl::structure(vm, "KVM_SET_USER_MEMORY_REGION", number::SET_USER_MEMORY_REGION, &mut region) }.map(drop)
}

/// `KVM_SET_USER_MEMORY_REGION2` on a VM.
///
/// # Errors
/// What the kernel says.
///
/// # Safety
/// The guest reads and writes what this process has at `userspace_addr`, as long as the slot and the VM exist: it must
/// be memory to which no reference is ever made.
pub unsafe fn set_user_memory_region2(vm: impl AsFd, region: &UserspaceMemoryRegion2) -> Result<(), Failed> {
    let mut region = *region;
    // SAFETY: this is the structure of this request; its address is the caller's promise.
    unsafe { ioctl::structure(vm, "KVM_SET_USER_MEMORY_REGION2", number::SET_USER_MEMORY_REGION2, &mut region) }
        .map(drop)
}

/// Sets a slot by the request it needs: the newer one only for a guest memory file, which older kernels do not have.
///
/// # Safety
/// As [`set_user_memory_region2`].
pub(super) unsafe fn set_region(vm: impl AsFd, region: &UserspaceMemoryRegion2) -> Result<(), Failed> {
    // SAFETY: the caller's promise, for either.
    unsafe {
        if region.region.flags & RegionFlags::GUEST_MEMFD.bits() == 0 {
            set_user_memory_region(vm, &region.region)
        } else {
            set_user_memory_region2(vm, region)
        }
    }
}

/// `KVM_SET_MEMORY_ATTRIBUTES` on a VM.
///
/// # Errors
/// What the kernel says; `ENOTTY` where attributes are not kept per VM.
pub fn set_memory_attributes(vm: impl AsFd, attributes: &MemoryAttributes) -> Result<(), Failed> {
    let mut attributes = *attributes;
    // SAFETY: this is the structure of this request, and it holds no address of this process.
    unsafe { ioctl::structure(vm, "KVM_SET_MEMORY_ATTRIBUTES", number::SET_MEMORY_ATTRIBUTES, &mut attributes) }
        .map(drop)
}

/// `KVM_SET_MEMORY_ATTRIBUTES2` on a guest memory file. On error `attributes.error_offset` may say where.
///
/// # Errors
/// What the kernel says; `ENOTTY` from every kernel without conversion in place.
pub fn set_memory_attributes2(file: impl AsFd, attributes: &mut MemoryAttributes2) -> Result<(), Failed> {
    // SAFETY: this is the structure of this request, and it holds no address.
    unsafe { ioctl::structure(file, "KVM_SET_MEMORY_ATTRIBUTES2", number::SET_MEMORY_ATTRIBUTES2, attributes) }
        .map(drop)
}

/// `KVM_PRE_FAULT_MEMORY` on a vCPU: at least one page of the range, or an error; `range` then is the rest.
///
/// # Errors
/// What the kernel says.
pub fn pre_fault_memory(vcpu: impl AsFd, range: &mut PreFaultMemory) -> Result<(), Failed> {
    // SAFETY: this is the structure of this request, and it holds no address of this process.
    unsafe { ioctl::structure(vcpu, "KVM_PRE_FAULT_MEMORY", number::PRE_FAULT_MEMORY, range) }.map(drop)
}

/// `KVM_SEV_SNP_LAUNCH_UPDATE` on an SNP guest's VM, `sev` being `/dev/sev`: some of `update`, which then is the rest. For
/// [`crate::launch::snp`], which repeats it; an interrupted one is not made again here.
///
/// # Errors
/// What the kernel says, and firmware's code.
///
/// # Safety
/// The kernel reads the `len` bytes that this process has at `uaddr`, and writes to those of a page of CPUID answers that firmware
/// rejects: no reference to them may exist.
pub unsafe fn snp_launch_update(vm: impl AsFd, sev: impl AsFd, update: &mut SnpLaunchUpdate) -> Result<(), Refused> {
    let mut command = SevCommand {
        id: SevCommand::SNP_LAUNCH_UPDATE,
        data: core::ptr::from_mut(update).expose_provenance() as u64,
        // Descriptors are not negative.
        sev_fd: sev.as_fd().as_raw_fd().unsigned_abs(),
        ..SevCommand::default()
    };
    // SAFETY: this is the structure of this request, `data` is borrowed for the call and is the structure of this command; the
    // address in that is the caller's promise.
    let done = unsafe { ioctl::once(vm, "KVM_SEV_SNP_LAUNCH_UPDATE", number::MEMORY_ENCRYPT_OP, &mut command) };
    done.map_err(|failed| Refused { errno: failed.errno, firmware: command.error.into() })
}

/// `KVM_TDX_INIT_MEM_REGION` on a TD's vCPU: some of `region`, which then is the rest, also on error. For [`crate::launch::tdx`],
/// which repeats it; an interrupted one is not made again here.
///
/// # Errors
/// What the kernel says, and the module's code.
pub fn tdx_init_mem_region(
    vcpu: impl AsFd,
    flags: TdxRegionFlags,
    region: &mut TdxInitMemRegion,
) -> Result<(), Refused> {
    let mut command = TdxCommand {
        id: TdxCommand::INIT_MEM_REGION,
        flags: flags.bits(),
        data: core::ptr::from_mut(region).expose_provenance() as u64,
        hw_error: 0,
    };
    // SAFETY: this is the structure of this request, `data` is borrowed for the call and is the structure of this command; what
    // stands at the address in that is only read, and by the kernel.
    let done = unsafe { ioctl::once(vcpu, "KVM_TDX_INIT_MEM_REGION", number::MEMORY_ENCRYPT_OP, &mut command) };
    done.map_err(|failed| Refused { errno: failed.errno, firmware: command.hw_error })
}

/// `KVM_RUN` on a vCPU; an interrupted one is not made again. What it came to stands in the vCPU's page:
/// [`crate::exits::Ran::of`].
///
/// # Errors
/// What the kernel says: `EFAULT` and `EHWPOISON` for memory faults, too.
pub fn run(vcpu: impl AsFd) -> Result<(), Failed> {
    ioctl::run(vcpu, number::RUN)
}
