//! A guest memory file: created for a VM, mapped, filled with holes, converted.

use super::request;
use crate::ram::Failed;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::FallocateFlags;
use tenure_abi::Errno;
use tenure_abi::gmem::{Attributes, CreateFlags, CreateGuestMemfd, MemoryAttributes2};

/// An open guest memory file. It outlives its VM; closing it takes its memory away from the guest.
#[derive(Debug)]
pub struct GuestFile {
    fd: OwnedFd,
    bytes: u64,
}

/// A conversion that was refused, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The call and its errno.
    pub failed: Failed,
    /// The byte offset of the first page that stood in the way; `None` where the kernel blames no page.
    pub at: Option<u64>,
}

/// What `error_offset` is before the call: no page begins there, so the kernel's answer can be told from its silence.
const NOWHERE: u64 = u64::MAX;

impl GuestFile {
    /// A new file of `bytes` bytes, whole pages, for the VM `vm`.
    ///
    /// # Errors
    /// What `KVM_CREATE_GUEST_MEMFD` says: `EINVAL` for flags that this VM does not have.
    pub fn create(vm: impl AsFd, bytes: u64, flags: CreateFlags) -> Result<Self, Failed> {
        let fd = request::create_guest_memfd(vm, &CreateGuestMemfd::new(bytes, flags))?;
        Ok(Self { fd, bytes })
    }

    /// Its size in bytes, which never changes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Allocates pages, so that no later touch can run out of memory.
    ///
    /// # Errors
    /// What `fallocate` says: `EINVAL` for a range that is not whole pages or not inside the file.
    pub fn allocate(&self, offset: u64, bytes: u64) -> Result<(), Failed> {
        fallocate(self.as_fd(), FallocateFlags::KEEP_SIZE, offset, bytes)
    }

    /// Frees pages; whoever touches them next finds zeros. They stay as private or shared as they are.
    ///
    /// # Errors
    /// What `fallocate` says: `EINVAL` for a range that is not whole pages.
    pub fn punch(&self, offset: u64, bytes: u64) -> Result<(), Failed> {
        punch(self.as_fd(), offset, bytes)
    }

    /// Makes pages private or shared in place, all of them or none.
    ///
    /// # Errors
    /// `ENOTTY` from every kernel without conversion in place; `EAGAIN` while somebody holds one of the pages, which
    /// then is named. Even so the process's mappings of the range may be gone: they come back at the next touch.
    pub fn convert(&self, offset: u64, bytes: u64, to: Attributes) -> Result<(), Refused> {
        let mut request = MemoryAttributes2::new(offset, bytes, to);
        request.error_offset = NOWHERE;
        request::set_memory_attributes2(self, &mut request).map_err(|failed| {
            let named = failed.errno != Errno::EINVAL && request.error_offset != NOWHERE;
            Refused { failed, at: named.then_some(request.error_offset) }
        })
    }
}

/// Makes a hole in a file.
pub(super) fn punch(file: BorrowedFd<'_>, offset: u64, bytes: u64) -> Result<(), Failed> {
    fallocate(file, FallocateFlags::KEEP_SIZE | FallocateFlags::PUNCH_HOLE, offset, bytes)
}

fn fallocate(file: BorrowedFd<'_>, mode: FallocateFlags, offset: u64, bytes: u64) -> Result<(), Failed> {
    loop {
        match rustix::fs::fallocate(file, mode, offset, bytes) {
            Err(rustix::io::Errno::INTR) => {}
            result => return result.map_err(Failed::of("fallocate")),
        }
    }
}

impl AsFd for GuestFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
