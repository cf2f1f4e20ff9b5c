//! The suites that look for what no run of the program shows: other orders, other schedules, undefined behaviour.

use std::process::Command;

use crate::command::{self, BUILD_LIMIT};
use crate::hosted::{LONG_LIMIT, at_length, cargo_test, tests_of};
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
    tests_of(workspace, step, "loom", &mut cargo, BUILD_LIMIT)
}

/// `El2` on the hosted machine, under many schedules; optimised, because a schedule is many switches.
pub(crate) fn concurrent(run: &mut Run<'_>, step: &Step) -> Vec<Case> {
    let mut cases = cargo_test(run.workspace, step, "concurrent", &["--release", "-p", "tenure-concurrent"]);
    cases.extend(at_length(run, step, "gmem_pairs", &["-p", "tenure-concurrent", "--test", "gmem_pairs"]));
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

/// What Miri runs in every full run, with all its checks; the rest, without aliasing checks, only at length.
///
/// A reference to a page of 512 cells is tagged anew for each of them where aliasing is checked: tests over whole tables would take hours.
const MIRI: [(&str, &[&str]); 3] = [
    ("abi", &["-p", "tenure-abi"]),
    ("arch", &["-p", "tenure-arch", "--lib", "--", "--skip", "stage2"]),
    ("hyp", &["-p", "tenure-hyp", "--lib", "--", "tracker::lock", "tracker::entry", "tracker::cells"]),
];
const MIRI_LONG: [(&str, &[&str]); 5] = [
    ("arch_stage2", &["-p", "tenure-arch", "--lib", "stage2"]),
    ("hyp_tracker", &["-p", "tenure-hyp", "--lib"]),
    ("hyp_el2", &["-p", "tenure-hyp", "--features", "el2", "--test", "el2"]),
    ("hyp_regressions", &["-p", "tenure-hyp", "--features", "el2", "--test", "regressions"]),
    ("hyp_faults", &["-p", "tenure-hyp", "--features", "el2", "--test", "faults"]),
];

/// The unsafe code under Miri, if there is a nightly toolchain that has it.
pub(crate) fn miri(run: &mut Run<'_>, step: &Step) -> Vec<Case> {
    let there = Command::new("rustup").args(["run", "nightly", "cargo", "miri", "--version"]).output();
    if !there.is_ok_and(|output| output.status.success()) {
        let reason = "no Miri: run `rustup toolchain install nightly -c miri,rust-src`";
        return vec![Case::skip("miri", reason)];
    }
    let flags = |aliasing: bool| match aliasing {
        // Memory that trackers borrow for ever is leaked by the tests on purpose.
        true => "-Zmiri-ignore-leaks",
        false => "-Zmiri-ignore-leaks -Zmiri-disable-stacked-borrows",
    };
    let long = MIRI_LONG.iter().filter(|_| run.long).map(|test| (test, flags(false)));
    let all: Vec<_> = MIRI.iter().map(|test| (test, flags(true))).chain(long).collect();
    let mut cases = Vec::new();
    for ((name, arguments), flags) in all {
        let mut cargo = Command::new("rustup");
        cargo.current_dir(run.workspace.path("")).args(["run", "nightly", "cargo", "miri", "test"]).args(*arguments);
        // What cargo sets for the toolchain that runs us would be taken for nightly's.
        for variable in ["RUSTUP_TOOLCHAIN", "CARGO", "RUSTC", "RUSTFLAGS"] {
            cargo.env_remove(variable);
        }
        cargo.env("MIRIFLAGS", flags).env("CARGO_TARGET_DIR", run.workspace.target("miri"));
        let found = tests_of(run.workspace, step, &format!("miri-{name}"), &mut cargo, LONG_LIMIT);
        cases.extend(found.into_iter().map(|case| Case { name: format!("miri_{name}::{}", case.name), ..case }));
    }
    cases
}
