//! `oracle-exhaustive [--long | <name>...]`: every call from every reachable state of small machines, EL2 on a board beside the specification.
//!
//! Without arguments the machines that together take less than a minute on two cores; with `--long` all; or those named. Every half
//! minute a line on standard error says how far each is. Exit 0 if nothing differed, 1 if something did, 2 for an argument it does not know.

use std::process::ExitCode;
use std::sync::Mutex;
use std::time::{Duration, Instant};
use tenure_oracle::exhaustive::{Space, explore};
use tenure_oracle::spec::VmKind::{NonProtected, Protected};

/// Machines that are explored at the same time.
const THREADS: usize = 2;
/// How often a long walk says how far it is.
const EVERY: Duration = Duration::from_secs(30);

fn quick() -> Vec<Space> {
    vec![
        Space::pages("three_pages_protected_guests", 3, &[Protected, Protected]),
        Space::pages("three_pages_mixed_guests", 3, &[Protected, NonProtected]),
        Space::boundary("boundary_protected", Protected, 0, false),
        Space::pages("three_pages_non_protected_guests", 3, &[NonProtected, NonProtected]),
        Space::boundary("boundary_non_protected", NonProtected, 0, false),
    ]
}

/// The largest, `four_pages_mixed_guests`, has 119,260 states and 15.2 million transitions; the slowest,
/// `two_regions_protected`, 22,832 and 2.8 million, most of them over hundreds of pages.
fn long() -> Vec<Space> {
    vec![
        Space::boundary("boundary_protected_pins", Protected, 2, false),
        Space::boundary("boundary_non_protected_pins", NonProtected, 2, false),
        Space::boundary("two_regions_protected", Protected, 0, true),
        Space::boundary("two_regions_non_protected", NonProtected, 0, true),
        Space::pages("four_pages_mixed_guests", 4, &[Protected, NonProtected]),
    ]
}

fn main() -> ExitCode {
    let Some(mut spaces) = chosen(&std::env::args().skip(1).collect::<Vec<_>>()) else {
        eprintln!("usage: oracle-exhaustive [--long | <name>...]");
        return ExitCode::from(2);
    };
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

/// The spaces that the arguments ask for; `None` for one that there is not.
fn chosen(arguments: &[String]) -> Option<Vec<Space>> {
    if arguments.is_empty() {
        return Some(quick());
    }
    let all: Vec<Space> = quick().into_iter().chain(long()).collect();
    if arguments == ["--long"] {
        return Some(all);
    }
    arguments.iter().map(|name| all.iter().find(|space| space.name == name).cloned()).collect()
}

fn run(space: &Space) -> bool {
    let name = space.name;
    let start = Instant::now();
    let mut next = EVERY;
    let progress = |progress| {
        if start.elapsed() >= next {
            eprintln!("{name}: {progress:?} after {} s", start.elapsed().as_secs());
            next = start.elapsed() + EVERY;
        }
    };
    match explore(space, progress) {
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
