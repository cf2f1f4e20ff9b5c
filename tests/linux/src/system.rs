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

/// Runs `work` while a signal arrives every millisecond; system calls are interrupted, not restarted.
pub fn under_signals<T>(work: impl FnOnce() -> T) -> T {
    extern "C" fn on_alarm(_: i32) {}
    let every = |tv_usec| {
        let time = libc::timeval { tv_sec: 0, tv_usec };
        let timer = libc::itimerval { it_interval: time, it_value: time };
        // SAFETY: all-zero is a valid `sigaction` and asks for no restart; the handler does nothing; both structures
        // outlive the calls.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = on_alarm as *const () as usize;
            libc::sigaction(libc::SIGALRM, &raw const action, std::ptr::null_mut());
            libc::setitimer(libc::ITIMER_REAL, &raw const timer, std::ptr::null_mut());
        }
    };
    every(1000);
    let result = work();
    every(0);
    result
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
