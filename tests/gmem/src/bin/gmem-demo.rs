//! Shows the main job through the client on this machine's kernel, as facts; as process 1 it powers the machine off.
//!
//! `--provider NAME` shows it on our own provider as the kernel of that name.

use std::process::ExitCode;
use tenure_test_gmem::client::{Emulated, Real, World, demo};
use tenure_test_gmem::{system, target::Personality};

fn main() -> ExitCode {
    system::prepare();
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let shown = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => Real::open().and_then(show),
        ["--provider", name] => match name.parse::<Personality>() {
            Ok(personality) => show(Emulated::new(personality)),
            Err(_) => Err(format!("no personality is called {name}")),
        },
        _ => Err("usage: gmem-demo [--provider NAME]".into()),
    };
    if let Err(why) = &shown {
        println!("TENURE case gmem_demo fail {why}");
    }
    system::finish(shown.is_ok())
}

fn show(mut world: impl World) -> Result<(), String> {
    demo::show(&mut world, |facts| println!("TENURE demo {facts}"))
}
