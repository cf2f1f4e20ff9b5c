//! The commands, as people type them.

use std::path::PathBuf;

use anyhow::{Error, Result, bail};
use clap::{Args, Parser, Subcommand};

use crate::bench::Reading;
use crate::conformance::Line;
use crate::report::{self, Case};
use crate::setup::Setup;
use crate::workspace::Workspace;
use crate::{bench, ci, conformance, demo, json, kernels, size, suites};

/// Sets the machine up, runs the tests of Tenure and says what was seen.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// The main job: a guest and its host share memory in place, shown on every platform this machine offers
    Demo,
    /// All tests, QEMU and real Linux included; a table of suites, then `N passed, N failed, N skipped`
    Test(TestArguments),
    /// One line per row of the behaviour tables, with what it was checked against
    Conformance(Format),
    /// The performance table: `name value unit`
    Bench(Format),
    /// Bytes of the firmware image and of the library; panic paths left in them
    Size,
    /// Which kernels were found for the real-Linux tests, from where, or how to get them
    Kernels(KernelArguments),
    /// Format, lints, documentation, all tests
    Ci,
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

/// Showing kernels, or building one.
#[derive(Args)]
struct KernelArguments {
    /// Build the small x86 kernel with private memory from the package manager's newest kernel source
    #[arg(long)]
    build_x86: bool,
    /// Build it from this source tree instead
    #[arg(long, value_name = "DIR", requires = "build_x86")]
    tree: Option<PathBuf>,
}

/// For people or for programs.
#[derive(Args)]
struct Format {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Does what was asked; false when something did not hold.
pub(crate) fn dispatch() -> Result<bool> {
    let workspace = Workspace::find();
    match Arguments::parse().command {
        Command::Demo => Ok(demo::run(&workspace)),
        Command::Test(arguments) => test(&workspace, &arguments),
        Command::Conformance(format) => Ok(rows(&workspace, &format)),
        Command::Bench(format) => Ok(figures(&workspace, &format)),
        Command::Size => Ok(sizes(&workspace)),
        Command::Kernels(arguments) => found(&workspace, &arguments),
        Command::Ci => Ok(report::summary(&ci::all(&workspace))),
    }
}

fn test(workspace: &Workspace, arguments: &TestArguments) -> Result<bool> {
    if let Some(name) = suites::unknown(arguments) {
        bail!("no suite is named {name}");
    }
    let setup = if arguments.quick { Setup::default() } else { Setup::prepare() };
    Ok(report::summary(&suites::run(workspace, &setup, arguments)))
}

fn found(workspace: &Workspace, arguments: &KernelArguments) -> Result<bool> {
    if arguments.build_x86 {
        let image = kernels::build_x86(workspace, arguments.tree.as_deref()).map_err(Error::msg)?;
        println!("built {}", image.display());
    }
    for line in kernels::summary(workspace) {
        println!("{line}");
    }
    Ok(true)
}

fn rows(workspace: &Workspace, format: &Format) -> bool {
    let setup = Setup::prepare();
    let only = suites::EVIDENCE.map(str::to_owned).to_vec();
    let arguments = TestArguments { only, ..TestArguments::default() };
    let evidence = suites::evidence(workspace, &setup, &arguments, |_| {});
    let lines = conformance::judge(&evidence);
    let (last, holds) = conformance::total(&lines);
    if format.json {
        println!("{}", json::list(&lines.iter().map(Line::json).collect::<Vec<_>>()));
    } else {
        for line in &lines {
            println!("{}", line.text());
        }
        println!("{last}");
    }
    holds
}

fn figures(workspace: &Workspace, format: &Format) -> bool {
    let mut readings = bench::measure(workspace, &Setup::prepare());
    readings.extend(bench::timed(workspace));
    let table = bench::table(&readings);
    if format.json {
        println!("{}", json::list(&table.iter().map(Reading::json).collect::<Vec<_>>()));
    } else {
        for line in &table {
            println!("{}", line.text());
        }
    }
    let judged = bench::limits(&readings).into_iter().chain(bench::timed_limits(&readings));
    let exceeded: Vec<_> = judged.filter(Case::failed).collect();
    for case in &exceeded {
        eprintln!("does not hold: {} ({:?})", case.name, case.verdict);
    }
    exceeded.is_empty()
}

fn sizes(workspace: &Workspace) -> bool {
    let setup = Setup::prepare();
    for line in size::readings(workspace, &setup) {
        println!("{}", line.text());
    }
    for path in size::panic_paths(workspace, &setup) {
        println!("panic path in {path}");
    }
    true
}
