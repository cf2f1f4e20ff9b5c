//! The suite of fuzz targets: each runs its corpus and then looks further for a while.
//!
//! A target is built with the coverage instrumentation of the compiler that builds everything else, so no other toolchain is
//! needed; its engine is libFuzzer, which needs a C++ compiler. What it finds beyond the corpus stays under `target/`.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::command::{BUILD_LIMIT, Finished, run};
use crate::progress::Step;
use crate::report::Case;
use crate::setup::Need;
use crate::suites::Run;
use crate::workspace::Workspace;

const MANIFEST: &str = "tests/fuzz/Cargo.toml";
const TARGETS: [&str; 1] = ["gmem-requests"];

/// Counters at every edge: what libFuzzer goes by. Inputs are mostly edges already, so the operands of comparisons, which would
/// cost half the speed, are left alone.
const INSTRUMENTATION: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
     -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table --cfg fuzzing";

/// How long a target looks further, in seconds.
const SECONDS: u32 = 20;
/// How many inputs it runs with `--long`.
const EXECUTIONS: u64 = 10_000_000;
/// Long enough for that on a slow machine.
const LONG_LIMIT: Duration = Duration::from_hours(6);
/// Longer inputs make more requests than one run shall make.
const LONGEST_INPUT: u32 = 512;

/// Builds the targets and runs each.
pub(crate) fn all(run: &mut Run<'_>, step: &Step) -> Vec<Case> {
    if let Some(reason) = run.setup.lacks(&[Need::Cxx]) {
        return vec![Case::skip("fuzz", reason)];
    }
    step.note("building");
    let folder = match build(run.workspace) {
        Ok(folder) => folder,
        Err(seen) => return vec![Case::fail("fuzz_targets_build", seen)],
    };
    TARGETS.iter().flat_map(|target| campaign(run, step, &folder, target)).collect()
}

/// The folder with the built targets.
fn build(workspace: &Workspace) -> Result<PathBuf, String> {
    let host = host_triple()?;
    let folder = workspace.target("fuzz");
    let mut cargo = workspace.cargo();
    cargo.args(["build", "--release", "--manifest-path", MANIFEST]).arg("--target-dir").arg(&folder);
    // With a target named, build scripts are not instrumented; they would not link.
    cargo.args(["--target", &host]).env("RUSTFLAGS", INSTRUMENTATION);
    let done = run(&mut cargo, BUILD_LIMIT, Some(&workspace.log("fuzz-build")), |_| {});
    match done.map_err(|error| format!("{error:#}"))? {
        done if done.ok() => Ok(folder.join(host).join("release")),
        done => Err(done.build_error()),
    }
}

/// The target that the compiler builds for by itself.
fn host_triple() -> Result<String, String> {
    let said = Command::new("rustc").arg("-vV").output().map_err(|error| format!("rustc: {error}"))?;
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    let host = said.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).ok_or_else(|| "rustc does not name its host".to_owned())
}

/// The corpus once, then further from there.
fn campaign(suite: &Run<'_>, step: &Step, folder: &Path, target: &str) -> Vec<Case> {
    let workspace = suite.workspace;
    let corpus = workspace.path("tests/fuzz/corpus").join(target);
    let found = workspace.target(&format!("fuzz/found/{target}"));
    let log = |part: &str| workspace.log(&format!("fuzz-{target}-{part}"));
    let command = || {
        let mut command = Command::new(folder.join(target));
        command.arg(format!("-max_len={LONGEST_INPUT}"));
        // Whatever it finds is kept beside the rest, and printed as well.
        command.arg(format!("-artifact_prefix={}/", workspace.target("fuzz/artifacts").display()));
        command
    };
    step.note(&format!("{target}: the corpus"));
    let mut replay = command();
    replay.arg("-runs=0").arg(&corpus);
    let replayed = judge(run(&mut replay, BUILD_LIMIT, Some(&log("corpus")), |_| {}));

    let mut further = command();
    let (name, limit) = if suite.long {
        further.arg(format!("-runs={EXECUTIONS}"));
        (format!("fuzz_{target}_for_{EXECUTIONS}_executions"), LONG_LIMIT)
    } else {
        further.arg(format!("-max_total_time={SECONDS}"));
        (format!("fuzz_{target}_for_{SECONDS}_seconds"), BUILD_LIMIT)
    };
    further.arg(&found).arg(&corpus);
    step.note(&name);
    let searched = judge(run(&mut further, limit, Some(&log("search")), |_| {}));
    vec![Case::of(format!("fuzz_{target}_corpus"), replayed), Case::of(name, searched)]
}

fn judge(done: anyhow::Result<Finished>) -> Result<(), String> {
    match done {
        Ok(done) if done.ok() => Ok(()),
        Ok(done) => Err(format!("{}\n{}", done.ended, done.tail(30))),
        Err(error) => Err(format!("{error:#}")),
    }
}
