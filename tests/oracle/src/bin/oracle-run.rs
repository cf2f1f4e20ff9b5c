//! `oracle-run --ops N --seed S [--blocks B]`: the tracker and the specification in lock-step.
//!
//! Prints what was done; on a divergence what both say, the last calls, and a short list of calls that
//! still shows it. Exit 0 if there was none, 1 if there was, 2 for an argument it does not know.

use std::process::ExitCode;
use tenure_oracle::lockstep::{self, Failure, blocks::PLENTY, shrink::shrink};
use tenure_oracle::trace;

/// How many of the last calls are printed.
const TAIL: usize = 12;
/// How many shorter traces are tried.
const REPLAYS: u32 = 2_000;

fn main() -> ExitCode {
    let Some((ops, seed, blocks)) = arguments() else {
        eprintln!("usage: oracle-run [--ops N] [--seed S] [--blocks B]");
        return ExitCode::from(2);
    };
    let start = std::time::Instant::now();
    match lockstep::run(seed, ops, blocks) {
        Ok(stats) => {
            let seconds = start.elapsed().as_secs_f64();
            println!("seed {seed}, {blocks} blocks, {seconds:.1} s: {stats:?}");
            println!("TENURE case oracle_lockstep pass");
            println!("TENURE fig oracle.lockstep_calls {} calls", stats.calls);
            println!("TENURE end");
            ExitCode::SUCCESS
        }
        Err(failure) => {
            report(&failure, seed, blocks);
            ExitCode::FAILURE
        }
    }
}

fn report(failure: &Failure, seed: u64, blocks: usize) {
    let Failure { divergence, calls } = failure;
    println!("diverged at call {} of seed {seed}: {}", calls.len(), divergence.what);
    println!("the last calls:");
    for op in &calls[calls.len().saturating_sub(TAIL)..] {
        println!("  {op:x?}");
    }
    std::panic::set_hook(Box::new(|_| {}));
    let short = shrink(calls, &trace::setup(), REPLAYS, |calls| lockstep::replay(calls, blocks).is_err());
    println!("{} calls that show it:", short.len());
    for op in &short {
        println!("  {op:x?}");
    }
    if let Err(divergence) = lockstep::replay(&short, blocks) {
        println!("{}", divergence.what);
    }
    println!("TENURE case oracle_lockstep fail seed {seed}, call {}", calls.len());
    println!("TENURE end");
}

fn arguments() -> Option<(u64, u64, usize)> {
    let (mut ops, mut seed, mut blocks) = (1_000_000, 1, PLENTY);
    let mut words = std::env::args().skip(1);
    while let Some(name) = words.next() {
        let value: u64 = words.next()?.parse().ok()?;
        match name.as_str() {
            "--ops" => ops = value,
            "--seed" => seed = value,
            "--blocks" => blocks = usize::try_from(value).ok()?,
            _ => return None,
        }
    }
    Some((ops, seed, blocks))
}
