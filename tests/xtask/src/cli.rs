//! The commands, as people type them.

use anyhow::Result;
use clap::{Args, Parser, Subcommand};

use crate::workspace::Workspace;
use crate::{report, suites};

/// Sets the machine up, runs the tests of Tenure and says what was seen.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// All tests, QEMU and real Linux included; a table of suites, then `N passed, N failed, N skipped`
    Test(TestArguments),
}

/// Which tests to run.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct TestArguments {
    /// Only these suites
    pub(crate) only: Vec<String>,
    /// Hosted tests only: the inner loop
    #[arg(long, conflicts_with_all = ["long", "hardware"])]
    pub(crate) quick: bool,
    /// Campaigns too: many more operations
    #[arg(long)]
    pub(crate) long: bool,
    /// The hardware suites too
    #[arg(long)]
    pub(crate) hardware: bool,
}

/// Does what was asked; false when something did not hold.
pub(crate) fn dispatch() -> Result<bool> {
    let workspace = Workspace::find();
    match Arguments::parse().command {
        Command::Test(arguments) => Ok(report::summary(&suites::run(&workspace, &arguments))),
    }
}
