//! Tries every row on this machine's kernel and prints a line for each; as process 1 it powers the machine off.
//!
//! `--list` prints the rows' ids and what they say, and tries nothing. `--provider NAME` tries them on our own provider as the
//! kernel of that name: `6.8`, `6.11`, `6.18`, `7.3`, `rfc-v5` or `v8`.

use std::process::ExitCode;
use tenure_test_gmem::{kernel::Kernel, provider::Provider, rows, system, target::Personality};

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
        ["--provider", name] => {
            if let Ok(personality) = name.parse::<Personality>() {
                rows::run_all(&mut Provider::new(personality), |line| println!("{line}"))
            } else {
                eprintln!("no personality is called {name}");
                false
            }
        }
        _ => {
            eprintln!("usage: gmem-rows [--list | --provider NAME]");
            false
        }
    }
}
