//! Other ways in which a host gets at a page of its guest, and which frame is behind an address.

use std::io::{Read, Seek, SeekFrom};
use tenure_abi::{PAGE_SHIFT, PAGE_SIZE};

/// `write(2)` of the word at `address` into a pipe: the kernel copies from user space, with a fixup.
/// The word it read, or the errno.
pub fn by_write(address: u64) -> Result<u64, i32> {
    let (mut reader, writer) = std::io::pipe().map_err(|error| errno(&error))?;
    let fd = std::os::fd::AsRawFd::as_raw_fd(&writer);
    // SAFETY: the kernel reads 8 bytes; if they cannot be read it says so.
    let written = unsafe { libc::write(fd, std::ptr::with_exposed_provenance(address as usize), 8) };
    if written != 8 {
        return Err(errno(&std::io::Error::last_os_error()));
    }
    let mut word = [0; 8];
    reader.read_exact(&mut word).map_err(|error| errno(&error))?;
    Ok(u64::from_le_bytes(word))
}

/// `process_vm_readv(2)` of the word at `address`: the kernel reads through its linear map, without a fixup.
/// pKVM answers by taking the page from the guest. The word it read, or the errno.
pub fn by_linear_map(address: u64) -> Result<u64, i32> {
    let mut word = 0_u64;
    let local = libc::iovec { iov_base: (&raw mut word).cast(), iov_len: 8 };
    let remote = libc::iovec { iov_base: std::ptr::with_exposed_provenance_mut(address as usize), iov_len: 8 };
    // SAFETY: the kernel writes 8 bytes to `word`, which no reference is alive to; the remote side is only read.
    let read = unsafe { libc::process_vm_readv(libc::getpid(), &raw const local, 1, &raw const remote, 1, 0) };
    if read != 8 {
        return Err(errno(&std::io::Error::last_os_error()));
    }
    Ok(word)
}

/// The frame behind `address`, from `/proc/self/pagemap`; `None` if there is none.
pub fn frame(address: u64) -> Option<u64> {
    const PRESENT: u64 = 1 << 63;
    const FRAME: u64 = (1 << 55) - 1;
    let mut file = std::fs::File::open("/proc/self/pagemap").ok()?;
    file.seek(SeekFrom::Start(address / PAGE_SIZE * 8)).ok()?;
    let mut entry = [0; 8];
    file.read_exact(&mut entry).ok()?;
    let entry = u64::from_le_bytes(entry);
    (entry & PRESENT != 0).then_some((entry & FRAME) << PAGE_SHIFT)
}

fn errno(error: &std::io::Error) -> i32 {
    error.raw_os_error().unwrap_or(0)
}
