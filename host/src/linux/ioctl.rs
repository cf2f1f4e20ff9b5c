//! The three shapes of ioctl that KVM has, and the one place where they are made.
//!
//! rustix's own patterns drop the return value, which is where KVM puts file descriptors and answers.

use crate::ram::Failed;
use core::ffi::c_void;
use rustix::fd::{AsFd, FromRawFd, OwnedFd};
use rustix::io::{Errno, Result as RustixResult};
use rustix::ioctl::{Ioctl, IoctlOutput, Opcode};

/// A request with an argument that is passed as it is.
struct Request {
    opcode: Opcode,
    argument: *mut c_void,
}

// SAFETY: `output_from_ptr` looks at nothing but the return value, and the argument is handed on as the
// callers below give it; each of them says why the kernel may use it.
unsafe impl Ioctl for Request {
    type Output = i32;
    // True also for requests that change nothing: it only makes rustix assume less.
    const IS_MUTATING: bool = true;

    fn opcode(&self) -> Opcode {
        self.opcode
    }

    fn as_ptr(&mut self) -> *mut c_void {
        self.argument
    }

    unsafe fn output_from_ptr(out: IoctlOutput, _: *mut c_void) -> RustixResult<i32> {
        Ok(out)
    }
}

/// Makes one request; an interrupted one is made again.
///
/// # Safety
/// The kernel must be allowed to do with `argument` what `opcode` says.
unsafe fn request(fd: impl AsFd, call: &'static str, opcode: Opcode, argument: *mut c_void) -> Result<i32, Failed> {
    loop {
        // SAFETY: the caller's promise.
        match unsafe { rustix::ioctl::ioctl(&fd, Request { opcode, argument }) } {
            Err(Errno::INTR) => {}
            result => return result.map_err(Failed::of(call)),
        }
    }
}

/// A request whose argument is a structure that the kernel reads and writes, made once: whoever counts attempts wants to hear of an
/// interruption.
///
/// # Safety
/// As [`structure`].
pub(super) unsafe fn once<T>(fd: impl AsFd, call: &'static str, opcode: Opcode, value: &mut T) -> Result<(), Failed> {
    let argument = core::ptr::from_mut(value).cast();
    // SAFETY: `value` is borrowed for the call; the rest is the caller's promise.
    let result = unsafe { rustix::ioctl::ioctl(fd, Request { opcode, argument }) };
    result.map(drop).map_err(Failed::of(call))
}

/// A request whose argument is a number.
pub(super) fn number(fd: impl AsFd, call: &'static str, opcode: Opcode, value: u64) -> Result<i32, Failed> {
    // SAFETY: every request this is used for (see `wire`) takes a number, so nothing is dereferenced.
    unsafe { request(fd, call, opcode, core::ptr::without_provenance_mut(value as usize)) }
}

/// A request whose argument is a structure that the kernel reads and may write.
///
/// # Safety
/// `T` is the structure of `opcode`, and the kernel may use the addresses that stand in it.
pub(super) unsafe fn structure<T>(
    fd: impl AsFd,
    call: &'static str,
    opcode: Opcode,
    value: &mut T,
) -> Result<i32, Failed> {
    // SAFETY: `value` is borrowed for the call and as large as the request says; the rest is the caller's promise.
    unsafe { request(fd, call, opcode, core::ptr::from_mut(value).cast()) }
}

/// `KVM_RUN`, not repeated when interrupted: a signal is how a vCPU is stopped.
pub(super) fn run(fd: impl AsFd, opcode: Opcode) -> Result<(), Failed> {
    // SAFETY: `KVM_RUN` has no argument; what it writes is the run page, which is never borrowed.
    let result = unsafe { rustix::ioctl::ioctl(fd, Request { opcode, argument: core::ptr::null_mut() }) };
    result.map(drop).map_err(Failed::of("KVM_RUN"))
}

/// The file descriptor that a successful create request returned.
pub(super) fn owned(fd: i32) -> OwnedFd {
    // SAFETY: the callers pass what a create request has just returned: a new descriptor nobody else has.
    unsafe { OwnedFd::from_raw_fd(fd) }
}
