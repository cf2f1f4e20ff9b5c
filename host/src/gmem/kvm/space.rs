//! `fallocate` on a file: frames come and go, visibility stays.

use super::{errno, pages};
use crate::gmem::nodes::Nodes;
use crate::gmem::{Env, File};
use crate::platform::Platform;
use tenure_abi::{Errno, Interface};

/// `FALLOC_FL_KEEP_SIZE`: without it a file could grow, which these never do.
const KEEP_SIZE: u32 = 1;
/// `FALLOC_FL_PUNCH_HOLE`.
const PUNCH_HOLE: u32 = 2;

/// Modes that Linux knows for some file system: seen on a running 6.18. Of the rest it says so before it looks at anything but
/// signs.
const KNOWN: [u32; 10] =
    [0, KEEP_SIZE, KEEP_SIZE | PUNCH_HOLE, 0x08, 0x10, 0x10 | KEEP_SIZE, 0x20, 0x40, 0x40 | KEEP_SIZE, 0x80];

/// `fallocate`. Offset and length are signed on the wire. The order of refusals is that of a running 6.18.
///
/// # Errors
/// In this order: `EINVAL` for a negative offset or a length that is not positive, `EOPNOTSUPP` for a mode that nobody knows,
/// `EFBIG` for an end beyond 2^63 − 1, `EOPNOTSUPP` for a mode other than to allocate or to punch, in both cases with the
/// size kept, `EINVAL` for anything but whole pages and for an allocation beyond the file's end. A hole may reach
/// beyond the end, or lie there. Then `ENOMEM`, after which some pages may be allocated, and `EAGAIN`.
pub fn fallocate<E: Env, P: Platform, N: Nodes, const BINDINGS: usize>(
    file: &File<'_, E, P, N, BINDINGS>,
    mode: u32,
    offset: u64,
    len: u64,
) -> Result<(), Errno> {
    let (Ok(start), Ok(1..)) = (i64::try_from(offset), i64::try_from(len)) else { return Err(Errno::EINVAL) };
    if !KNOWN.contains(&mode) {
        return Err(Errno::EOPNOTSUPP);
    }
    start.checked_add_unsigned(len).ok_or(Errno::EFBIG)?;
    if mode & !PUNCH_HOLE != KEEP_SIZE {
        return Err(Errno::EOPNOTSUPP);
    }
    if !pages(offset, len) {
        return Err(Errno::EINVAL);
    }
    let within = len.min(file.bytes().saturating_sub(offset));
    let done = if mode & PUNCH_HOLE == 0 {
        let pages = file.pages(offset, len).map_err(|error| errno(error, Interface::Gmem))?;
        file.allocate(pages)
    } else {
        match file.pages(offset, within) {
            Ok(pages) => file.punch(pages),
            Err(_) => Ok(()),
        }
    };
    done.map_err(|failed| errno(failed.error, Interface::Gmem))
}
