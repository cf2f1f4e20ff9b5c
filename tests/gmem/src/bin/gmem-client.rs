//! Tries the client of a VMM on this machine's kernel and prints a line for each case; as process 1 it powers the machine off.
//!
//! `--provider NAME` tries it on our own provider as the kernel of that name.

use std::process::ExitCode;
use tenure_test_gmem::client::{self, Emulated, Real, World};
use tenure_test_gmem::{system, target::Personality};

fn main() -> ExitCode {
    system::prepare();
    let good = run(&std::env::args().skip(1).collect::<Vec<_>>());
    system::finish(good)
}

fn run(arguments: &[String]) -> bool {
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => match Real::open() {
            Ok(mut world) => all(&mut world),
            Err(why) => {
                println!("TENURE case client_run skip {why}");
                true
            }
        },
        ["--provider", name] => {
            if let Ok(personality) = name.parse::<Personality>() {
                all(&mut Emulated::new(personality))
            } else {
                eprintln!("no personality is called {name}");
                false
            }
        }
        _ => {
            eprintln!("usage: gmem-client [--provider NAME]");
            false
        }
    }
}

fn all(world: &mut impl World) -> bool {
    println!("the client over {}", world.name());
    client::run_all(world, |line| println!("{line}"))
}
