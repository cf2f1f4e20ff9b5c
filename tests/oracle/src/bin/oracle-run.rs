//! `oracle-run [--ops N] [--seed S] [--subject tracker|el2] [--blocks B] [--tables T]`: an implementation and the
//! specification in lock-step. Few blocks (tracker) or table pages (EL2) make calls fail for want of memory.
//!
//! Prints what was done; on a divergence what both say, the last calls, and a short list of calls that
//! still shows it. Exit 0 if there was none, 1 if there was, 2 for an argument it does not know.

use std::process::ExitCode;
use tenure_oracle::lockstep::blocks::{Memory, PLENTY};
use tenure_oracle::lockstep::dispatch::{self, Dispatch};
use tenure_oracle::lockstep::shrink::shrink;
use tenure_oracle::lockstep::subject::Subject;
use tenure_oracle::lockstep::system::System;
use tenure_oracle::lockstep::{self, Divergence, Failure, LockStep};
use tenure_oracle::op::Op;
use tenure_oracle::trace;

/// How many of the last calls are printed.
const TAIL: usize = 12;
/// How many shorter traces are tried.
const REPLAYS: u32 = 2_000;
/// The same for EL2, each of whose boards keeps its memory.
const REPLAYS_EL2: u32 = 100;

struct Arguments {
    ops: u64,
    seed: u64,
    blocks: usize,
    tables: u64,
    el2: bool,
}

fn main() -> ExitCode {
    let Some(arguments) = arguments() else {
        eprintln!("usage: oracle-run [--ops N] [--seed S] [--subject tracker|el2] [--blocks B] [--tables T]");
        return ExitCode::from(2);
    };
    let Arguments { ops, seed, blocks, tables, el2 } = arguments;
    if el2 {
        let replay = |calls: &[Op]| lockstep::replay(Dispatch::new(tables), calls).map(drop);
        return say("el2", seed, lockstep::run(Dispatch::new(tables), seed, ops), REPLAYS_EL2, replay);
    }
    let mut memory = Memory::new(blocks);
    let replay = |calls: &[Op]| {
        let mut memory = Memory::new(blocks);
        let system = System::new(&mut memory).expect("the machine was taken before");
        lockstep::replay(system, calls).map(drop)
    };
    match System::new(&mut memory) {
        Ok(system) => say("tracker", seed, lockstep::run(system, seed, ops), REPLAYS, replay),
        Err(refused) => {
            println!("the tracker does not take the machine: {refused:?}");
            ExitCode::FAILURE
        }
    }
}

fn say<S: Subject>(
    subject: &str,
    seed: u64,
    result: Result<LockStep<S>, Box<Failure>>,
    replays: u32,
    replay: impl Fn(&[Op]) -> Result<(), Divergence>,
) -> ExitCode {
    let code = match result {
        Ok(pair) => {
            println!("{subject}, seed {seed}: {:?}", pair.stats);
            for (choice, times) in &pair.choices {
                println!("  choice: {choice} ({times} times)");
            }
            println!("TENURE case oracle_{subject} pass");
            println!("TENURE fig oracle.{subject}_calls {} calls", pair.stats.calls);
            ExitCode::SUCCESS
        }
        Err(failure) => {
            report(&failure, replays, &replay);
            println!("TENURE case oracle_{subject} fail seed {seed}, call {}", failure.calls.len());
            ExitCode::FAILURE
        }
    };
    println!("TENURE end");
    code
}

fn report(failure: &Failure, replays: u32, replay: &dyn Fn(&[Op]) -> Result<(), Divergence>) {
    let Failure { divergence, calls } = failure;
    println!("diverged at call {}: {}", calls.len(), divergence.what);
    println!("the last calls:");
    for op in &calls[calls.len().saturating_sub(TAIL)..] {
        println!("  {op:x?}");
    }
    std::panic::set_hook(Box::new(|_| {}));
    let short = shrink(calls, &trace::setup(), replays, |calls| replay(calls).is_err());
    println!("{} calls that show it:", short.len());
    for op in &short {
        println!("  {op:x?}");
    }
    if let Err(divergence) = replay(&short) {
        println!("{}", divergence.what);
    }
}

fn arguments() -> Option<Arguments> {
    let mut found = Arguments { ops: 1_000_000, seed: 1, blocks: PLENTY, tables: dispatch::PLENTY, el2: false };
    let mut words = std::env::args().skip(1);
    while let Some(name) = words.next() {
        let value = words.next()?;
        match name.as_str() {
            "--ops" => found.ops = value.parse().ok()?,
            "--seed" => found.seed = value.parse().ok()?,
            "--blocks" => found.blocks = value.parse().ok()?,
            "--tables" => found.tables = value.parse().ok()?,
            "--subject" if value == "tracker" => found.el2 = false,
            "--subject" if value == "el2" => found.el2 = true,
            _ => return None,
        }
    }
    Some(found)
}
