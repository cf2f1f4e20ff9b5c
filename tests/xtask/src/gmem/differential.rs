//! A real kernel and the provider in lock-step: random operations, every answer compared.

use super::machine::{Machine, Start};
use super::programs::{self, Programs};
use super::rows::{lacks_here, whole};
use crate::command::Finished;
use crate::kernels;
use crate::progress::Step;
use crate::report::Case;
use crate::suites::Run;
use crate::transcript::Transcript;
use std::time::Duration;

/// Operations on this machine's kernel; with `--long` ten times as many.
const HERE: u64 = 100_000;
/// Operations on the kernel under QEMU, which is slower and has conversions and guest accesses; `--long` as above.
const UNDER_QEMU: u64 = 60_000;
/// A fixed seed, so that a failure is the same for everyone.
const SEED: &str = "1";
/// Long enough for a slow or busy machine; with `--long` ten times as long.
const LIMIT: Duration = Duration::from_mins(20);

/// One run on each kernel.
pub(super) fn all(run: &Run<'_>, native: &Programs, machine: &Machine, step: &Step) -> Vec<Case> {
    let times: u32 = if run.long { 10 } else { 1 };
    let limit = LIMIT * times;
    let here = (HERE * u64::from(times)).to_string();
    let name = format!("provider_in_lock_step_with_linux-{}", kernels::version(&kernels::running_release()));
    step.note(&name);
    let mut cases = match lacks_here() {
        Some(reason) => vec![Case::skip(name, reason)],
        None => judged(
            &name,
            programs::here(run.workspace, &native.differential, &words(&here), limit, "gmem-differential-here"),
            &here,
        ),
    };
    let kernel = match &machine.stock {
        Ok(kernel) => kernel,
        Err(reason) => {
            cases.push(Case::skip("provider_in_lock_step_with_linux-7.3", reason));
            return cases;
        }
    };
    let under_qemu = (UNDER_QEMU * u64::from(times)).to_string();
    let name = format!("provider_in_lock_step_with_linux-{}", kernel.version());
    step.note(&name);
    let log = "gmem-differential-qemu";
    let done = machine.boot(run.workspace, kernel, Start::Differential, &words(&under_qemu), limit, log);
    cases.extend(judged(&name, done, &under_qemu));
    cases
}

fn words(operations: &str) -> [&str; 4] {
    ["--ops", operations, "--seed", SEED]
}

/// The cases of one run: the run itself, and what it says of the operations it did.
fn judged(name: &str, done: Result<Finished, String>, operations: &str) -> Vec<Case> {
    let name = format!("{name}_for_{operations}_operations");
    let done = match done {
        Ok(done) => done,
        Err(seen) => return vec![Case::fail(name, seen)],
    };
    let transcript = Transcript::parse(&done.lines);
    let holds = whole(&done, &transcript).and_then(|()| {
        // A program that compares nothing must not look like one that found no difference.
        if transcript.cases.is_empty() { Err("it compared nothing".into()) } else { Ok(()) }
    });
    let mut cases = vec![Case::of(&name, holds)];
    cases.extend(transcript.cases.iter().map(|case| Case { name: format!("{name}::{}", case.name), ..case.clone() }));
    cases
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::Ended;

    fn judge(text: &str, code: i32) -> Vec<Case> {
        let lines = text.lines().map(str::to_owned).collect();
        judged("both", Ok(Finished { lines, ended: Ended::Code(code) }), "5")
    }

    #[test]
    fn a_run_without_a_difference_is_a_pass() {
        let cases = judge("TENURE case no_difference pass\nTENURE end", 0);
        assert_eq!(cases, [Case::pass("both_for_5_operations"), Case::pass("both_for_5_operations::no_difference")]);
    }

    #[test]
    fn a_difference_silence_and_a_broken_run_are_failures() {
        assert!(judge("TENURE case no_difference fail op 3\nTENURE end", 1)[1].failed());
        assert!(judge("TENURE end", 0)[0].failed());
        assert!(judge("TENURE case no_difference pass", 0)[0].failed());
    }
}
