//! Rust targets of the toolchain that runs us.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use crate::command::run;

/// Adds `target` unless its library is there already.
pub(super) fn target(target: &str) -> Result<(), String> {
    if installed(target) {
        return Ok(());
    }
    let advice = format!("the Rust target {target} is missing: run `rustup target add {target}`");
    let mut rustup = Command::new("rustup");
    rustup.args(["target", "add", target]);
    let done = run(&mut rustup, Duration::from_mins(10), None, |_| {});
    match done {
        Ok(_) if installed(target) => Ok(()),
        Ok(done) => Err(format!("{advice} ({}: {})", done.ended, done.tail(2))),
        Err(error) => Err(format!("{advice} ({error:#})")),
    }
}

/// Whether the compiler in use has the target's core library; asks the disk, since not every Rust has rustup.
fn installed(target: &str) -> bool {
    let asked = Command::new("rustc").args(["--print", "sysroot"]).output();
    let Ok(output) = asked else { return false };
    let sysroot = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
    sysroot.join("lib/rustlib").join(target).join("lib").is_dir()
}
