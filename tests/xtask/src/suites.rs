//! Which suites exist, in which order, and running them.
//!
//! A suite is a name and a function from [`Run`] to cases. To add one, write its module and add a line to [`SUITES`];
//! a suite that brings evidence for the behaviour tables leaves it in [`Run`].

use crate::cli::TestArguments;
use crate::conformance::{self, Evidence, Heard};
use crate::progress::Step;
use crate::report::{Case, Ran};
use crate::setup::Setup;
use crate::workspace::Workspace;
use crate::{bench, builds, firmware, fuzz, gmem, hosted, linux, models, mutants, oracle};

/// When a suite runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tier {
    /// Also in the inner loop.
    Quick,
    /// In every full run.
    Full,
    /// Only when asked for by `--hardware`.
    Hardware,
}

/// What suites share during one run.
pub(crate) struct Run<'a> {
    pub(crate) workspace: &'a Workspace,
    pub(crate) setup: &'a Setup,
    /// Campaigns were asked for.
    pub(crate) long: bool,
    /// What the suites so far bring forward for the behaviour tables.
    pub(crate) evidence: Evidence,
}

/// One suite.
struct Suite {
    name: &'static str,
    tier: Tier,
    run: fn(&mut Run<'_>, &Step) -> Vec<Case>,
}

const SUITES: &[Suite] = &[
    Suite { name: "hosted", tier: Tier::Quick, run: |run, step| model(run, step, hosted::all) },
    Suite { name: "builds", tier: Tier::Full, run: |run, step| builds::all(run.workspace, run.setup, step) },
    Suite { name: "oracle", tier: Tier::Full, run: |run, step| model(run, step, oracle::all) },
    Suite { name: "loom", tier: Tier::Full, run: models::loom },
    Suite { name: "miri", tier: Tier::Full, run: models::miri },
    Suite { name: "concurrent", tier: Tier::Full, run: models::concurrent },
    Suite { name: "mutants", tier: Tier::Full, run: mutants::all },
    Suite { name: "firmware", tier: Tier::Full, run: firmware::all },
    Suite { name: "linux", tier: Tier::Full, run: linux::all },
    Suite { name: "gmem", tier: Tier::Full, run: gmem::all },
    Suite { name: "fuzz", tier: Tier::Full, run: fuzz::all },
    Suite { name: "figures", tier: Tier::Full, run: |run, _| bench::limits(&bench::measure(run.workspace, run.setup)) },
    Suite { name: "conformance", tier: Tier::Full, run: |run, _| rows(run) },
    Suite { name: "hardware", tier: Tier::Hardware, run: |_, _| vec![no_hardware()] },
];

/// The suites that bring evidence for the behaviour tables.
pub(crate) const EVIDENCE: [&str; 5] = ["hosted", "oracle", "firmware", "linux", "gmem"];

/// A suite whose cases are evidence of the model.
fn model(run: &mut Run<'_>, step: &Step, suite: fn(&mut Run<'_>, &Step) -> Vec<Case>) -> Vec<Case> {
    let cases = suite(run, step);
    run.evidence.model.extend_from_slice(&cases);
    cases
}

fn rows(run: &Run<'_>) -> Vec<Case> {
    conformance::judge(&run.evidence).iter().filter_map(conformance::Line::case).collect()
}

fn no_hardware() -> Case {
    Case::skip("hardware", "no hardware suite exists yet: everything here runs under QEMU")
}

/// Runs what the arguments ask for, and prints each suite as it ends.
pub(crate) fn run(workspace: &Workspace, setup: &Setup, arguments: &TestArguments) -> Vec<Ran> {
    let mut ran = Vec::new();
    evidence(workspace, setup, arguments, |done| {
        done.print();
        ran.push(done);
    });
    ran
}

/// Runs what the arguments ask for; returns what it brings forward for the behaviour tables.
pub(crate) fn evidence(
    workspace: &Workspace,
    setup: &Setup,
    arguments: &TestArguments,
    mut each: impl FnMut(Ran),
) -> Evidence {
    let evidence = Evidence {
        model: Vec::new(),
        el2: Heard::nothing("el2", "the firmware suite did not run"),
        linux: Heard::nothing("linux", "the linux suite did not run"),
        gmem: Vec::new(),
    };
    let mut run = Run { workspace, setup, long: arguments.long, evidence };
    for suite in SUITES.iter().filter(|suite| wanted(suite, arguments)) {
        let step = Step::new(suite.name);
        let cases = (suite.run)(&mut run, &step);
        let took = step.elapsed();
        drop(step);
        each(Ran { suite: suite.name.to_owned(), cases, took });
    }
    run.evidence
}

fn wanted(suite: &Suite, arguments: &TestArguments) -> bool {
    let tier = match suite.tier {
        Tier::Quick => true,
        Tier::Full => !arguments.quick,
        Tier::Hardware => arguments.hardware,
    };
    let named = arguments.only.is_empty() || arguments.only.iter().any(|name| name == suite.name);
    tier && named
}

/// The name that no suite has, if there is one: a typing mistake must not look like a passed run.
pub(crate) fn unknown(arguments: &TestArguments) -> Option<&str> {
    arguments.only.iter().map(String::as_str).find(|name| SUITES.iter().all(|suite| suite.name != *name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(arguments: &TestArguments) -> Vec<&str> {
        SUITES.iter().filter(|suite| wanted(suite, arguments)).map(|suite| suite.name).collect()
    }

    #[test]
    fn quick_is_hosted_only_and_hardware_is_asked_for() {
        assert_eq!(names(&TestArguments { quick: true, ..TestArguments::default() }), ["hosted"]);
        assert!(!names(&TestArguments::default()).contains(&"hardware"));
        assert!(names(&TestArguments { hardware: true, ..TestArguments::default() }).contains(&"hardware"));
    }

    #[test]
    fn a_suite_that_does_not_exist_is_noticed() {
        let only = |name: &str| TestArguments { only: vec![name.into()], ..TestArguments::default() };
        assert_eq!(names(&only("builds")), ["builds"]);
        assert_eq!((unknown(&only("builds")), unknown(&only("bilds"))), (None, Some("bilds")));
    }
}
