//! What the client adds to the requests that it makes: one boot of the kernel with private memory, on a machine that counts instructions.

use super::machine::{Machine, Start};
use super::rows::whole;
use crate::bench::Reading;
use crate::report::Verdict;
use crate::setup::Setup;
use crate::transcript::Transcript;
use crate::workspace::Workspace;
use std::time::Duration;

/// It takes some ten seconds; a slow machine gets a multiple, and a hang is still noticed.
const LIMIT: Duration = Duration::from_mins(4);

/// The figures, or why there are none: each stands for all whose names begin with this.
const PART: &str = "gmem.client";

/// Boots and measures.
pub(crate) fn figures(workspace: &Workspace, setup: &Setup) -> Vec<Reading> {
    let machine = Machine::prepare(workspace, setup);
    let kernel = match &machine.stock {
        Ok(kernel) => kernel,
        Err(reason) => return vec![Reading::missing(PART, reason)],
    };
    let done = match machine.boot(workspace, kernel, Start::Cost, &[], LIMIT, "gmem-cost-qemu") {
        Ok(done) => done,
        Err(seen) => return vec![Reading::broken(PART, &seen)],
    };
    let transcript = Transcript::parse(&done.lines);
    match whole(&done, &transcript) {
        Ok(()) => read(&transcript),
        Err(seen) => vec![Reading::broken(PART, &seen)],
    }
}

fn read(transcript: &Transcript) -> Vec<Reading> {
    let case = transcript.cases.first().map(|case| &case.verdict);
    match case {
        Some(Verdict::Skip(reason)) => vec![Reading::missing(PART, reason)],
        Some(Verdict::Fail(seen)) => vec![Reading::broken(PART, seen)],
        Some(Verdict::Pass) | None => transcript.figures.iter().map(Reading::measured).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str) -> Vec<String> {
        let lines: Vec<_> = text.lines().map(str::to_owned).collect();
        read(&Transcript::parse(&lines)).iter().map(Reading::text).collect()
    }

    #[test]
    fn a_kernel_without_private_memory_is_a_reason_and_a_failure_is_not() {
        assert_eq!(said("TENURE case c skip not here\nTENURE end"), ["gmem.client skip not here"]);
        assert_eq!(said("TENURE fig gmem.client_x 1.01 ratio\nTENURE end"), ["gmem.client_x 1.01 ratio"]);
        assert_eq!(read(&Transcript::parse(&["TENURE case c fail no".into()])), [Reading::broken(PART, "no")]);
    }
}
