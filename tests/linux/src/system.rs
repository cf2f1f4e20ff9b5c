//! Being process 1: nobody else mounts `/proc` or powers the machine off.

use std::ffi::CStr;

/// Mounts what the tests read. Harmless where it is mounted already.
pub fn prepare() {
    mount(c"dev", c"/dev", c"devtmpfs");
    mount(c"proc", c"/proc", c"proc");
}

fn mount(source: &CStr, target: &CStr, kind: &CStr) {
    // SAFETY: three NUL-terminated strings that outlive the call, and no data.
    unsafe { libc::mount(source.as_ptr(), target.as_ptr(), kind.as_ptr(), 0, std::ptr::null()) };
}

/// Whether the kernel's command line has the word `word`.
pub fn asked_for(word: &str) -> bool {
    std::fs::read_to_string("/proc/cmdline").is_ok_and(|line| line.split_whitespace().any(|w| w == word))
}

/// Ends the machine.
pub fn power_off() -> ! {
    // SAFETY: neither call takes an address.
    unsafe {
        libc::sync();
        libc::reboot(libc::RB_POWER_OFF);
    }
    std::process::exit(0)
}
