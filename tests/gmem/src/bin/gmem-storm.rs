//! The storm of conversions under a guest that runs, on this machine's kernel; as process 1 it powers the machine off.
//!
//! `--rounds N`: rounds of each vCPU.

use std::process::ExitCode;
use tenure_test_gmem::{client::storm, system};

fn main() -> ExitCode {
    system::prepare();
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let good = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => storm::row(500, |line| println!("{line}")),
        ["--rounds", number] => match number.parse() {
            Ok(rounds) => storm::row(rounds, |line| println!("{line}")),
            Err(_) => usage(),
        },
        _ => usage(),
    };
    system::finish(good)
}

fn usage() -> bool {
    eprintln!("usage: gmem-storm [--rounds N]");
    false
}
