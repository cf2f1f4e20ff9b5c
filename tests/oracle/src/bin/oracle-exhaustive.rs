//! `oracle-exhaustive [--long]`: every call from every reachable state of small machines, EL2 on a board beside the specification.
//!
//! Without `--long` the machines that take less than a minute on two cores. Exit 0 if nothing differed, 1 if something did,
//! 2 for an argument it does not know.

use std::process::ExitCode;
use std::sync::Mutex;
use std::time::Instant;
use tenure_oracle::exhaustive::{Space, explore};
use tenure_oracle::spec::VmKind::{NonProtected, Protected};

/// Machines that are explored at the same time.
const THREADS: usize = 2;

fn quick() -> Vec<Space> {
    vec![
        Space::pages("three_pages_mixed_guests", 3, &[Protected, NonProtected]),
        Space::boundary("boundary_protected", Protected, 0),
        Space::boundary("boundary_non_protected", NonProtected, 0),
    ]
}

fn long() -> Vec<Space> {
    vec![
        Space::pages("three_pages_protected_guests", 3, &[Protected, Protected]),
        Space::pages("three_pages_non_protected_guests", 3, &[NonProtected, NonProtected]),
        Space::boundary("boundary_protected_pins", Protected, 2),
        Space::boundary("boundary_non_protected_pins", NonProtected, 2),
    ]
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let mut spaces = quick();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => {}
        ["--long"] => spaces.extend(long()),
        _ => {
            eprintln!("usage: oracle-exhaustive [--long]");
            return ExitCode::from(2);
        }
    }
    spaces.reverse();
    let (left, all_well) = (Mutex::new(spaces), Mutex::new(true));
    let next = || left.lock().ok().and_then(|mut left| left.pop());
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                while let Some(space) = next() {
                    let well = run(&space);
                    if let Ok(mut all_well) = all_well.lock() {
                        *all_well &= well;
                    }
                }
            });
        }
    });
    println!("TENURE end");
    if all_well.into_inner().unwrap_or(false) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn run(space: &Space) -> bool {
    let name = space.name;
    let start = Instant::now();
    match explore(space) {
        Ok(found) => {
            println!("{name}: {}: {found:?} in {:.1} s", space.describe(), start.elapsed().as_secs_f64());
            println!("TENURE fig exhaustive.{name}_states {} states", found.states);
            println!("TENURE fig exhaustive.{name}_transitions {} calls", found.done + found.refused);
            println!("TENURE case exhaustive_{name} pass");
            true
        }
        Err(stray) => {
            println!("{name}: {}", stray.divergence.what);
            println!("the last calls:");
            for op in &stray.tail {
                println!("  {op:x?}");
            }
            println!("TENURE case exhaustive_{name} fail {:?}", stray.divergence.op);
            false
        }
    }
}
