//! The programs and libraries that a Linux kernel is built with.

use super::packages::{install, starts};
use std::process::{Command, Stdio};

const PROGRAMS: [&str; 8] = ["gcc", "make", "bc", "bison", "flex", "lz4", "perl", "xz"];
/// Libraries of the kernel's own tools, by a header of each.
const HEADERS: [&str; 2] = ["libelf.h", "openssl/ssl.h"];

/// Installs what is missing of them, or says what to install.
pub(crate) fn kernel_tools() -> Result<(), String> {
    let missing = missing(starts, header);
    if missing.is_empty() {
        return Ok(());
    }
    let what = format!("what kernels are built with ({})", missing.join(", "));
    install(&what, |manager| manager.kernel_tools.to_vec(), || self::missing(starts, header).is_empty())
}

fn missing(starts: impl Fn(&str) -> bool, header: impl Fn(&str) -> bool) -> Vec<&'static str> {
    let programs = PROGRAMS.into_iter().filter(|program| !starts(program));
    programs.chain(HEADERS.into_iter().filter(|name| !header(name))).collect()
}

/// Whether the C compiler finds the header; distributions differ in where they put them.
fn header(name: &str) -> bool {
    Command::new("gcc")
        .args(["-E", "-x", "c", "-include", name, "/dev/null"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_missing_program_and_library_is_named() {
        assert_eq!(missing(|name| name != "flex", |name| name != "libelf.h"), ["flex", "libelf.h"]);
        assert!(missing(|_| true, |_| true).is_empty());
    }
}
