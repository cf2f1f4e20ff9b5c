//! Numbers once more and by hand, and layouts against the bindings that other VMMs use.

use super::*;
use core::mem::offset_of;
use kvm_bindings as theirs;

#[test]
fn requests_have_the_kernels_numbers() {
    let expected = [
        (ioctl::GET_API_VERSION, 0xae00),
        (ioctl::CREATE_VM, 0xae01),
        (ioctl::CHECK_EXTENSION, 0xae03),
        (ioctl::GET_VCPU_MMAP_SIZE, 0xae04),
        (ioctl::CREATE_VCPU, 0xae41),
        (ioctl::SET_USER_MEMORY_REGION, 0x4020_ae46),
        (ioctl::SET_USER_MEMORY_REGION2, 0x40a0_ae49),
        (ioctl::RUN, 0xae80),
        (ioctl::ENABLE_CAP, 0x4068_aea3),
        (ioctl::MEMORY_ENCRYPT_OP, 0xc008_aeba),
        (ioctl::SET_MEMORY_ATTRIBUTES, 0x4020_aed2),
        (ioctl::SET_MEMORY_ATTRIBUTES2, 0xc080_aed2),
        (ioctl::CREATE_GUEST_MEMFD, 0xc040_aed4),
        (ioctl::PRE_FAULT_MEMORY, 0xc040_aed5),
    ];
    for (ours, kernels) in expected {
        assert_eq!(ours, kernels, "{ours:#x}, not {kernels:#x}");
    }
}

/// Sizes and offsets of a structure here and in the bindings.
macro_rules! same_layout {
    ($ours:ty, $theirs:ty, $($field:ident = $their_field:ident),+) => {
        assert_eq!(size_of::<$ours>(), size_of::<$theirs>(), stringify!($ours));
        $(assert_eq!(offset_of!($ours, $field), offset_of!($theirs, $their_field), stringify!($ours.$field));)+
    };
}

#[test]
fn structures_lie_as_in_the_bindings() {
    same_layout!(CreateGuestMemfd, theirs::kvm_create_guest_memfd, size = size, flags = flags, reserved = reserved);
    same_layout!(
        UserspaceMemoryRegion,
        theirs::kvm_userspace_memory_region,
        slot = slot,
        flags = flags,
        guest_phys_addr = guest_phys_addr,
        memory_size = memory_size,
        userspace_addr = userspace_addr
    );
    same_layout!(
        UserspaceMemoryRegion2,
        theirs::kvm_userspace_memory_region2,
        guest_memfd_offset = guest_memfd_offset,
        guest_memfd = guest_memfd,
        pad1 = pad1,
        pad2 = pad2
    );
    same_layout!(
        MemoryAttributes,
        theirs::kvm_memory_attributes,
        address = address,
        size = size,
        attributes = attributes,
        flags = flags
    );
    same_layout!(
        PreFaultMemory,
        theirs::kvm_pre_fault_memory,
        gpa = gpa,
        size = size,
        flags = flags,
        padding = padding
    );
    #[cfg(target_arch = "x86_64")]
    same_layout!(
        SnpLaunchUpdate,
        theirs::kvm_sev_snp_launch_update,
        gfn_start = gfn_start,
        uaddr = uaddr,
        len = len,
        page_type = type_,
        flags = flags
    );
    #[cfg(target_arch = "x86_64")]
    same_layout!(SevCommand, theirs::kvm_sev_cmd, id = id, data = data, error = error, sev_fd = sev_fd);
    same_layout!(EnableCapability, theirs::kvm_enable_cap, capability = cap, flags = flags, arguments = args);
}

#[test]
fn payloads_lie_at_offset_32_as_in_the_bindings() {
    use theirs::kvm_run__bindgen_ty_1__bindgen_ty_6 as TheirMmio;
    use theirs::kvm_run__bindgen_ty_1__bindgen_ty_8 as TheirHypercall;
    use theirs::kvm_run__bindgen_ty_1__bindgen_ty_27 as TheirFault;
    use theirs::{kvm_run, kvm_run__bindgen_ty_1 as Payload};
    assert_eq!((offset_of!(kvm_run, exit_reason), offset_of!(kvm_run, __bindgen_anon_1)), (8, 32));
    assert_eq!(
        (offset_of!(Payload, memory_fault), offset_of!(Payload, mmio), offset_of!(Payload, hypercall)),
        (0, 0, 0)
    );
    same_layout!(MemoryFaultExit, TheirFault, flags = flags, gpa = gpa, size = size);
    same_layout!(MmioExit, TheirMmio, phys_addr = phys_addr, data = data, len = len, is_write = is_write);
    same_layout!(HypercallExit, TheirHypercall, number = nr, arguments = args, reply = ret);
}

#[test]
fn numbers_are_those_of_the_bindings() {
    for (ours, kernels) in [
        (Capability::EXIT_HYPERCALL, theirs::KVM_CAP_EXIT_HYPERCALL),
        (Capability::USER_MEMORY2, theirs::KVM_CAP_USER_MEMORY2),
        (Capability::MEMORY_FAULT_INFO, theirs::KVM_CAP_MEMORY_FAULT_INFO),
        (Capability::MEMORY_ATTRIBUTES, theirs::KVM_CAP_MEMORY_ATTRIBUTES),
        (Capability::GUEST_MEMFD, theirs::KVM_CAP_GUEST_MEMFD),
        (Capability::VM_TYPES, theirs::KVM_CAP_VM_TYPES),
        (Capability::PRE_FAULT_MEMORY, theirs::KVM_CAP_PRE_FAULT_MEMORY),
        (Capability::ARM_VM_IPA_SIZE, theirs::KVM_CAP_ARM_VM_IPA_SIZE),
    ] {
        assert_eq!(ours.0, kernels);
    }
    for (ours, kernels) in [
        (ExitReason::IO, theirs::KVM_EXIT_IO),
        (ExitReason::HYPERCALL, theirs::KVM_EXIT_HYPERCALL),
        (ExitReason::HLT, theirs::KVM_EXIT_HLT),
        (ExitReason::MMIO, theirs::KVM_EXIT_MMIO),
        (ExitReason::FAIL_ENTRY, theirs::KVM_EXIT_FAIL_ENTRY),
        (ExitReason::INTR, theirs::KVM_EXIT_INTR),
        (ExitReason::INTERNAL_ERROR, theirs::KVM_EXIT_INTERNAL_ERROR),
        (ExitReason::SYSTEM_EVENT, theirs::KVM_EXIT_SYSTEM_EVENT),
        (ExitReason::ARM_NISV, theirs::KVM_EXIT_ARM_NISV),
        (ExitReason::MEMORY_FAULT, theirs::KVM_EXIT_MEMORY_FAULT),
    ] {
        assert_eq!(ours.0, kernels);
    }
    for (ours, kernels) in [
        (RegionFlags::LOG_DIRTY_PAGES.bits().into(), theirs::KVM_MEM_LOG_DIRTY_PAGES),
        (RegionFlags::READONLY.bits().into(), theirs::KVM_MEM_READONLY),
        (RegionFlags::GUEST_MEMFD.bits().into(), theirs::KVM_MEM_GUEST_MEMFD),
        (Attributes::PRIVATE.bits(), theirs::KVM_MEMORY_ATTRIBUTE_PRIVATE),
        (FaultFlags::PRIVATE.bits(), theirs::KVM_MEMORY_EXIT_FLAG_PRIVATE),
    ] {
        assert_eq!(ours, u64::from(kernels));
    }
    #[cfg(target_arch = "x86_64")]
    for (ours, kernels) in [
        (SnpPageType::NORMAL, theirs::KVM_SEV_SNP_PAGE_TYPE_NORMAL),
        (SnpPageType::ZERO, theirs::KVM_SEV_SNP_PAGE_TYPE_ZERO),
        (SnpPageType::UNMEASURED, theirs::KVM_SEV_SNP_PAGE_TYPE_UNMEASURED),
        (SnpPageType::SECRETS, theirs::KVM_SEV_SNP_PAGE_TYPE_SECRETS),
        (SnpPageType::CPUID, theirs::KVM_SEV_SNP_PAGE_TYPE_CPUID),
    ] {
        assert_eq!(u32::from(ours.0), kernels);
    }
    #[cfg(target_arch = "x86_64")]
    for (ours, kernels) in [
        (VmType::DEFAULT, theirs::KVM_X86_DEFAULT_VM),
        (VmType::SW_PROTECTED, theirs::KVM_X86_SW_PROTECTED_VM),
        (VmType::SEV, theirs::KVM_X86_SEV_VM),
        (VmType::SEV_ES, theirs::KVM_X86_SEV_ES_VM),
        (VmType::SNP, theirs::KVM_X86_SNP_VM),
        (VmType::TDX, theirs::KVM_X86_TDX_VM),
    ] {
        assert_eq!(ours.0, u64::from(kernels));
    }
}

#[test]
fn what_the_bindings_lack_is_as_the_facts_say() {
    assert_eq!((CreateFlags::MMAP.bits(), CreateFlags::INIT_SHARED.bits()), (1, 2));
    assert_eq!((ContentFlags::ZERO.bits(), ContentFlags::PRESERVE.bits()), (1, 2));
    assert_eq!(
        (Capability::GUEST_MEMFD_FLAGS, hypercall::MAP_GPA_RANGE, hypercall::FEATURE_BIT),
        (Capability(244), 12, 16)
    );
    assert_eq!(MapGpaReply::ALL.map(MapGpaReply::to_raw), [0, 11, 22]);
    let shared_2m = MapGpaAttributes::SIZE_2M;
    assert_eq!((shared_2m.bits(), (shared_2m | MapGpaAttributes::ENCRYPTED).bits()), (1, 0x11));
    assert_eq!(VmType::ARM_PROTECTED.0, 0x8000_0000);
    assert_eq!((SevCommand::SNP_LAUNCH_UPDATE, TdxCommand::INIT_MEM_REGION), (101, 3));
}
