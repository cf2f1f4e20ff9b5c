//! The one error of the client, from what rustix reports.

use crate::ram::Failed;
use rustix::io::Errno as RustixErrno;
use tenure_abi::Errno;

impl Failed {
    /// `call` failed with what rustix reports.
    pub(super) fn of(call: &'static str) -> impl Fn(RustixErrno) -> Self {
        // Linux's errnos are 1..=4095.
        move |errno| Self { call, errno: Errno(errno.raw_os_error().unsigned_abs() as u16) }
    }
}
