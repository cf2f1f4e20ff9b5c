//! `cargo xtask`: sets a machine up, runs every test of the project and says what was seen.
//!
//! | module | idea |
//! |---|---|
//! | `cli` | the commands, as people type them |
//! | `workspace`, `command`, `progress` | where things are, running a program within a limit, showing that it runs |
//! | `setup` | what the machine needs, and getting it |
//! | `report` | cases, verdicts, the table and the last line |
//! | `suites` | which suites exist and in what order; each one is a module: `hosted`, `builds`, … |
//!
//! Nothing here is part of the product: it may use the standard library and stop with an error.

mod bench;
mod builds;
mod ci;
mod cli;
mod command;
mod conformance;
mod demo;
mod firmware;
mod fuzz;
mod gmem;
mod hosted;
mod initrd;
mod json;
mod kernels;
mod libtest;
mod linux;
mod models;
mod mutants;
mod oracle;
mod plugin;
mod progress;
mod report;
mod setup;
mod size;
mod suites;
mod transcript;
mod workspace;

use std::process::ExitCode;

fn main() -> ExitCode {
    match cli::dispatch() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}
