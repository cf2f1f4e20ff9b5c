//! Programs that the system's package manager has: which manager, which package, and how to say it to a person.

use std::io::IsTerminal;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::command::run;

/// A package manager: its program, how it installs without asking, how it refreshes its lists, the package with
/// `qemu-system-aarch64`.
struct Manager {
    program: &'static str,
    install: &'static [&'static str],
    refresh: &'static [&'static str],
    qemu: &'static str,
}

const MANAGERS: [Manager; 5] = [
    Manager {
        program: "apt-get",
        // The recommended packages (a GUI, firmware, network boot ROMs) are unused with -nodefaults and -kernel.
        install: &["-o", "DPkg::Lock::Timeout=300", "install", "-y", "--no-install-recommends"],
        refresh: &["-o", "DPkg::Lock::Timeout=300", "update"],
        qemu: "qemu-system-arm",
    },
    Manager { program: "dnf", install: &["install", "-y"], refresh: &["makecache"], qemu: "qemu-system-aarch64-core" },
    Manager { program: "pacman", install: &["-S", "--noconfirm"], refresh: &["-Sy"], qemu: "qemu-system-aarch64" },
    Manager { program: "zypper", install: &["-n", "install"], refresh: &["-n", "refresh"], qemu: "qemu-arm" },
    Manager { program: "apk", install: &["add"], refresh: &["update"], qemu: "qemu-system-aarch64" },
];

/// Installs the package with `program` unless it starts already.
pub(super) fn program(program: &str) -> Result<(), String> {
    if starts(program) {
        return Ok(());
    }
    let Some(manager) = MANAGERS.iter().find(|manager| starts(manager.program)) else {
        return Err(format!("{program} is missing and no known package manager is here: install QEMU for arm64"));
    };
    let advice =
        format!("{program} is missing: as root, `{} {} {}`", manager.program, manager.install.join(" "), manager.qemu);
    let elevated = elevation().map_err(|why| format!("{advice} ({why})"))?;
    let mut install = manager.install.to_vec();
    install.push(manager.qemu);
    // A fresh machine often has no package lists at all, so the first try may fail for that reason only.
    let mut said = String::new();
    for arguments in [install.as_slice(), manager.refresh, install.as_slice()] {
        said = call(elevated, manager.program, arguments);
        if starts(program) {
            return Ok(());
        }
    }
    Err(format!("{advice} ({said})"))
}

fn call(elevated: &[&str], program: &str, arguments: &[&str]) -> String {
    let mut words = elevated.iter().chain([&program]).chain(arguments);
    let mut command = Command::new(words.next().copied().unwrap_or(program));
    command.args(words).env("DEBIAN_FRONTEND", "noninteractive");
    match run(&mut command, Duration::from_mins(15), None, |_| {}) {
        Ok(done) => done.tail(2).replace('\n', " / "),
        Err(error) => format!("{error:#}"),
    }
}

/// What to put before a command that needs root: nothing, or sudo, which must not wait for a password in a pipe.
fn elevation() -> Result<&'static [&'static str], &'static str> {
    let root = Command::new("id").arg("-u").output().is_ok_and(|id| id.stdout.trim_ascii() == b"0");
    if root {
        Ok(&[])
    } else if !starts("sudo") {
        Err("not root, and no sudo")
    } else if std::io::stdin().is_terminal() {
        Ok(&["sudo"])
    } else {
        Ok(&["sudo", "-n"])
    }
}

/// Whether the program is there and runs at all: a binary with a missing library is as good as none.
fn starts(program: &str) -> bool {
    Command::new(program)
        .arg("--version")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}
