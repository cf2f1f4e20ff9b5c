//! Which suites exist, in which order, and running them.
//!
//! A suite is a name and a function from [`Run`] to cases. To add one, write its module and add a line to [`SUITES`].

use crate::cli::TestArguments;
use crate::progress::Step;
use crate::report::{Case, Ran};
use crate::setup::Setup;
use crate::workspace::Workspace;
use crate::{builds, hosted};

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
}

/// One suite.
struct Suite {
    name: &'static str,
    tier: Tier,
    run: fn(&mut Run<'_>, &Step) -> Vec<Case>,
}

const SUITES: [Suite; 3] = [
    Suite { name: "hosted", tier: Tier::Quick, run: |run, step| hosted::tests(run.workspace, step) },
    Suite { name: "builds", tier: Tier::Full, run: |run, step| builds::all(run.workspace, run.setup, step) },
    Suite { name: "hardware", tier: Tier::Hardware, run: |_, _| vec![no_hardware()] },
];

fn no_hardware() -> Case {
    Case::skip("hardware", "no hardware suite exists yet: everything here runs under QEMU")
}

/// Runs what the arguments ask for, and prints each suite as it ends.
pub(crate) fn run(workspace: &Workspace, arguments: &TestArguments) -> Vec<Ran> {
    let setup = if arguments.quick { Setup::default() } else { Setup::prepare() };
    let mut run = Run { workspace, setup: &setup, long: arguments.long };
    let mut ran = Vec::new();
    for suite in SUITES.iter().filter(|suite| wanted(suite, arguments)) {
        let step = Step::new(suite.name);
        let cases = (suite.run)(&mut run, &step);
        let took = step.elapsed();
        drop(step);
        let done = Ran { suite: suite.name.to_owned(), cases, took };
        done.print();
        ran.push(done);
    }
    ran
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
