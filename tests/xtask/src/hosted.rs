//! The suite of hosted tests: every crate of the workspace, on the machine that runs us.

use std::process::Command;
use std::time::Duration;

use crate::command::{self, BUILD_LIMIT};
use crate::libtest;
use crate::progress::Step;
use crate::report::Case;
use crate::suites::Run;
use crate::workspace::Workspace;

/// Long enough for a campaign on a slow machine.
pub(crate) const LONG_LIMIT: Duration = Duration::from_hours(3);
/// Packages whose tests are slow without optimisation; the suite of that name runs them.
const ELSEWHERE: [&str; 2] = ["tenure-oracle", "tenure-concurrent"];

/// `cargo test` of the workspace with all features; each test is a case.
pub(crate) fn all(run: &mut Run<'_>, step: &Step) -> Vec<Case> {
    let workspace = run.workspace;
    let mut arguments = vec!["--workspace", "--all-features"];
    for package in ELSEWHERE.iter().filter(|name| workspace.has_package(name)) {
        arguments.extend(["--exclude", package]);
    }
    let mut cases = cargo_test(workspace, step, "hosted", &arguments);
    cases.extend(at_length(run, step, "faults", &["-p", "tenure-hyp", "--features", "el2", "--test", "faults"]));
    cases.extend(at_length(run, step, "gmem", &["-p", "tenure-host", "--all-features", "--test", "gmem"]));
    cases
}

/// Tests that have a longer form, in it, under names of their own; nothing without `--long`.
pub(crate) fn at_length(run: &Run<'_>, step: &Step, name: &str, arguments: &[&str]) -> Vec<Case> {
    if !run.long {
        return Vec::new();
    }
    let mut cargo = run.workspace.cargo();
    cargo.env("TENURE_LONG", "1").args(["test", "--no-fail-fast", "--release"]).args(arguments);
    let cases = tests_of(run.workspace, step, &format!("{name}-at-length"), &mut cargo, LONG_LIMIT);
    cases.into_iter().map(|case| Case { name: format!("{name}_at_length::{}", case.name), ..case }).collect()
}

/// `cargo test` with these arguments; a build that fails is one failed case with the compiler's text.
pub(crate) fn cargo_test(workspace: &Workspace, step: &Step, log: &str, arguments: &[&str]) -> Vec<Case> {
    let mut cargo = workspace.cargo();
    cargo.args(["test", "--no-fail-fast"]).args(arguments);
    tests_of(workspace, step, log, &mut cargo, BUILD_LIMIT)
}

/// The cases of a command that runs tests as `cargo test` does.
pub(crate) fn tests_of(
    workspace: &Workspace,
    step: &Step,
    log: &str,
    cargo: &mut Command,
    limit: Duration,
) -> Vec<Case> {
    let done = match command::run(cargo, limit, Some(&workspace.log(log)), |line| step.note(line)) {
        Ok(done) => done,
        Err(error) => return vec![Case::fail(format!("{log}_tests_start"), format!("{error:#}"))],
    };
    let mut cases = libtest::parse(&done.lines).cases;
    let failed = cases.iter().any(Case::failed);
    if !done.ok() && !failed {
        cases.push(Case::fail(format!("{log}_tests_build_and_end"), done.build_error()));
    } else if cases.is_empty() {
        cases.push(Case::fail(format!("{log}_has_tests"), "cargo ran no test at all"));
    }
    cases
}
