//! `KVM_CREATE_GUEST_MEMFD`, and how such a file may be mapped.

use super::vm::Vm;
use crate::gmem::nodes::Nodes;
use crate::gmem::{Options, Tracking};
use tenure_abi::gmem::{CreateFlags, CreateGuestMemfd, ioctl};
use tenure_abi::{Errno, PAGE_SIZE, PageSize, Visibility};

/// A file to make, and to open for the VM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Created {
    /// Its size.
    pub bytes: u64,
    /// How a [`crate::gmem::File`] of it is made. Frames are of 4 KiB, as in every kernel there is; an integrator may ask for more.
    pub options: Options,
    /// The flags of its opening: [`super::OpenFile::flags`].
    pub flags: CreateFlags,
}

impl<N: Nodes, const SLOTS: usize> Vm<N, SLOTS> {
    /// `KVM_CREATE_GUEST_MEMFD`: what file to make. `reserved` is not looked at, as on running kernels.
    ///
    /// # Errors
    /// `EINVAL` for flags that the VM does not offer, and for a size that is 0, no whole pages, or beyond 2^63 − 1.
    pub fn create_guest_memfd(&self, create: &CreateGuestMemfd) -> Result<Created, Errno> {
        self.host.request(super::On::Vm, ioctl::CREATE_GUEST_MEMFD)?;
        let flags = CreateFlags::from_bits(create.flags).ok_or(Errno::EINVAL)?;
        if !self.host.create_flags(Some(self.kind)).contains(flags) {
            return Err(Errno::EINVAL);
        }
        if create.size == 0 || create.size > i64::MAX.unsigned_abs() || !create.size.is_multiple_of(PAGE_SIZE) {
            return Err(Errno::EINVAL);
        }
        let initially = match flags.contains(CreateFlags::INIT_SHARED) {
            true => Visibility::Shared,
            false => Visibility::Private,
        };
        // A VM without private memory takes any page of its files, whatever the host may see.
        let tracking = match self.host.converts_in_place() && self.kind.has_private() {
            true => Tracking::File,
            false => Tracking::Guest,
        };
        let options = Options { initially, tracking, largest: PageSize::Size4K };
        Ok(Created { bytes: create.size, options, flags })
    }
}

/// Whether a file made with `flags` can be mapped: shared with its other mappings, or as a private copy.
///
/// # Errors
/// `ENODEV` without [`CreateFlags::MMAP`], `EINVAL` for a copy.
pub const fn may_map(flags: CreateFlags, shared: bool) -> Result<(), Errno> {
    match (flags.contains(CreateFlags::MMAP), shared) {
        (false, _) => Err(Errno::ENODEV),
        (true, false) => Err(Errno::EINVAL),
        (true, true) => Ok(()),
    }
}
