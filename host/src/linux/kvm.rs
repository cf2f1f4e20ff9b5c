//! `/dev/kvm`.

use super::vm::Vm;
use super::{ioctl, request};
use crate::ram::Failed;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{Mode, OFlags};
use tenure_abi::Errno;
use tenure_abi::gmem::ioctl::{API_VERSION, CREATE_VM, GET_API_VERSION, GET_VCPU_MMAP_SIZE};
use tenure_abi::gmem::{Capability, VmType};

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
        match ioctl::number(&fd, call, GET_API_VERSION, 0)? {
            API_VERSION => Ok(Self { fd }),
            _ => Err(Failed::new(call, Errno::EOPNOTSUPP)),
        }
    }

    /// The value of a capability; 0 if the kernel does not know it.
    ///
    /// # Errors
    /// What `KVM_CHECK_EXTENSION` says.
    pub fn check(&self, capability: Capability) -> Result<u32, Failed> {
        request::check_extension(self, capability)
    }

    /// Creates a VM without memory.
    ///
    /// # Errors
    /// `EINVAL` where the kernel does not offer this type: that is how protected VMs are probed for.
    pub fn create_vm(&self, kind: VmType) -> Result<Vm, Failed> {
        let run_bytes = ioctl::number(&self.fd, "KVM_GET_VCPU_MMAP_SIZE", GET_VCPU_MMAP_SIZE, 0)?;
        let fd = ioctl::number(&self.fd, "KVM_CREATE_VM", CREATE_VM, kind.0)?;
        Ok(Vm::new(ioctl::owned(fd), run_bytes.unsigned_abs() as usize))
    }
}

impl AsFd for Kvm {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
