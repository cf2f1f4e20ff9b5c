//! What both sides can do: where one of them lacks something that has nothing to do with guest memory files, operations
//! that need it are left out, so that the answers can be compared at all.

use super::op::Kind;
use crate::Target;
use crate::target::{GuestPath, Personality};
use tenure_abi::Errno;
use tenure_abi::gmem::hypercall::MAP_GPA_RANGE;
use tenure_abi::gmem::{Attributes, Capability, EnableCapability, MemoryAttributes, VmType};

/// The part that both sides have.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a capability of its own")]
pub(super) struct Limits {
    /// Kinds of VMs.
    pub(super) vms: Vec<u64>,
    /// Guests' accesses go through `userspace_addr` on one of the sides.
    pub(super) emulated: bool,
    /// There are attributes per VM.
    pub(super) attributes: bool,
    /// A guest's hypercalls come to KVM, and from there to the VMM.
    pub(super) hypercalls: bool,
    /// Well-formed ranges can be pre-faulted.
    pub(super) prefault: bool,
    /// Which kernel both behave as.
    pub(super) personality: Personality,
}

impl Limits {
    /// What `left` and `right` have in common.
    ///
    /// # Errors
    /// Why comparing them makes no sense.
    pub(super) fn of(left: &mut dyn Target, right: &mut dyn Target) -> Result<Self, String> {
        let (one, other) = (left.machine().clone(), right.machine().clone());
        if (one.personality, one.in_place) != (other.personality, other.in_place) {
            return Err(format!("{one:?} and {other:?} are different kernels"));
        }
        let types = left.check(None, Capability::VM_TYPES) & right.check(None, Capability::VM_TYPES);
        let kinds = [VmType::DEFAULT, VmType::SW_PROTECTED].map(|kind| kind.0);
        let prefault = |target: &mut dyn Target| target.check(None, Capability::PRE_FAULT_MEMORY) != 0;
        Ok(Self {
            vms: kinds.into_iter().filter(|kind| types & 1 << kind != 0).collect(),
            emulated: [one, other].iter().any(|machine| machine.guest == GuestPath::Emulated),
            attributes: attributes(left)? && attributes(right)?,
            hypercalls: hypercalls(left)? && hypercalls(right)?,
            prefault: prefault(left) && prefault(right),
            personality: left.machine().personality,
        })
    }

    /// The kinds of operations that can be compared.
    pub(super) fn kinds(&self) -> Vec<Kind> {
        let here = |kind: &Kind| match kind {
            Kind::Attributes => self.attributes,
            Kind::Hypercall => self.hypercalls,
            Kind::Prefault => self.personality >= Personality::V6_11,
            _ => true,
        };
        Kind::ALL.iter().copied().filter(here).collect()
    }
}

/// Whether the request exists: nothing is changed by making shared what is shared.
fn attributes(target: &mut dyn Target) -> Result<bool, String> {
    target.reset();
    let vm = target.create_vm(VmType::DEFAULT).map_err(|errno| format!("creating a VM: {errno:?}"))?;
    let answer = target.set_attributes(vm, &MemoryAttributes::new(0x1000_0000, 0x1000, Attributes::empty()));
    target.reset();
    Ok(answer != Err(Errno::ENOTTY))
}

/// Whether a hypercall of the guest reaches the VMM at all: a KVM that emulates its guests may have none for them.
fn hypercalls(target: &mut dyn Target) -> Result<bool, String> {
    target.reset();
    let vm = target.create_vm(VmType::DEFAULT).map_err(|errno| format!("creating a VM: {errno:?}"))?;
    let enabled = target.enable(vm, &EnableCapability::new(Capability::EXIT_HYPERCALL, 1 << MAP_GPA_RANGE));
    let called = target.hypercall(vm, MAP_GPA_RANGE as u32, [0x1000_0000, 1, 0], 0);
    target.reset();
    Ok(enabled.is_ok() && called.is_ok_and(|called| called.exit.is_some()))
}
