//! The one error of the client: which call failed, and the kernel's errno.

use core::fmt;
use rustix::io::Errno as RustixErrno;
use tenure_abi::Errno;

/// A call the kernel refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failed {
    /// The call, as the kernel's documents name it.
    pub call: &'static str,
    /// Why.
    pub errno: Errno,
}

impl Failed {
    pub(super) fn new(call: &'static str, errno: Errno) -> Self {
        Self { call, errno }
    }

    /// `call` failed with what rustix reports.
    pub(super) fn of(call: &'static str) -> impl Fn(RustixErrno) -> Self {
        // Linux's errnos are 1..=4095.
        move |errno| Self { call, errno: Errno(errno.raw_os_error().unsigned_abs() as u16) }
    }
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {:?}", self.call, self.errno)
    }
}

impl core::error::Error for Failed {}
