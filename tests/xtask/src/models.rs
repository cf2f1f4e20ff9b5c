//! The suites that look for what no run of the program shows: other orders, other schedules, undefined behaviour.

use std::time::Duration;

use crate::command;
use crate::hosted::{cargo_test, tests_of};
use crate::progress::Step;
use crate::report::Case;
use crate::suites::Run;

/// Long enough for a campaign on a slow machine.
const LONG_LIMIT: Duration = Duration::from_hours(3);

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
    let mut cases = cargo_test(run.workspace, step, "concurrent", &["--release", "-p", "tenure-concurrent"]);
    if run.long {
        // Every pair of operations under 10,000 schedules; then with one request refused in each.
        for (seed, extra) in
            [("31", &["--schedules", "10000"][..]), ("32", &["--schedules", "1000", "--faults", "100"])]
        {
            let mut cargo = run.workspace.cargo();
            cargo.args(["run", "--quiet", "--release", "-p", "tenure-concurrent", "--bin", "concurrent-run", "--"]);
            cargo.args(["--seed", seed]).args(extra);
            let log = run.workspace.log(&format!("concurrent-{seed}"));
            let result = match command::run(&mut cargo, LONG_LIMIT, Some(&log), |line| step.note(line)) {
                Ok(done) if done.ok() => Ok(()),
                Ok(done) => Err(format!("{}\n{}", done.ended, done.tail(30))),
                Err(error) => Err(format!("{error:#}")),
            };
            cases.push(Case::of(format!("every_pair_of_operations_{}", extra.join("_").replace("--", "")), result));
        }
    }
    cases
}
