//! Memory that backs a guest: an owned mapping of this process.
//!
//! Guest and host touch it at the same time, so no reference into it is ever made: accesses go through
//! raw pointers, volatile, one aligned word at a time. A word of a page that the guest holds private
//! cannot be read at all: the access ends the process with a signal unless the process handles it.

use super::failed::Failed;
use super::file::GuestFile;
use core::ffi::c_void;
use core::ptr::NonNull;
use rustix::fd::{AsFd, AsRawFd, BorrowedFd};
use rustix::fs::MemfdFlags;
use rustix::mm::{MapFlags, ProtFlags};
use std::sync::Arc;
use tenure_abi::Errno;
use tenure_abi::gmem::{RegionFlags, UserspaceMemoryRegion, UserspaceMemoryRegion2};

/// Where the bytes come from.
enum Backing {
    Anonymous,
    Memfd,
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
        // The mapping keeps the file alive.
        Self::new(map(fd.as_fd(), 0, bytes)?, bytes, Backing::Memfd)
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
            Backing::Anonymous | Backing::Memfd => None,
        }
    }

    /// The slot `region`, with the guest memory file behind this memory if there is one.
    pub(super) fn backing(&self, mut region: UserspaceMemoryRegion) -> UserspaceMemoryRegion2 {
        let mut slot = UserspaceMemoryRegion2::default();
        if let Backing::File(file, offset) = &self.backing {
            region.flags |= RegionFlags::GUEST_MEMFD.bits();
            slot.guest_memfd_offset = *offset;
            // Descriptors are not negative.
            slot.guest_memfd = file.as_fd().as_raw_fd().unsigned_abs();
        }
        UserspaceMemoryRegion2 { region, ..slot }
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
}
