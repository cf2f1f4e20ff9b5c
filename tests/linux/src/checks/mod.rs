//! What must have been observed on a real kernel.
//!
//! [`expected`] is a table: scenario, step, the exact texts. [`around`] holds what cannot be said so: what
//! happens to memory after a VM's death, errnos of the host, kinds of VMs and of memory. [`host_calls`] takes the other side:
//! what the host kernel itself may ask EL2; [`client`] has the rows of the client.

mod around;
mod client;
mod expected;
mod host_calls;

use crate::life::{Backing, Host, Life, Machine};
use std::collections::BTreeMap;
use tenure_test_protocol::Scenario;

/// Every case and how it ended, kept to give the rows their verdict.
#[derive(Default)]
pub struct Report {
    failed: BTreeMap<&'static str, bool>,
}

impl Report {
    /// Prints a case: `seen` must be `wanted`.
    pub fn equal<T: PartialEq + std::fmt::Debug>(&mut self, case: &'static str, seen: &T, wanted: &T) {
        if seen == wanted {
            println!("TENURE case {case} pass");
        } else {
            println!("TENURE case {case} fail saw {seen:?}, wanted {wanted:?}");
        }
        *self.failed.entry(case).or_default() |= seen != wanted;
    }

    /// Prints a row of the behaviour table: it holds if all of `cases` were tried and hold.
    pub fn row(&self, row: &str, cases: &[&str]) {
        let bad: Vec<_> = cases.iter().filter(|case| self.failed.get(*case) != Some(&false)).collect();
        if bad.is_empty() {
            println!("TENURE row {row} pass {}", cases.join(","));
        } else {
            println!("TENURE row {row} fail {bad:?}");
        }
    }
}

/// Runs all scenarios and checks everything.
pub fn run(host: &Host) -> Result<(), String> {
    let mut report = Report::default();
    for &scenario in Scenario::ALL {
        // Measured elsewhere, or checked below together with what the host does beside it.
        if matches!(scenario, Scenario::Bench | Scenario::BenchRanges | Scenario::HostCalls | Scenario::LeftShared) {
            continue;
        }
        let life = Machine::new(host, true, Backing::Client, scenario)?.live_and_tell();
        expected::check(&mut report, scenario, &life);
        around::check_life(&mut report, scenario, &life);
    }
    around::check_deaths(&mut report, host)?;
    around::check_signals(&mut report, host)?;
    around::check_kinds(&mut report, host)?;
    host_calls::check(&mut report, host)?;
    client::check(&mut report, host)?;
    for (row, cases) in expected::ROWS {
        report.row(row, cases);
    }
    Ok(())
}

/// How a life ended, for messages.
fn last(life: &Life) -> String {
    match &life.last {
        Some(Ok(exit)) => format!("{exit:?}"),
        Some(Err(failed)) => failed.to_string(),
        None => "never ran".into(),
    }
}
