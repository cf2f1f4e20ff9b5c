//! Memory that backs a guest: an owned mapping of this process.
//!
//! Guest and host touch it at the same time, so no reference into it is ever made: accesses go through
//! raw pointers, volatile, one aligned word at a time. A word of a page that the guest holds private
//! cannot be read at all: the access ends the process with a signal unless the process handles it.

use super::file::GuestFile;
use crate::ram::{Failed, Plain};
use core::ffi::c_void;
use core::ptr::NonNull;
use rustix::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use rustix::fs::MemfdFlags;
use rustix::mm::{MapFlags, ProtFlags};
use std::sync::Arc;
use tenure_abi::Errno;
use tenure_abi::gmem::{RegionFlags, UserspaceMemoryRegion, UserspaceMemoryRegion2};

/// Where the bytes come from.
enum Backing {
    Anonymous,
    Memfd(OwnedFd),
    /// Kept open: a slot of the VM refers to the file. The mapping begins at this byte of it.
    File(Arc<GuestFile>, u64),
}

/// An owned mapping, readable and writable, of whole pages.
pub struct GuestMemory {
    start: NonNull<u64>,
    bytes: usize,
    backing: Backing,
}

// SAFETY: the mapping belongs to this value alone, its address means the same on every thread, and all
// accesses are volatile word accesses through raw pointers.
unsafe impl Send for GuestMemory {}
// SAFETY: as above; concurrent stores of words race only with each other and with the guest, as memory shared
// with a guest always does, and no reference is made that could be invalidated.
unsafe impl Sync for GuestMemory {}

impl GuestMemory {
    /// Zeroed anonymous memory: the backing of protected VMs.
    ///
    /// # Errors
    /// What `mmap` says.
    pub fn anonymous(bytes: usize) -> Result<Self, Failed> {
        // SAFETY: a new mapping at an address of the kernel's choice replaces nothing.
        let start = unsafe {
            rustix::mm::mmap_anonymous(
                core::ptr::null_mut(),
                bytes,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::PRIVATE | MapFlags::NORESERVE,
            )
        };
        Self::new(start.map_err(Failed::of("mmap"))?, bytes, Backing::Anonymous)
    }

    /// Memory of a new memory file (shmem).
    ///
    /// # Errors
    /// What `memfd_create`, `ftruncate` or `mmap` say.
    pub fn memfd(bytes: usize) -> Result<Self, Failed> {
        let fd = rustix::fs::memfd_create("guest", MemfdFlags::CLOEXEC).map_err(Failed::of("memfd_create"))?;
        rustix::fs::ftruncate(&fd, bytes as u64).map_err(Failed::of("ftruncate"))?;
        Self::new(map(fd.as_fd(), 0, bytes)?, bytes, Backing::Memfd(fd))
    }

    /// New zeroed memory of this kind.
    pub(super) fn plain(bytes: u64, kind: Plain) -> Result<Self, Failed> {
        match kind {
            Plain::File => Self::memfd(size(bytes)?),
            Plain::Anonymous => Self::anonymous(size(bytes)?),
        }
    }

    /// `bytes` bytes of a guest memory file from byte `offset` on, which stays open as long as this memory lives.
    ///
    /// # Errors
    /// What `mmap` says: `ENODEV` for a file that was made without [`tenure_abi::gmem::CreateFlags::MMAP`].
    pub fn of_file(file: &Arc<GuestFile>, offset: u64, bytes: usize) -> Result<Self, Failed> {
        Self::new(map(file.as_fd(), offset, bytes)?, bytes, Backing::File(Arc::clone(file), offset))
    }

    fn new(start: *mut c_void, bytes: usize, backing: Backing) -> Result<Self, Failed> {
        let start = NonNull::new(start.cast()).ok_or(Failed::new("mmap", Errno::EFAULT))?;
        Ok(Self { start, bytes, backing })
    }

    /// Its size in bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Its address in this process: for probes that survive a fault, and for system calls.
    pub fn address(&self) -> u64 {
        self.start.as_ptr().expose_provenance() as u64
    }

    /// The guest memory file behind it, and the byte of it that the memory begins with; `None` for memory of another kind.
    pub fn file(&self) -> Option<(&Arc<GuestFile>, u64)> {
        match &self.backing {
            Backing::File(file, offset) => Some((file, *offset)),
            Backing::Anonymous | Backing::Memfd(_) => None,
        }
    }

    /// The file behind it, and the byte of the file that it begins at: for whoever maps the same memory elsewhere, such as
    /// another process. `None` for anonymous memory.
    pub fn descriptor(&self) -> Option<(BorrowedFd<'_>, u64)> {
        match &self.backing {
            Backing::Anonymous => None,
            Backing::Memfd(fd) => Some((fd.as_fd(), 0)),
            Backing::File(file, offset) => Some((file.as_fd(), *offset)),
        }
    }

    /// Frees the pages of `bytes` bytes from `offset` on: whoever touches them next finds zeroes.
    ///
    /// # Errors
    /// `EINVAL` for what is not whole pages of it, `EOPNOTSUPP` for anonymous memory; otherwise what `fallocate` says.
    pub fn discard(&self, offset: u64, bytes: u64) -> Result<(), Failed> {
        let inside = offset.checked_add(bytes).is_some_and(|end| end <= self.bytes as u64);
        if !inside || bytes == 0 || !(offset | bytes).is_multiple_of(tenure_abi::PAGE_SIZE) {
            return Err(Failed::new("fallocate", Errno::EINVAL));
        }
        let (file, first) = self.descriptor().ok_or(Failed::new("fallocate", Errno::EOPNOTSUPP))?;
        super::file::punch(file, first + offset, bytes)
    }

    /// The slot `region`, with the guest memory file behind this memory if there is one.
    pub(super) fn backing(&self, region: UserspaceMemoryRegion) -> UserspaceMemoryRegion2 {
        with_file(region, self.file().map(|(file, offset)| (&**file, offset)))
    }

    /// The aligned word at byte `offset`; `None` outside the mapping.
    fn word(&self, offset: usize) -> Option<*mut u64> {
        let inside = offset.is_multiple_of(8) && offset.checked_add(8)? <= self.bytes;
        // SAFETY: the word lies inside the mapping, which is one allocation.
        inside.then(|| unsafe { self.start.as_ptr().byte_add(offset) })
    }

    /// Reads the aligned word at byte `offset`; `None` outside the mapping.
    ///
    /// Reading a page that a guest holds private raises `SIGSEGV` (pKVM) or `SIGBUS` (`guest_memfd`).
    pub fn load(&self, offset: usize) -> Option<u64> {
        // SAFETY: `word` lies inside the mapping and is aligned; the mapping lives as long as `self`.
        self.word(offset).map(|word| unsafe { word.read_volatile() })
    }

    /// Writes the aligned word at byte `offset`; `None` outside the mapping. Raises signals as [`Self::load`].
    pub fn store(&self, offset: usize, value: u64) -> Option<()> {
        // SAFETY: as in `load`.
        self.word(offset).map(|word| unsafe { word.write_volatile(value) })
    }

    /// Copies `image` to byte `offset`, before a guest runs; `None`, and nothing copied, if it does not fit.
    pub fn write(&self, offset: usize, image: &[u8]) -> Option<()> {
        let words = image.chunks(8).enumerate();
        self.word(offset)?;
        if offset.checked_add(image.len().next_multiple_of(8))? > self.bytes {
            return None;
        }
        for (index, chunk) in words {
            let mut word = [0; 8];
            word.iter_mut().zip(chunk).for_each(|(to, from)| *to = *from);
            self.store(offset + index * 8, u64::from_le_bytes(word))?;
        }
        Some(())
    }
}

/// A slot, with a guest memory file from some byte on behind it.
pub(super) fn with_file(mut region: UserspaceMemoryRegion, file: Option<(&GuestFile, u64)>) -> UserspaceMemoryRegion2 {
    let mut slot = UserspaceMemoryRegion2::default();
    if let Some((file, offset)) = file {
        region.flags |= RegionFlags::GUEST_MEMFD.bits();
        slot.guest_memfd_offset = offset;
        // Descriptors are not negative.
        slot.guest_memfd = file.as_fd().as_raw_fd().unsigned_abs();
    }
    UserspaceMemoryRegion2 { region, ..slot }
}

/// A size that this process could map.
pub(super) fn size(bytes: u64) -> Result<usize, Failed> {
    usize::try_from(bytes).map_err(|_| Failed::new("mmap", Errno::ENOMEM))
}

/// Maps `bytes` of a file from byte `offset` on, shared.
fn map(fd: BorrowedFd<'_>, offset: u64, bytes: usize) -> Result<*mut c_void, Failed> {
    let protection = ProtFlags::READ | ProtFlags::WRITE;
    // SAFETY: a new mapping at an address of the kernel's choice replaces nothing.
    unsafe { rustix::mm::mmap(core::ptr::null_mut(), bytes, protection, MapFlags::SHARED, fd, offset) }
        .map_err(Failed::of("mmap"))
}

impl Drop for GuestMemory {
    fn drop(&mut self) {
        // SAFETY: the mapping is this value's own; every VM and vCPU whose slots use it holds a reference count
        // on it, so none of them is alive. A failure would leave the mapping in place, which harms nobody.
        let _ = unsafe { rustix::mm::munmap(self.start.as_ptr().cast(), self.bytes) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accesses_outside_the_mapping_are_refused() {
        let memory = GuestMemory::anonymous(0x2000).unwrap();
        assert_eq!(memory.store(0x1ff8, 5), Some(()));
        assert_eq!((memory.load(0x1ff8), memory.load(0)), (Some(5), Some(0)));
        for offset in [4, 0x1ffc, 0x2000, usize::MAX - 7, usize::MAX] {
            assert_eq!((memory.load(offset), memory.store(offset, 1)), (None, None), "{offset:#x}");
        }
    }

    #[test]
    fn an_image_fits_or_is_not_copied() {
        let memory = GuestMemory::memfd(0x1000).unwrap();
        assert_eq!(memory.write(0xff0, &[1; 17]), None);
        assert_eq!(memory.load(0xff0), Some(0));
        assert_eq!(memory.write(0xff0, &[1, 2, 3, 4, 5, 6, 7, 8, 9]), Some(()));
        assert_eq!((memory.load(0xff0), memory.load(0xff8)), (Some(0x0807_0605_0403_0201), Some(9)));
    }

    #[test]
    fn discarded_pages_of_a_memory_file_are_zero_and_the_others_are_not() {
        let memory = GuestMemory::memfd(0x3000).unwrap();
        for offset in [0, 0x1000, 0x2000] {
            memory.store(offset, 7).unwrap();
        }
        memory.discard(0x1000, 0x1000).unwrap();
        assert_eq!([0, 0x1000, 0x2000].map(|offset| memory.load(offset)), [Some(7), Some(0), Some(7)]);
        for (offset, bytes) in [(0x1000, 0x3000), (0, 0), (8, 0x1000), (0, 8), (!0xfff, 0x1000)] {
            assert_eq!(memory.discard(offset, bytes).unwrap_err().errno, Errno::EINVAL, "{offset:#x}");
        }
        let anonymous = GuestMemory::anonymous(0x1000).unwrap();
        assert_eq!(anonymous.discard(0, 0x1000).unwrap_err().errno, Errno::EOPNOTSUPP);
    }
}
