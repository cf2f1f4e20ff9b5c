//! The suite of the oracle: its own tests, the tracker in lock-step with the specification, and every call from every reachable
//! state of small machines; optimised, because millions of operations are the point.

use std::time::Duration;

use crate::command::{self, BUILD_LIMIT};
use crate::hosted::cargo_test;
use crate::progress::Step;
use crate::report::Case;
use crate::suites::Run;

const PACKAGE: &str = "tenure-oracle";
/// Operations of one run; with `--long` a hundred times as many.
const OPERATIONS: u64 = 1_000_000;
/// Long enough for the long run on a slow machine.
const LONG_LIMIT: Duration = Duration::from_hours(12);
/// A fixed seed, so that a failure is the same for everyone.
const SEED: &str = "1";

/// The oracle's tests, then the lock-step run.
pub(crate) fn all(run: &mut Run<'_>, step: &Step) -> Vec<Case> {
    let workspace = run.workspace;
    if !workspace.has_package(PACKAGE) {
        return vec![Case::fail("oracle_is_there", "tests/oracle is not in this checkout")];
    }
    let mut cases = cargo_test(workspace, step, "oracle", &["--release", "-p", PACKAGE]);
    let (operations, limit) = if run.long { (OPERATIONS * 100, LONG_LIMIT) } else { (OPERATIONS, BUILD_LIMIT) };
    let name = format!("tracker_in_lock_step_for_{operations}_operations");
    step.note(&name);
    let arguments = ["--ops", &operations.to_string(), "--seed", SEED];
    let result = program(run, step, "oracle-run", &arguments, limit);
    cases.push(Case::of(name, result));
    let long: &[&str] = if run.long { &["--long"] } else { &[] };
    let result = program(run, step, "oracle-exhaustive", long, limit);
    cases.push(Case::of("every_call_from_every_reachable_state_of_small_machines", result));
    cases
}

/// Runs one of the oracle's programs to its end; what a long run counted is said.
fn program(run: &Run<'_>, step: &Step, name: &str, arguments: &[&str], limit: Duration) -> Result<(), String> {
    let workspace = run.workspace;
    let mut cargo = workspace.cargo();
    cargo.args(["run", "--quiet", "--release", "-p", PACKAGE, "--bin", name, "--"]).args(arguments);
    let done = command::run(&mut cargo, limit, Some(&workspace.log(name)), |line| step.note(line));
    let done = done.map_err(|error| format!("{error:#}"))?;
    if !done.ok() {
        return Err(format!("{}\n{}", done.ended, done.tail(30)));
    }
    if run.long {
        let figures = done.lines.iter().filter_map(|line| line.strip_prefix("TENURE fig "));
        figures.for_each(|figure| step.say(&format!("{figure} at {}", workspace.version())));
    }
    Ok(())
}
