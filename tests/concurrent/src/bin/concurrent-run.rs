//! `concurrent-run [--schedules N] [--seed S] [--first K] [--faults R] [--pair A,B]`: pairs of operations under many schedules.
//!
//! All pairs, unless one is named; with `--faults`, one request of the first R in each schedule is refused. A schedule that goes
//! wrong is printed with its number: `--pair A,B --seed S --first K --schedules 1` makes it again. Exit 0 if all went well, 1 if
//! not, 2 for an argument it does not know.

use std::process::ExitCode;
use std::time::Instant;
use tenure_concurrent::{Op, pair, pairs};
use tenure_machine::Plan;

struct Arguments {
    plan: Plan,
    only: Option<[Op; 2]>,
}

fn main() -> ExitCode {
    let Some(Arguments { plan, only }) = arguments() else {
        let names = Op::ALL.map(|op| format!("{op:?}")).join(" ");
        eprintln!(
            "usage: concurrent-run [--schedules N] [--seed S] [--first K] [--faults R] [--pair A,B]\nA, B: {names}"
        );
        return ExitCode::from(2);
    };
    let start = Instant::now();
    let (mut schedules, mut primitives, mut failed) = (0, 0, false);
    for both in pairs().filter(|both| only.is_none_or(|only| only == *both || only == [both[1], both[0]])) {
        let outcome = pair(plan, both);
        schedules += outcome.schedules;
        primitives += outcome.primitives;
        let kind = if plan.faults.is_some() { "refusals" } else { "pair" };
        let name = format!("concurrent_{kind}_{:?}_{:?}", both[0], both[1]).to_lowercase();
        match outcome.found {
            None => println!("TENURE case {name} pass"),
            Some(found) => {
                failed = true;
                println!(
                    "TENURE case {name} fail seed {}, schedule {}: {}",
                    plan.seed,
                    found.schedule,
                    found.what.join("; ")
                );
            }
        }
    }
    println!("{schedules} schedules, {primitives} primitives, {:.1} s", start.elapsed().as_secs_f64());
    println!("TENURE fig concurrent.schedules {schedules} schedules");
    println!("TENURE end");
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn arguments() -> Option<Arguments> {
    let mut found = Arguments { plan: Plan::new(1, 10_000, 3), only: None };
    let mut words = std::env::args().skip(1);
    while let Some(name) = words.next() {
        let value = words.next()?;
        match name.as_str() {
            "--schedules" => found.plan.schedules = value.parse().ok()?,
            "--seed" => found.plan.seed = value.parse().ok()?,
            "--first" => found.plan.first = value.parse().ok()?,
            "--faults" => found.plan.faults = Some(value.parse().ok().filter(|&n| n != 0)?),
            "--pair" => found.only = Some(both(&value)?),
            _ => return None,
        }
    }
    Some(found)
}

fn both(names: &str) -> Option<[Op; 2]> {
    let find = |name: &str| Op::ALL.into_iter().find(|op| format!("{op:?}").eq_ignore_ascii_case(name));
    let (first, second) = names.split_once(',')?;
    Some([find(first)?, find(second)?])
}
