//! Building the programs of `tests/gmem`, for this machine and for the one under QEMU, and running them here.

use super::PACKAGE;
use crate::command::{BUILD_LIMIT, Finished, run};
use crate::workspace::Workspace;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

/// The programs, built.
pub(super) struct Programs {
    /// Every row on one target.
    pub(super) rows: PathBuf,
    /// A kernel and the provider in lock-step.
    pub(super) differential: PathBuf,
    /// Conversions under a guest that runs.
    pub(super) storm: PathBuf,
    /// The main job, for the demonstration.
    pub(super) demo: PathBuf,
    /// What the client adds to its requests.
    pub(super) cost: PathBuf,
}

impl Programs {
    /// Builds them for the machine that runs us, or as static programs for `target`.
    pub(super) fn build(workspace: &Workspace, target: Option<&str>) -> Result<Self, String> {
        let mut cargo = workspace.cargo();
        cargo.args(["build", "--release", "--bins", "-p", PACKAGE]);
        if let Some(target) = target {
            // The archive with them is loaded into an emulated machine's memory: without line tables it is a tenth.
            cargo.args(["--target", target]).env("CARGO_PROFILE_RELEASE_STRIP", "true");
        }
        let log = workspace.log(&format!("build-gmem-{}", target.unwrap_or("here")));
        let done = run(&mut cargo, BUILD_LIMIT, Some(&log), |_| {}).map_err(|error| format!("{error:#}"))?;
        if !done.ok() {
            return Err(format!("building {PACKAGE}:\n{}", done.build_error()));
        }
        let folder = workspace.target("").join(target.unwrap_or_default()).join("release");
        let [rows, differential, storm, demo, cost] =
            ["gmem-rows", "gmem-differential", "gmem-storm", "gmem-demo", "gmem-cost"].map(|name| folder.join(name));
        Ok(Self { rows, differential, storm, demo, cost })
    }
}

/// Runs a program here; its whole output is kept in the log of this name.
pub(super) fn here(
    workspace: &Workspace,
    program: &PathBuf,
    arguments: &[&str],
    limit: Duration,
    log: &str,
) -> Result<Finished, String> {
    let mut command = Command::new(program);
    command.args(arguments);
    run(&mut command, limit, Some(&workspace.log(log)), |_| {}).map_err(|error| format!("{error:#}"))
}
