//! Tries every row on this machine's kernel and prints a line for each; as process 1 it powers the machine off.
//!
//! `--list` prints the rows' ids and what they say, and tries nothing.

use std::process::ExitCode;
use tenure_test_gmem::{kernel::Kernel, rows, system};

fn main() -> ExitCode {
    system::prepare();
    let good = run(&std::env::args().skip(1).collect::<Vec<_>>());
    system::finish(good)
}

fn run(arguments: &[String]) -> bool {
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["--list"] => {
            for row in rows::all() {
                println!("{} {}", row.id, row.says);
            }
            true
        }
        [] => match Kernel::open() {
            Ok(mut kernel) => rows::run_all(&mut kernel, |line| println!("{line}")),
            Err(why) => {
                println!("TENURE case gmem_rows_run skip {why}");
                true
            }
        },
        _ => {
            eprintln!("usage: gmem-rows [--list]");
            false
        }
    }
}
