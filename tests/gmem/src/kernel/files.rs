//! System calls on files.

use super::{Kernel, checked};
use crate::target::{Answer, FileCall, FileId, Files, Foreign, Stat};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

impl Kernel {
    /// The descriptor of an open file.
    pub(super) fn descriptor(&mut self, file: FileId) -> i32 {
        self.files.get(file.0).as_raw_fd()
    }
}

/// The descriptor that a system call returned.
pub(super) fn opened(result: i64) -> Answer<OwnedFd> {
    let number = checked(result)?;
    // SAFETY: it was opened just now, and nobody else has it; descriptors fit an `i32`.
    Ok(unsafe { OwnedFd::from_raw_fd(number as i32) })
}

impl Files for Kernel {
    fn number(&mut self, file: FileId) -> u32 {
        self.descriptor(file).cast_unsigned()
    }

    fn foreign(&mut self, what: Foreign) -> u32 {
        match what {
            Foreign::Kvm => self.kvm.as_raw_fd().cast_unsigned(),
            Foreign::Vm(vm) => self.vms.get(vm.0).descriptor().cast_unsigned(),
            Foreign::Memfd => {
                if let Some(memfd) = self.foreign.first() {
                    return memfd.as_raw_fd().cast_unsigned();
                }
                // SAFETY: the name is NUL-terminated.
                let memfd = unsafe { libc::memfd_create(c"tenure".as_ptr(), libc::MFD_CLOEXEC) };
                let memfd = opened(memfd.into()).expect("a memory file");
                let number = memfd.as_raw_fd().cast_unsigned();
                self.foreign.push(memfd);
                number
            }
        }
    }

    fn dup(&mut self, file: FileId) -> Answer<FileId> {
        let fd = self.descriptor(file);
        // SAFETY: no address.
        let copy = opened(unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, 0) }.into())?;
        Ok(FileId(self.files.add(copy)))
    }

    fn close(&mut self, file: FileId) {
        drop(self.files.remove(file.0));
    }

    fn stat(&mut self, file: FileId) -> Answer<Stat> {
        let fd = self.descriptor(file);
        // SAFETY: all-zero is a valid `stat`, and it is as large as the call writes.
        let stat = unsafe {
            let mut stat: libc::stat = std::mem::zeroed();
            checked(libc::fstat(fd, &raw mut stat).into())?;
            stat
        };
        Ok(Stat {
            size: stat.st_size.cast_unsigned(),
            block_size: stat.st_blksize.cast_unsigned(),
            blocks: stat.st_blocks.cast_unsigned(),
            inode: stat.st_ino,
        })
    }

    fn allocate(&mut self, file: FileId, mode: u32, offset: u64, bytes: u64) -> Answer {
        let fd = self.descriptor(file);
        // SAFETY: no address.
        let result = unsafe { libc::fallocate(fd, mode.cast_signed(), offset.cast_signed(), bytes.cast_signed()) };
        checked(result.into()).map(drop)
    }

    fn truncate(&mut self, file: FileId, bytes: u64) -> Answer {
        let fd = self.descriptor(file);
        // SAFETY: no address.
        checked(unsafe { libc::ftruncate(fd, bytes.cast_signed()) }.into()).map(drop)
    }

    fn file_call(&mut self, file: FileId, call: FileCall) -> Answer<u64> {
        let fd = self.descriptor(file);
        let mut byte = 0_u8;
        let at = (&raw mut byte).cast::<libc::c_void>();
        if let FileCall::Reopen = call {
            let path = std::ffi::CString::new(format!("/proc/self/fd/{fd}")).expect("a path without NUL");
            // SAFETY: the path is NUL-terminated.
            return opened(unsafe { libc::open(path.as_ptr(), libc::O_RDWR | libc::O_CLOEXEC) }.into()).map(|_| 0);
        }
        // SAFETY: the calls that read or write memory have one byte for it, which outlives them.
        let result = unsafe {
            match call {
                FileCall::Read => libc::read(fd, at, 1) as i64,
                FileCall::Write => libc::write(fd, at, 1) as i64,
                FileCall::ReadAt(offset) => libc::pread(fd, at, 1, offset.cast_signed()) as i64,
                FileCall::WriteAt(offset) => libc::pwrite(fd, at, 1, offset.cast_signed()) as i64,
                FileCall::Seek(offset) => libc::lseek(fd, offset.cast_signed(), libc::SEEK_SET),
                FileCall::GetSeals => libc::fcntl(fd, libc::F_GET_SEALS).into(),
                FileCall::AddSeals => libc::fcntl(fd, libc::F_ADD_SEALS, libc::F_SEAL_SHRINK).into(),
                FileCall::Reopen => unreachable!("handled above"),
            }
        };
        checked(result)
    }
}
