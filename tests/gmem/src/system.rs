//! Being process 1: nobody else mounts what the programs read, or powers the machine off.

use std::ffi::CStr;
use std::process::ExitCode;

fn is_process_1() -> bool {
    std::process::id() == 1
}

/// As process 1, mounts what the programs read.
pub fn prepare() {
    if is_process_1() {
        for (kind, target) in [(c"devtmpfs", c"/dev"), (c"proc", c"/proc"), (c"sysfs", c"/sys"), (c"tmpfs", c"/tmp")] {
            mount(kind, target);
        }
    }
}

fn mount(kind: &CStr, target: &CStr) {
    // SAFETY: NUL-terminated strings that outlive the call, and no data.
    unsafe { libc::mount(kind.as_ptr(), target.as_ptr(), kind.as_ptr(), 0, std::ptr::null()) };
}

/// The last line, and the end: of the machine if this is process 1.
pub fn finish(good: bool) -> ExitCode {
    println!("TENURE end");
    if is_process_1() {
        // SAFETY: neither call takes an address.
        unsafe {
            libc::sync();
            libc::reboot(libc::RB_POWER_OFF);
        }
    }
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
