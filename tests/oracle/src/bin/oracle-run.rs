//! `oracle-run [--ops N] [--seed S] [--subject tracker|el2] [--blocks B] [--tables T]`: an implementation and the
//! specification in lock-step. Few blocks (tracker) or table pages (EL2) make calls fail for want of memory.
//!
//! Prints what was done; on a divergence what both say, the last calls, and a short list of calls that
//! still shows it, if one of its last million calls do. Every half minute a line on standard error says how far it is.
//! Exit 0 if there was none, 1 if there was, 2 for an argument it does not know.

use std::process::ExitCode;
use std::time::{Duration, Instant};
use tenure_oracle::lockstep::blocks::{Memory, PLENTY};
use tenure_oracle::lockstep::dispatch::{self, Dispatch};
use tenure_oracle::lockstep::run::{Failure, KEPT, replay, run};
use tenure_oracle::lockstep::shrink::shrink;
use tenure_oracle::lockstep::subject::Subject;
use tenure_oracle::lockstep::system::System;
use tenure_oracle::lockstep::{Divergence, LockStep};
use tenure_oracle::op::Op;
use tenure_oracle::trace;

/// How many of the last calls are printed.
const TAIL: usize = 12;
/// How many shorter traces are tried.
const REPLAYS: u32 = 2_000;
/// The same for EL2, each of whose boards keeps its memory.
const REPLAYS_EL2: u32 = 100;
/// How often a long run says how far it is.
const EVERY: Duration = Duration::from_secs(30);
/// After how many calls it looks at the clock.
const CLOCK: u64 = 1 << 12;

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
        let again = |calls: &[Op]| replay(Dispatch::new(tables), calls).map(drop);
        return say("el2", seed, run(Dispatch::new(tables), seed, ops, progress(ops)), REPLAYS_EL2, again);
    }
    let mut memory = Memory::new(blocks);
    let again = |calls: &[Op]| {
        let mut memory = Memory::new(blocks);
        let system = System::new(&mut memory).expect("the machine was taken before");
        replay(system, calls).map(drop)
    };
    match System::new(&mut memory) {
        Ok(system) => say("tracker", seed, run(system, seed, ops, progress(ops)), REPLAYS, again),
        Err(refused) => {
            println!("the tracker does not take the machine: {refused:?}");
            ExitCode::FAILURE
        }
    }
}

/// Says every so often how many of `ops` calls were made.
fn progress(ops: u64) -> impl FnMut(u64) {
    let (start, mut next) = (Instant::now(), EVERY);
    move |made| {
        if made.is_multiple_of(CLOCK) && start.elapsed() >= next {
            let seconds = start.elapsed().as_secs();
            eprintln!("{made} of {ops} calls, {seconds} s");
            next = start.elapsed() + EVERY;
        }
    }
}

fn say<S: Subject>(
    subject: &str,
    seed: u64,
    result: Result<LockStep<S>, Box<Failure>>,
    replays: u32,
    again: impl Fn(&[Op]) -> Result<(), Divergence>,
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
            report(&failure, replays, &again);
            println!("TENURE case oracle_{subject} fail seed {seed}, call {}", failure.made);
            ExitCode::FAILURE
        }
    };
    println!("TENURE end");
    code
}

fn report(failure: &Failure, replays: u32, again: &dyn Fn(&[Op]) -> Result<(), Divergence>) {
    let Failure { divergence, made, last } = failure;
    println!("diverged at call {made}: {}", divergence.what);
    println!("the last calls:");
    for op in &last[last.len().saturating_sub(TAIL)..] {
        println!("  {op:x?}");
    }
    std::panic::set_hook(Box::new(|_| {}));
    let short = shrink(last, &trace::setup(), replays, |calls| again(calls).is_err());
    let Err(divergence) = again(&short) else {
        // They lead nowhere without the calls before them, which were not kept.
        println!("the last {KEPT} calls alone do not show it; the whole run from its seed does");
        return;
    };
    println!("{} calls that show it:", short.len());
    for op in &short {
        println!("  {op:x?}");
    }
    println!("{}", divergence.what);
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
