//! The suite on a real Linux kernel with pKVM: our VMM is its first process, our guest runs in its VMs.
//!
//! QEMU boots the stock kernel at EL2 with `kvm-arm.mode=protected`; the initial file system holds the VMM
//! (`tests/linux`) as `/init` and the guest blob (`tests/guest`). Many VMs live and die in one boot of a few seconds.

mod suite;

pub(crate) use suite::{all, demonstration, figures, lacks};

use crate::command::{BUILD_LIMIT, Finished, run};
use crate::initrd::Initrd;
use crate::kernels::{self, Kernel};
use crate::setup::{ARM64_LINUX, SOFT_FLOAT};
use crate::transcript::Transcript;
use crate::workspace::Workspace;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// The whole run takes five seconds here; a slow machine gets a multiple, and a hang is still noticed.
const LIMIT: Duration = Duration::from_mins(4);

/// What the kernel is told. `quiet`: other messages cut into the lines of the VMM.
const COMMAND_LINE: &str = "console=ttyAMA0 kvm-arm.mode=protected rdinit=/init panic=-1 quiet loglevel=4";

/// Protected mode as on a CPU without VHE. By default Linux sets E2H at EL2 where it can, and QEMU 7.2 for one does
/// not honour E2H in `TLBI VAE2IS`: the hypervisor then scrubs pages through stale translations of its one-page
/// window, and pages of dead guests keep their content. Measurements scrub nothing and run with the default.
const NVHE: &str = "arm64_sw.hvhe=0 id_aa64mmfr1.vh=0";

/// What to run on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// Every scenario, every check, the demonstration.
    Everything,
    /// The measurements only; the machine must count one tick an instruction.
    Figures,
}

/// What is booted, built once.
pub(crate) struct Linux {
    /// The kernel.
    pub(crate) kernel: Kernel,
    initrd: PathBuf,
}

/// One boot.
pub(crate) struct Boot {
    /// What the VMM said.
    pub(crate) transcript: Transcript,
    /// How QEMU ended, and all its output.
    pub(crate) finished: Finished,
}

/// Builds a program of `tests/` for another target and returns the file.
fn build(workspace: &Workspace, package: &str, target: &str, program: &str) -> Result<PathBuf, String> {
    let folder = workspace.target("programs");
    let mut cargo = workspace.cargo();
    cargo
        .args(["build", "--release", "--target", target, "--manifest-path"])
        .arg(workspace.path(&format!("tests/{package}/Cargo.toml")))
        .arg("--target-dir")
        .arg(&folder)
        // No cross compiler: the linker comes with Rust, and so does the C library of the static target.
        .env("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_MUSL_LINKER", "rust-lld");
    let log = workspace.log(&format!("build-{package}"));
    let done = run(&mut cargo, BUILD_LIMIT, Some(&log), |_| {}).map_err(|error| format!("{error:#}"))?;
    if !done.ok() {
        return Err(format!("building tests/{package}:\n{}", done.build_error()));
    }
    Ok(folder.join(target).join("release").join(program))
}

/// The guest blob, a raw binary for the guest's RAM; the same for every host.
pub(crate) fn guest_blob(workspace: &Workspace) -> Result<PathBuf, String> {
    build(workspace, "guest", SOFT_FLOAT, "guest")
}

/// Builds the module that makes host hypercalls: one file, no kernel headers, a relocatable object as it leaves rustc.
fn host_call_module(workspace: &Workspace) -> Result<PathBuf, String> {
    let module = workspace.target("programs").join("hvc.ko");
    let mut rustc = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
    rustc
        .current_dir(workspace.path("."))
        .args(["--edition", "2024", "--crate-name", "hvc", "--crate-type", "lib", "--emit", "obj"])
        .args(["--target", SOFT_FLOAT, "-C", "opt-level=2", "-C", "panic=abort", "-C", "codegen-units=1", "-o"])
        .arg(&module)
        .arg(workspace.path("tests/linux/module/hvc.rs"));
    let log = workspace.log("build-module");
    let done = run(&mut rustc, BUILD_LIMIT, Some(&log), |_| {}).map_err(|error| format!("{error:#}"))?;
    if !done.ok() {
        return Err(format!("building tests/linux/module:\n{}", done.build_error()));
    }
    Ok(module)
}

impl Linux {
    /// Finds the kernel, builds guest and VMM, and packs them.
    pub(crate) fn prepare(workspace: &Workspace) -> Result<Self, String> {
        let kernel = kernels::find_pkvm(workspace)?;
        let read = |path: &Path| std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()));
        let mut initrd = Initrd::new();
        initrd.file("init", &read(&build(workspace, "linux", ARM64_LINUX, "init")?)?);
        initrd.file("guest.bin", &read(&guest_blob(workspace)?)?);
        // For one kernel only; on any other the VMM skips what needs it, and says so.
        initrd.file("hvc.ko", &read(&host_call_module(workspace)?)?);
        let path = workspace.target("programs").join("pkvm.cpio");
        std::fs::write(&path, initrd.finish()).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(Self { kernel, initrd: path })
    }

    /// Boots it on a machine made by `machine`, QEMU's options for the CPU.
    pub(crate) fn boot(&self, workspace: &Workspace, machine: &[String], what: What) -> Result<Boot, String> {
        let (name, words) = match what {
            What::Everything => ("linux", NVHE),
            What::Figures => ("linux-figures", "tenure.only=bench"),
        };
        let mut qemu = Command::new("qemu-system-aarch64");
        qemu.args(["-machine", "virt,virtualization=on,gic-version=3", "-m", "512"])
            .args(["-nographic", "-nodefaults", "-no-reboot", "-serial", "stdio"])
            .args(machine)
            .arg("-kernel")
            .arg(&self.kernel.path)
            .arg("-initrd")
            .arg(&self.initrd)
            .args(["-append", &format!("{COMMAND_LINE} {words}")]);
        let log = workspace.log(name);
        let finished = run(&mut qemu, LIMIT, Some(&log), |_| {}).map_err(|error| format!("{error:#}"))?;
        Ok(Boot { transcript: Transcript::parse(&finished.lines), finished })
    }
}

impl Boot {
    /// Whether the run as such is to be trusted: it came to its end, and every line of it was understood.
    pub(crate) fn whole(&self) -> Result<(), String> {
        if !self.transcript.ended {
            let tail = self.finished.tail(8);
            return Err(format!("the VMM did not come to its end ({}): {tail}", self.finished.ended));
        }
        match self.transcript.unreadable.first() {
            Some(line) => Err(format!("a line that nobody understands: {line}")),
            None => Ok(()),
        }
    }
}
