//! What the client adds to the requests that it makes, on this machine's kernel; as process 1 it powers the machine off.

use std::process::ExitCode;
use tenure_test_gmem::{client::cost, system};

fn main() -> ExitCode {
    system::prepare();
    let good = match cost::figures(|line| println!("{line}")) {
        Ok(true) => true,
        Ok(false) => {
            println!("TENURE case gmem_cost_runs skip private memory beside shared does not exist here");
            true
        }
        Err(seen) => {
            println!("TENURE case gmem_cost_runs fail {seen}");
            false
        }
    };
    system::finish(good)
}
