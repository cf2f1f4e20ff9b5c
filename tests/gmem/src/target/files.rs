//! System calls on a guest memory file.

use super::{Answer, FileId, VmId};

/// What `fstat` says of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    /// `st_size`, bytes.
    pub size: u64,
    /// `st_blksize`, bytes.
    pub block_size: u64,
    /// `st_blocks`, units of 512 bytes.
    pub blocks: u64,
    /// `st_ino`: equal for two descriptors of the same file, different for two files that live at the same time.
    pub inode: u64,
}

/// A descriptor that is not of a guest memory file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Foreign {
    /// `/dev/kvm`.
    Kvm,
    /// A VM.
    Vm(VmId),
    /// An ordinary memory file.
    Memfd,
}

/// A system call for which a guest memory file is the wrong kind of file, or nearly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileCall {
    /// `read` of one byte.
    Read,
    /// `write` of one byte.
    Write,
    /// `pread` of one byte at this offset.
    ReadAt(u64),
    /// `pwrite` of one byte at this offset.
    WriteAt(u64),
    /// `lseek` to this offset.
    Seek(u64),
    /// `open` of the descriptor's link in `/proc/self/fd`, for reading and writing; closed again at once.
    Reopen,
    /// `fcntl(F_GET_SEALS)`.
    GetSeals,
    /// `fcntl(F_ADD_SEALS, F_SEAL_SHRINK)`.
    AddSeals,
}

/// What can be done to a file by its descriptor.
pub trait Files {
    /// The number by which `guest_memfd` of a slot names it.
    fn number(&mut self, file: FileId) -> u32;

    /// The number of a descriptor that is not of a guest memory file; the target keeps it open until it is reset.
    fn foreign(&mut self, what: Foreign) -> u32;

    /// `dup`.
    ///
    /// # Errors
    /// As the target says.
    fn dup(&mut self, file: FileId) -> Answer<FileId>;

    /// `close`.
    fn close(&mut self, file: FileId);

    /// `fstat`.
    ///
    /// # Errors
    /// As the target says.
    fn stat(&mut self, file: FileId) -> Answer<Stat>;

    /// `fallocate` with the raw mode: `FALLOC_FL_KEEP_SIZE` 1, `_PUNCH_HOLE` 2, `_COLLAPSE_RANGE` 8, `_ZERO_RANGE` 16.
    /// Offset and length are signed on the wire.
    ///
    /// # Errors
    /// As the target says.
    fn allocate(&mut self, file: FileId, mode: u32, offset: u64, bytes: u64) -> Answer;

    /// `ftruncate`.
    ///
    /// # Errors
    /// As the target says.
    fn truncate(&mut self, file: FileId, bytes: u64) -> Answer;

    /// Another call; the answer is its return value.
    ///
    /// # Errors
    /// As the target says.
    fn file_call(&mut self, file: FileId, call: FileCall) -> Answer<u64>;
}
