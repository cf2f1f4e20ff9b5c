//! The suites that look for what no run of the program shows: other orders, other schedules, undefined behaviour.

use crate::hosted::{cargo_test, tests_of};
use crate::progress::Step;
use crate::report::Case;
use crate::suites::Run;

/// The tracker under loom: every order of a few threads, every value the orderings allow.
pub(crate) fn loom(run: &mut Run<'_>, step: &Step) -> Vec<Case> {
    let workspace = run.workspace;
    let mut cargo = workspace.cargo();
    // A folder of its own: the flag would have everything built anew each time.
    cargo.env("RUSTFLAGS", "--cfg loom").arg("test").args(["--release", "--no-fail-fast", "-p", "tenure-loom"]);
    cargo.arg("--target-dir").arg(workspace.target("loom"));
    tests_of(workspace, step, "loom", &mut cargo)
}

/// `El2` on the hosted machine, under many schedules; optimised, because a schedule is many switches.
pub(crate) fn concurrent(run: &mut Run<'_>, step: &Step) -> Vec<Case> {
    cargo_test(run.workspace, step, "concurrent", &["--release", "-p", "tenure-concurrent"])
}
