//! Tries every row, and every row of the client, on this machine's kernel and prints a line for each; as process 1 it powers the machine off.
//!
//! Where a kernel 7.3 has private memory the table of single observations follows: `ROW name = value`, and whether that
//! is what is expected. `--list` prints the rows' ids and what they say, and tries nothing. `--provider NAME` tries all
//! of it on our own provider as the kernel of that name: `6.8`, `6.11`, `6.18`, `7.3`, `rfc-v5` or `v8`.

use std::process::ExitCode;
use tenure_test_gmem::client::{self, Emulated, Real, World};
use tenure_test_gmem::{Target, kernel::Kernel, observations, provider::Provider, rows, system, target::Personality};

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
            Ok(mut kernel) => {
                let good = all(&mut kernel);
                drop(kernel);
                let rough =
                    Real::open().is_ok_and(|mut world| client::rough::row(&mut world, |line| println!("{line}")));
                good & client(Real::open()) & rough
            }
            Err(why) => {
                println!("TENURE case gmem_rows_run skip {why}");
                true
            }
        },
        ["--provider", name] => {
            if let Ok(personality) = name.parse::<Personality>() {
                println!("TENURE row CL-12 n/a nothing interrupts or closes what is a model");
                all(&mut Provider::new(personality)) & client(Ok(Emulated::new(personality)))
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

/// The rows of the client, on a world of their own.
fn client(world: Result<impl World, String>) -> bool {
    match world {
        Ok(mut world) => client::run_all(&mut world, |line| println!("{line}")),
        Err(why) => {
            println!("TENURE case client_rows fail {why}");
            false
        }
    }
}

fn all(target: &mut dyn Target) -> bool {
    let good = rows::run_all(target, |line| println!("{line}"));
    let skip = |why: &str| println!("TENURE case gmem_table skip {why}");
    if target.machine().personality != Personality::V7_3 {
        skip("what other kernels than 7.3 say is not written down");
        return good;
    }
    match observations::observe(target) {
        Ok(table) => {
            for (name, value) in &table {
                println!("ROW {name} = {value}");
            }
            observations::compare(&table, |line| println!("{line}")) && good
        }
        Err(why) => {
            skip(&why);
            good
        }
    }
}
