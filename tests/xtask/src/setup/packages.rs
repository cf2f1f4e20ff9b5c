//! Programs that the system's package manager has: which manager, which package, and how to say it to a person.

use std::io::IsTerminal;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::command::run;

/// A package manager.
pub(super) struct Manager {
    program: &'static str,
    /// How it installs without asking.
    install: &'static [&'static str],
    /// How it refreshes its lists.
    refresh: &'static [&'static str],
    /// The package with `qemu-system-aarch64`.
    pub(super) qemu_arm: &'static str,
    /// The package with `qemu-system-x86_64`.
    pub(super) qemu_x86: &'static str,
    /// The package with `c++`.
    pub(super) cxx: &'static str,
    /// The packages that a kernel is built with.
    pub(super) kernel_tools: &'static [&'static str],
}

const MANAGERS: [Manager; 5] = [
    Manager {
        program: "apt-get",
        // The recommended packages (a GUI, firmware, network boot ROMs) are unused with -nodefaults and -kernel.
        install: &["-o", "DPkg::Lock::Timeout=300", "install", "-y", "--no-install-recommends"],
        refresh: &["-o", "DPkg::Lock::Timeout=300", "update"],
        qemu_arm: "qemu-system-arm",
        qemu_x86: "qemu-system-x86",
        cxx: "g++",
        kernel_tools: &["gcc", "make", "bc", "bison", "flex", "libelf-dev", "libssl-dev", "lz4", "perl", "xz-utils"],
    },
    Manager {
        program: "dnf",
        install: &["install", "-y"],
        refresh: &["makecache"],
        qemu_arm: "qemu-system-aarch64-core",
        qemu_x86: "qemu-system-x86-core",
        cxx: "gcc-c++",
        kernel_tools: &[
            "gcc",
            "make",
            "bc",
            "bison",
            "flex",
            "elfutils-libelf-devel",
            "openssl-devel",
            "lz4",
            "perl",
            "xz",
        ],
    },
    Manager {
        program: "pacman",
        install: &["-S", "--noconfirm"],
        refresh: &["-Sy"],
        qemu_arm: "qemu-system-aarch64",
        qemu_x86: "qemu-system-x86",
        cxx: "gcc",
        kernel_tools: &["gcc", "make", "bc", "bison", "flex", "libelf", "openssl", "lz4", "perl", "xz"],
    },
    Manager {
        program: "zypper",
        install: &["-n", "install"],
        refresh: &["-n", "refresh"],
        qemu_arm: "qemu-arm",
        qemu_x86: "qemu-x86",
        cxx: "gcc-c++",
        kernel_tools: &["gcc", "make", "bc", "bison", "flex", "libelf-devel", "libopenssl-devel", "lz4", "perl", "xz"],
    },
    Manager {
        program: "apk",
        install: &["add"],
        refresh: &["update"],
        qemu_arm: "qemu-system-aarch64",
        qemu_x86: "qemu-system-x86_64",
        cxx: "g++",
        kernel_tools: &[
            "gcc",
            "make",
            "bc",
            "bison",
            "flex",
            "elfutils-dev",
            "openssl-dev",
            "lz4",
            "perl",
            "xz",
            "musl-dev",
        ],
    },
];

/// Installs the package with `program` unless it starts already.
pub(super) fn program(program: &str, package: fn(&Manager) -> &'static str) -> Result<(), String> {
    install(program, |manager| vec![package(manager)], || starts(program))
}

/// Installs `packages` unless `there` says that `what` is there already.
pub(super) fn install(
    what: &str,
    packages: impl Fn(&Manager) -> Vec<&'static str>,
    there: impl Fn() -> bool,
) -> Result<(), String> {
    if there() {
        return Ok(());
    }
    let Some(manager) = MANAGERS.iter().find(|manager| starts(manager.program)) else {
        return Err(format!("{what} is missing and no known package manager is here to install it"));
    };
    let mut install = manager.install.to_vec();
    install.extend(packages(manager));
    let advice = format!("{what} is missing: as root, `{} {}`", manager.program, install.join(" "));
    let elevated = elevation().map_err(|why| format!("{advice} ({why})"))?;
    // A fresh machine often has no package lists at all, so the first try may fail for that reason only.
    let mut said = String::new();
    for arguments in [install.as_slice(), manager.refresh, install.as_slice()] {
        said = call(elevated, manager.program, arguments);
        if there() {
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
pub(super) fn starts(program: &str) -> bool {
    Command::new(program)
        .arg("--version")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}
