//! `/dev/kvm`.

use super::arm64::VmType;
use super::failed::Failed;
use super::vm::Vm;
use super::{ioctl, wire};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{Mode, OFlags};
use tenure_abi::Errno;

/// What can be asked of `/dev/kvm` or of a VM: a `KVM_CAP_*` number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capability(pub u32);

impl Capability {
    /// `KVM_CAP_ARM_VM_IPA_SIZE`: the widest guest-physical address in bits.
    pub const ARM_VM_IPA_SIZE: Self = Self(165);
    /// `KVM_CAP_MEMORY_FAULT_INFO`.
    pub const MEMORY_FAULT_INFO: Self = Self(232);
    /// `KVM_CAP_MEMORY_ATTRIBUTES`.
    pub const MEMORY_ATTRIBUTES: Self = Self(233);
    /// `KVM_CAP_GUEST_MEMFD`.
    pub const GUEST_MEMFD: Self = Self(234);
    /// `KVM_CAP_VM_TYPES`: a bitmap on x86; 0 on arm64, where the type's bits are simply tried.
    pub const VM_TYPES: Self = Self(235);
    /// `KVM_CAP_PRE_FAULT_MEMORY`.
    pub const PRE_FAULT_MEMORY: Self = Self(236);
    /// `KVM_CAP_GUEST_MEMFD_FLAGS`: a bitmap of [`super::GmemFlags`].
    pub const GUEST_MEMFD_FLAGS: Self = Self(244);
}

/// An open `/dev/kvm`.
pub struct Kvm {
    fd: OwnedFd,
}

impl Kvm {
    /// Opens `/dev/kvm` and checks that it speaks the one version there is.
    ///
    /// # Errors
    /// What `open` says; `EOPNOTSUPP` for another version.
    pub fn open() -> Result<Self, Failed> {
        let fd = rustix::fs::open("/dev/kvm", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
            .map_err(Failed::of("open /dev/kvm"))?;
        let call = "KVM_GET_API_VERSION";
        match ioctl::number(&fd, call, wire::GET_API_VERSION, 0)? {
            wire::API_VERSION => Ok(Self { fd }),
            _ => Err(Failed::new(call, Errno::EOPNOTSUPP)),
        }
    }

    /// The value of a capability; 0 if the kernel does not know it.
    ///
    /// # Errors
    /// What `KVM_CHECK_EXTENSION` says.
    pub fn check(&self, capability: Capability) -> Result<u32, Failed> {
        check(self.fd.as_fd(), capability)
    }

    /// Creates a VM without memory.
    ///
    /// # Errors
    /// `EINVAL` where the kernel does not offer this type: that is how protected VMs are probed for.
    pub fn create_vm(&self, kind: VmType) -> Result<Vm, Failed> {
        let run_bytes = ioctl::number(&self.fd, "KVM_GET_VCPU_MMAP_SIZE", wire::GET_VCPU_MMAP_SIZE, 0)?;
        let fd = ioctl::number(&self.fd, "KVM_CREATE_VM", wire::CREATE_VM, kind.to_raw())?;
        Ok(Vm::new(ioctl::owned(fd), run_bytes.unsigned_abs() as usize))
    }
}

pub(super) fn check(fd: BorrowedFd<'_>, capability: Capability) -> Result<u32, Failed> {
    // Errors have been turned into `Failed` already, so the value is not negative.
    ioctl::number(fd, "KVM_CHECK_EXTENSION", wire::CHECK_EXTENSION, capability.0.into()).map(i32::unsigned_abs)
}
