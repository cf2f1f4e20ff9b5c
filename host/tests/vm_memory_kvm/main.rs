//! Guest memory for the crate `vm-memory`, over guest memory files of this machine's kernel: a touch of a private page ends the
//! process, and an access through a region is an error instead.
//!
//! The kernel need not convert in place for that: a file is private or shared as it was made.

#[cfg(target_os = "linux")]
mod files;

#[cfg(target_os = "linux")]
fn main() -> std::process::ExitCode {
    files::main()
}

#[cfg(not(target_os = "linux"))]
fn main() {}
