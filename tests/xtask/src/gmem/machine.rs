//! The x86 machine under QEMU: an emulated CPU with AMD's virtualization, so that the kernel on it has a real MMU to
//! run VMs with.

use super::NEEDS;
use super::programs::Programs;
use crate::command::{Finished, run};
use crate::initrd::Initrd;
use crate::kernels::{self, Kernel};
use crate::setup::{Setup, X86_LINUX};
use crate::workspace::Workspace;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// What the kernel is told. `quiet`: other messages cut into the lines of the programs. `no_timer_check`: on a busy
/// machine the emulated CPU may get no time while the kernel waits for ten ticks, and the kernel then gives up.
const COMMAND_LINE: &str = "console=ttyS0 rdinit=/init panic=-1 quiet loglevel=4 no_timer_check";

/// Makes a kernel with the series for conversion in place track it per file; every other kernel ignores it.
const IN_PLACE: &str = "kvm.gmem_in_place_conversion=1";

/// One tick of the counters an instruction, and none while the processor waits: what is measured repeats.
const COUNTING: &[&str] = &["-icount", "shift=0,sleep=off"];

/// The machine's kernels and the programs that they start with, or why there is none.
pub(super) struct Machine {
    /// The kernel with private memory.
    pub(super) stock: Result<Kernel, String>,
    /// One from a tree that a person supplied.
    pub(super) supplied: Option<Result<Kernel, String>>,
    programs: Result<Programs, String>,
}

/// Which program the machine starts with, as its first and only process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Start {
    /// `gmem-rows`
    Rows,
    /// `gmem-differential`
    Differential,
    /// `gmem-storm`, on two processors
    Storm,
    /// `gmem-demo`
    Demo,
    /// `gmem-cost`, on a machine that counts one tick an instruction
    Cost,
}

impl Machine {
    /// Finds the kernels and builds the programs.
    pub(super) fn prepare(workspace: &Workspace, setup: &Setup) -> Self {
        let lacks = setup.lacks(&NEEDS).map_or(Ok(()), Err);
        let stock = lacks.clone().and_then(|()| kernels::find_x86(workspace));
        let supplied = if lacks.is_ok() { kernels::find_supplied(workspace) } else { None };
        let any = stock.is_ok() || supplied.as_ref().is_some_and(Result::is_ok);
        let programs =
            if any { Programs::build(workspace, Some(X86_LINUX)) } else { Err("there is no kernel to start".into()) };
        Self { stock, supplied, programs }
    }

    /// Boots `kernel` with a program as its first process, and waits for its end.
    pub(super) fn boot(
        &self,
        workspace: &Workspace,
        kernel: &Kernel,
        start: Start,
        arguments: &[&str],
        limit: Duration,
        log: &str,
    ) -> Result<Finished, String> {
        let programs = self.programs.as_ref().map_err(Clone::clone)?;
        let archive = archive(
            workspace,
            match start {
                Start::Rows => &programs.rows,
                Start::Differential => &programs.differential,
                Start::Storm => &programs.storm,
                Start::Demo => &programs.demo,
                Start::Cost => &programs.cost,
            },
        )?;
        let mut qemu = Command::new("qemu-system-x86_64");
        qemu.args(["-accel", "tcg", "-M", "q35", "-cpu", "EPYC,+svm,+npt", "-m", "512"])
            .args(["-smp", if start == Start::Storm { "2" } else { "1" }])
            .args(if start == Start::Cost { COUNTING } else { &[] })
            .args(["-nographic", "-nodefaults", "-no-reboot", "-serial", "stdio"])
            .arg("-kernel")
            .arg(&kernel.path)
            .arg("-initrd")
            .arg(archive)
            .args(["-append", &command_line(arguments)]);
        run(&mut qemu, limit, Some(&workspace.log(log)), |_| {}).map_err(|error| format!("{error:#}"))
    }
}

/// What follows `--` becomes the first process's arguments.
fn command_line(arguments: &[&str]) -> String {
    let mut words = vec![COMMAND_LINE, IN_PLACE];
    if !arguments.is_empty() {
        words.push("--");
        words.extend(arguments);
    }
    words.join(" ")
}

/// An archive with the program as its first process.
fn archive(workspace: &Workspace, program: &Path) -> Result<PathBuf, String> {
    let failed = |path: &Path, error: std::io::Error| format!("{}: {error}", path.display());
    let mut initrd = Initrd::new();
    initrd.file("init", &std::fs::read(program).map_err(|error| failed(program, error))?);
    let name = program.file_name().unwrap_or_default().to_string_lossy();
    let path = workspace.target("programs").join(format!("{name}.cpio"));
    std::fs::write(&path, initrd.finish()).map_err(|error| failed(&path, error))?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_process_gets_its_arguments_and_none_where_there_are_none() {
        assert!(command_line(&["--ops", "5"]).ends_with(" kvm.gmem_in_place_conversion=1 -- --ops 5"));
        assert!(!command_line(&[]).contains("--"));
    }
}
