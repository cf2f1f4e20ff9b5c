//! The VMM's requests to KVM.

use super::{Answer, FileId, VmId};
use tenure_abi::gmem::{
    Capability, CreateGuestMemfd, EnableCapability, MemoryAttributes, MemoryAttributes2, PreFaultMemory,
    UserspaceMemoryRegion, UserspaceMemoryRegion2, VmType,
};

/// What a VMM asks of KVM.
pub trait Vmm {
    /// `KVM_CREATE_VM`, and one vCPU in it.
    ///
    /// # Errors
    /// `EINVAL` for a kind this target does not offer.
    fn create_vm(&mut self, kind: VmType) -> Answer<VmId>;

    /// Closes the VM and its vCPU. Its files live on.
    fn close_vm(&mut self, vm: VmId);

    /// `KVM_CHECK_EXTENSION` on the VM, or on `/dev/kvm`.
    fn check(&mut self, vm: Option<VmId>, capability: Capability) -> u32;

    /// `KVM_ENABLE_CAP` on the VM.
    ///
    /// # Errors
    /// As the target says.
    fn enable(&mut self, vm: VmId, capability: &EnableCapability) -> Answer;

    /// `KVM_CREATE_GUEST_MEMFD`.
    ///
    /// # Errors
    /// As the target says.
    fn create_file(&mut self, vm: VmId, create: &CreateGuestMemfd) -> Answer<FileId>;

    /// `KVM_SET_USER_MEMORY_REGION`: the older structure.
    ///
    /// # Errors
    /// As the target says.
    fn set_region(&mut self, vm: VmId, region: &UserspaceMemoryRegion) -> Answer;

    /// `KVM_SET_USER_MEMORY_REGION2`. Descriptors come from [`super::Files::number`] and [`super::Files::foreign`],
    /// addresses from [`super::Memory::address`].
    ///
    /// # Errors
    /// As the target says.
    fn set_region2(&mut self, vm: VmId, region: &UserspaceMemoryRegion2) -> Answer;

    /// `KVM_SET_MEMORY_ATTRIBUTES` on the VM.
    ///
    /// # Errors
    /// As the target says.
    fn set_attributes(&mut self, vm: VmId, attributes: &MemoryAttributes) -> Answer;

    /// `KVM_SET_MEMORY_ATTRIBUTES2` on the file; `None` is an argument at an address that cannot be read.
    ///
    /// # Errors
    /// As the target says.
    fn set_attributes2(&mut self, file: FileId, attributes: Option<&mut MemoryAttributes2>) -> Answer;

    /// `KVM_PRE_FAULT_MEMORY` on the VM's vCPU. What the target writes back is in `range`, also after an error.
    ///
    /// # Errors
    /// As the target says.
    fn prefault(&mut self, vm: VmId, range: &mut PreFaultMemory) -> Answer;
}
