//! Mappings of this process, and system calls on them.

use super::files::opened;
use super::{Kernel, checked, child::Child, touch};
use crate::target::{Answer, Fault, FileId, MapKind, MappingId, Memory, MemoryCall, PinId, ProcessId};
use std::ffi::c_void;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::FileExt;
use tenure_abi::Errno;

/// A range of addresses. Guests may be able to reach what is mapped there, so when the test unmaps it the addresses stay
/// reserved, without access: nothing else of this process may come to lie there while a slot still names them.
pub(super) struct Mapping {
    pub(super) start: u64,
    bytes: usize,
}

/// A reference to pages, held by a pipe.
pub(super) struct Pin {
    _pipe: Pipe,
}

/// Both ends of a pipe.
struct Pipe {
    out: OwnedFd,
    into: OwnedFd,
}

/// `MADV_COLLAPSE` (`include/uapi/asm-generic/mman-common.h`), which not every C library has.
const COLLAPSE: i32 = 25;
const PROTECTION: i32 = libc::PROT_READ | libc::PROT_WRITE;

impl Mapping {
    fn new(bytes: u64, flags: i32, fd: i32, offset: u64) -> Answer<Self> {
        let length = bytes as usize;
        // SAFETY: a new mapping at an address of the kernel's choice replaces nothing.
        let start = unsafe { libc::mmap(std::ptr::null_mut(), length, PROTECTION, flags, fd, offset.cast_signed()) };
        checked(start as i64)?;
        Ok(Self { start: start as u64, bytes: length })
    }

    /// Zeroed memory, shared with children.
    pub(super) fn anonymous(bytes: u64) -> Answer<Self> {
        Self::new(bytes, libc::MAP_SHARED | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE, -1, 0)
    }

    /// Takes away what is mapped; the addresses stay reserved.
    fn vacate(&self) {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE | libc::MAP_FIXED;
        // SAFETY: the range is this value's own.
        unsafe { libc::mmap(self.at(0), self.bytes, libc::PROT_NONE, flags, -1, 0) };
    }

    fn at(&self, offset: u64) -> *mut c_void {
        (self.start + offset) as *mut c_void
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the range is this value's own, and no VM is left whose slots name it.
        unsafe { libc::munmap(self.at(0), self.bytes) };
    }
}

impl Pipe {
    fn new() -> Answer<Self> {
        let mut ends = [0; 2];
        // SAFETY: `ends` has room for two descriptors.
        checked(unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC | libc::O_NONBLOCK) }.into())?;
        let [out, into] = ends.map(|end| opened(end.into()));
        Ok(Self { out: out?, into: into? })
    }

    /// The byte that was put in.
    fn take(&self) -> Answer<u8> {
        let mut byte = 0_u8;
        // SAFETY: there is room for one byte.
        checked(unsafe { libc::read(self.out.as_raw_fd(), (&raw mut byte).cast(), 1) } as i64)?;
        Ok(byte)
    }

    /// Puts a reference to memory in; whole or not at all.
    fn splice(&self, at: *mut c_void, bytes: usize) -> Answer {
        let part = libc::iovec { iov_base: at, iov_len: bytes };
        // SAFETY: one part, whose pages the kernel only refers to.
        let moved = checked(unsafe { libc::vmsplice(self.into.as_raw_fd(), &raw const part, 1, 0) } as i64)?;
        if moved as usize == bytes { Ok(()) } else { Err(Errno::EAGAIN) }
    }
}

impl Memory for Kernel {
    fn map(&mut self, file: FileId, offset: u64, bytes: u64, kind: MapKind) -> Answer<MappingId> {
        let fd = self.descriptor(file);
        let flags = match kind {
            MapKind::Shared => libc::MAP_SHARED,
            MapKind::Private => libc::MAP_PRIVATE,
            MapKind::Populated => libc::MAP_SHARED | libc::MAP_POPULATE,
        };
        Ok(MappingId(self.mappings.add(Mapping::new(bytes, flags, fd, offset)?)))
    }

    fn anonymous(&mut self, bytes: u64) -> Answer<MappingId> {
        Ok(MappingId(self.mappings.add(Mapping::anonymous(bytes)?)))
    }

    fn unmap(&mut self, mapping: MappingId) {
        self.mappings.get(mapping.0).vacate();
    }

    fn address(&mut self, mapping: MappingId) -> u64 {
        self.mappings.get(mapping.0).start
    }

    fn fork(&mut self) -> Answer<ProcessId> {
        Ok(ProcessId(self.children.add(Child::fork()?)))
    }

    fn end(&mut self, process: ProcessId) {
        drop(self.children.remove(process.0));
    }

    fn load(&mut self, process: ProcessId, mapping: MappingId, offset: u64) -> Result<u8, Fault> {
        let start = self.mappings.get(mapping.0).start;
        match process {
            ProcessId::VMM => touch::load(start, offset),
            ProcessId(child) => self.children.get(child).load(start, offset),
        }
    }

    fn store(&mut self, process: ProcessId, mapping: MappingId, offset: u64, value: u8) -> Result<(), Fault> {
        let start = self.mappings.get(mapping.0).start;
        match process {
            ProcessId::VMM => touch::store(start, offset, value),
            ProcessId(child) => self.children.get(child).store(start, offset, value),
        }
    }

    fn memory_call(&mut self, mapping: MappingId, offset: u64, bytes: u64, call: MemoryCall) -> Answer<u8> {
        let at = self.mappings.get(mapping.0).at(offset);
        let length = bytes as usize;
        let advise = |advice| {
            // SAFETY: none of these advices takes away memory that anything but this target uses.
            checked(unsafe { libc::madvise(at, length, advice) }.into()).map(|_| 0)
        };
        match call {
            MemoryCall::WriteToPipe => {
                let pipe = Pipe::new()?;
                // SAFETY: the kernel copies the byte or says that it cannot.
                checked(unsafe { libc::write(pipe.into.as_raw_fd(), at, 1) } as i64)?;
                pipe.take()
            }
            MemoryCall::SelfMem => self_mem(at),
            MemoryCall::ProcessRead => process_read(at),
            MemoryCall::Splice => {
                let pipe = Pipe::new()?;
                pipe.splice(at, 1)?;
                pipe.take()
            }
            MemoryCall::DirectWrite => direct_write(at),
            MemoryCall::PopulateRead => advise(libc::MADV_POPULATE_READ),
            MemoryCall::PopulateWrite => advise(libc::MADV_POPULATE_WRITE),
            MemoryCall::DontNeed => advise(libc::MADV_DONTNEED),
            MemoryCall::Remove => advise(libc::MADV_REMOVE),
            MemoryCall::HugePage => advise(libc::MADV_HUGEPAGE),
            MemoryCall::Collapse => advise(COLLAPSE),
            MemoryCall::Lock => {
                // A range stays locked when its pages could not be had; whatever comes next would see that.
                // SAFETY: neither changes what is mapped.
                let (locked, unlocked) = unsafe {
                    let locked = checked(libc::mlock(at, length).into());
                    (locked, checked(libc::munlock(at, length).into()))
                };
                locked.and(unlocked).map(|_| 0)
            }
            MemoryCall::MakeExecutable => {
                // SAFETY: the range is a mapping of this target; nothing in it is ever run.
                let result = unsafe { libc::mprotect(at, length, libc::PROT_READ | libc::PROT_EXEC) };
                checked(result.into()).map(|_| 0)
            }
        }
    }

    fn resident(&mut self, mapping: MappingId, offset: u64) -> Answer<bool> {
        let at = self.mappings.get(mapping.0).at(offset);
        let mut page = 0_u8;
        // SAFETY: one page, and one byte for its answer.
        checked(unsafe { libc::mincore(at, 0x1000, &raw mut page) }.into())?;
        Ok(page & 1 != 0)
    }

    fn pin(&mut self, mapping: MappingId, offset: u64, bytes: u64) -> Answer<PinId> {
        let at = self.mappings.get(mapping.0).at(offset);
        let pipe = Pipe::new()?;
        // SAFETY: no address. Every page takes a place of its own in the pipe.
        checked(unsafe { libc::fcntl(pipe.into.as_raw_fd(), libc::F_SETPIPE_SZ, bytes as i32) }.into())?;
        pipe.splice(at, bytes as usize)?;
        Ok(PinId(self.pins.add(Pin { _pipe: pipe })))
    }

    fn unpin(&mut self, pin: PinId) {
        drop(self.pins.remove(pin.0));
    }

    fn frame(&mut self, mapping: MappingId, offset: u64) -> Option<u64> {
        frame_at(self.mappings.get(mapping.0).start + offset)
    }
}

/// Which frame this process has mapped at an address; `None` if none, or if it is not allowed to see it.
pub(super) fn frame_at(address: u64) -> Option<u64> {
    /// Bit 63: present; bits 0..55: the frame, 0 for whoever is not allowed to see it.
    const PRESENT: u64 = 1 << 63;
    const FRAME: u64 = (1 << 55) - 1;
    let mut entry = [0; 8];
    std::fs::File::open("/proc/self/pagemap").ok()?.read_exact_at(&mut entry, address / 0x1000 * 8).ok()?;
    let entry = u64::from_le_bytes(entry);
    (entry & PRESENT != 0).then_some(entry & FRAME).filter(|frame| *frame != 0)
}

fn self_mem(at: *mut c_void) -> Answer<u8> {
    let os = |error: std::io::Error| super::vmm::errno(error.raw_os_error().unwrap_or(0));
    let memory = std::fs::File::open("/proc/self/mem").map_err(os)?;
    let mut byte = [0];
    memory.read_at(&mut byte, at as u64).map_err(os)?;
    Ok(byte[0])
}

fn process_read(at: *mut c_void) -> Answer<u8> {
    let mut byte = 0_u8;
    let into = libc::iovec { iov_base: (&raw mut byte).cast(), iov_len: 1 };
    let from = libc::iovec { iov_base: at, iov_len: 1 };
    // SAFETY: the kernel copies one byte into a place for one byte, or says that it cannot.
    checked(unsafe { libc::process_vm_readv(libc::getpid(), &raw const into, 1, &raw const from, 1, 0) } as i64)?;
    Ok(byte)
}

/// The file is opened anew for every call: its name is gone before anything is written.
fn direct_write(at: *mut c_void) -> Answer<u8> {
    let folder = std::env::temp_dir();
    let path = std::ffi::CString::new(folder.as_os_str().as_encoded_bytes()).map_err(|_| Errno::EINVAL)?;
    let flags = libc::O_TMPFILE | libc::O_RDWR | libc::O_CLOEXEC | libc::O_DIRECT;
    // SAFETY: the path is NUL-terminated; the other calls move one page, which is aligned as direct access asks for.
    unsafe {
        let file = opened(libc::open(path.as_ptr(), flags, 0o600).into()).map_err(|_| Errno::EOPNOTSUPP)?;
        checked(libc::pwrite(file.as_raw_fd(), at, 0x1000, 0) as i64)?;
        checked(libc::fcntl(file.as_raw_fd(), libc::F_SETFL, 0).into())?;
        let mut byte = 0_u8;
        checked(libc::pread(file.as_raw_fd(), (&raw mut byte).cast(), 1, 0) as i64)?;
        Ok(byte)
    }
}
