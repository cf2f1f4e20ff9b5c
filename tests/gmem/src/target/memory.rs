//! Mappings of processes: loads, stores, and system calls that touch memory on a process's behalf.

use super::{Answer, FileId, MappingId, PinId, ProcessId};

/// The signal of an access that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// `SIGBUS`.
    Bus,
    /// `SIGSEGV`.
    Segv,
}

/// An access that failed: nothing was loaded or stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The signal.
    pub signal: Signal,
    /// `si_code`: 2 is `BUS_ADRERR`, and `SEGV_ACCERR`.
    pub code: i32,
    /// `si_addr`, as a byte offset in the mapping.
    pub offset: u64,
}

impl Fault {
    /// What a page that this process may not touch raises: `SIGBUS`, `BUS_ADRERR`, at the very byte.
    pub const fn bus(offset: u64) -> Self {
        Self { signal: Signal::Bus, code: 2, offset }
    }
}

/// How a file is mapped; always readable and writable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapKind {
    /// `MAP_SHARED`.
    Shared,
    /// `MAP_PRIVATE`.
    Private,
    /// `MAP_SHARED | MAP_POPULATE`.
    Populated,
}

/// A system call on a range of a mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemoryCall {
    /// `write` of the first byte into a pipe; the byte that came out of it.
    WriteToPipe,
    /// `pread` of the first byte from `/proc/self/mem`; the byte.
    SelfMem,
    /// `process_vm_readv` of the first byte; the byte.
    ProcessRead,
    /// `vmsplice` of the first byte into a pipe; the byte that came out of it.
    Splice,
    /// `pwrite` of the first page into a file opened with `O_DIRECT`; the first byte of that file.
    DirectWrite,
    /// `madvise(MADV_POPULATE_READ)`.
    PopulateRead,
    /// `madvise(MADV_POPULATE_WRITE)`.
    PopulateWrite,
    /// `madvise(MADV_DONTNEED)`.
    DontNeed,
    /// `madvise(MADV_REMOVE)`: the pages behind the range are freed, for everybody who maps them.
    Remove,
    /// `madvise(MADV_HUGEPAGE)`.
    HugePage,
    /// `madvise(MADV_COLLAPSE)`.
    Collapse,
    /// `mlock`, and `munlock` however that ended.
    Lock,
    /// `mprotect` to readable and executable.
    MakeExecutable,
}

/// What processes do with memory.
pub trait Memory {
    /// Maps `bytes` of the file from `offset` on.
    ///
    /// # Errors
    /// As the target says.
    fn map(&mut self, file: FileId, offset: u64, bytes: u64, kind: MapKind) -> Answer<MappingId>;

    /// Zeroed memory of the process that has nothing to do with any file; children share it.
    ///
    /// # Errors
    /// As the target says.
    fn anonymous(&mut self, bytes: u64) -> Answer<MappingId>;

    /// `munmap` of all of it, in the VMM; what children have mapped stays.
    fn unmap(&mut self, mapping: MappingId);

    /// The address by which `userspace_addr` of a slot names it, page aligned.
    fn address(&mut self, mapping: MappingId) -> u64;

    /// Forks a child that has all mappings of this moment. It does nothing but what it is told here.
    ///
    /// # Errors
    /// As the target says.
    fn fork(&mut self) -> Answer<ProcessId>;

    /// Ends a child.
    fn end(&mut self, process: ProcessId);

    /// Loads the byte at `offset`; offsets beyond what is mapped are a mistake, offsets beyond the file are not.
    ///
    /// # Errors
    /// The signal.
    fn load(&mut self, process: ProcessId, mapping: MappingId, offset: u64) -> Result<u8, Fault>;

    /// Stores the byte at `offset`.
    ///
    /// # Errors
    /// The signal.
    fn store(&mut self, process: ProcessId, mapping: MappingId, offset: u64, value: u8) -> Result<(), Fault>;

    /// A system call of the VMM on `bytes` bytes from `offset` on; a byte where [`MemoryCall`] says so, otherwise 0.
    ///
    /// # Errors
    /// As the target says.
    fn memory_call(&mut self, mapping: MappingId, offset: u64, bytes: u64, call: MemoryCall) -> Answer<u8>;

    /// `mincore` of the page at `offset`.
    ///
    /// # Errors
    /// As the target says.
    fn resident(&mut self, mapping: MappingId, offset: u64) -> Answer<bool>;

    /// Takes a long-term reference, for writing, to the pages of a range, without touching their bytes.
    ///
    /// # Errors
    /// `EFAULT` where the process may not touch them; `EOPNOTSUPP` where the target has no way to do it.
    fn pin(&mut self, mapping: MappingId, offset: u64, bytes: u64) -> Answer<PinId>;

    /// Lets go.
    fn unpin(&mut self, pin: PinId);

    /// Which frame of the machine the process has mapped at `offset`; `None` if none, or if the target does not show it.
    fn frame(&mut self, mapping: MappingId, offset: u64) -> Option<u64>;
}
