//! Every row on every target.

use super::machine::{Machine, Start};
use super::programs::{self, Programs};
use crate::command::{Ended, Finished};
use crate::conformance::Heard;
use crate::conformance::gmem::{PERSONALITIES, Target, Tried};
use crate::kernels::{self, Kernel};
use crate::progress::Step;
use crate::report::{Case, Verdict};
use crate::transcript::Transcript;
use crate::workspace::Workspace;
use std::time::Duration;

/// All rows take seconds; a slow machine gets a multiple, and a hang is still noticed.
const LIMIT: Duration = Duration::from_mins(4);

/// A row that applies to every kernel with the ioctl for attributes of a file, and to no other: an unaligned size.
const IN_PLACE: &str = "GM-37";

/// What each target said about the rows.
pub(super) fn all(workspace: &Workspace, native: &Programs, machine: &Machine, step: &Step) -> Vec<Tried> {
    let mut all = Vec::new();
    for personality in PERSONALITIES {
        let against = format!("provider-{personality}");
        step.note(&against);
        let arguments = ["--provider", personality];
        let done = programs::here(workspace, &native.rows, &arguments, LIMIT, &format!("gmem-rows-{against}"));
        all.push(tried(Target::Provider(personality), against, Ran::Finished(done)));
    }
    let release = kernels::running_release();
    let against = format!("linux-{}", kernels::version(&release));
    step.note(&against);
    let ran = match lacks_here() {
        Some(reason) => Ran::Not(reason),
        None => Ran::Finished(programs::here(workspace, &native.rows, &[], LIMIT, "gmem-rows-here")),
    };
    all.push(tried(Target::Here, against, ran));
    all.push(match &machine.stock {
        Err(reason) => tried(Target::Stock, "linux-7.3".into(), Ran::Not(reason.clone())),
        Ok(kernel) => {
            let against = format!("linux-{}", kernel.version());
            let rows = under_qemu(workspace, machine, kernel, Start::Rows, "gmem-rows-qemu", step);
            let storm = under_qemu(workspace, machine, kernel, Start::Storm, "gmem-storm-qemu", step);
            together(tried(Target::Stock, against.clone(), rows), tried(Target::Stock, against, storm))
        }
    });
    all.extend(machine.supplied.as_ref().map(|kernel| match kernel {
        Err(reason) => tried(Target::InPlace, "linux-inplace".into(), Ran::Not(reason.clone())),
        Ok(kernel) => {
            let ran = under_qemu(workspace, machine, kernel, Start::Rows, "gmem-rows-inplace", step);
            in_place(tried(Target::InPlace, format!("linux-inplace-{}", kernel.version()), ran))
        }
    }));
    all
}

/// Why this machine's own kernel cannot be tried.
pub(super) fn lacks_here() -> Option<String> {
    if cfg!(target_arch = "x86_64") { kernels::lacks_gmem() } else { Some("the rows are for /dev/kvm on x86".into()) }
}

fn under_qemu(workspace: &Workspace, machine: &Machine, kernel: &Kernel, start: Start, log: &str, step: &Step) -> Ran {
    step.note(&format!("Linux {} under QEMU", kernel.release));
    Ran::Finished(machine.boot(workspace, kernel, start, &[], LIMIT, log))
}

/// Two programs of one target, as if it had been one.
fn together(mut first: Tried, second: Tried) -> Tried {
    first.broke = first.broke.or(second.broke);
    match (&mut first.heard.said, second.heard.said) {
        (Ok(said), Ok(more)) => said.extend(more),
        (said @ Ok(_), Err(reason)) => *said = Err(reason),
        (Err(_), _) => {}
    }
    first
}

/// What became of a program.
enum Ran {
    /// It could not run here.
    Not(String),
    /// It ran, or should have.
    Finished(Result<Finished, String>),
}

/// What a target's program said, as evidence. One that broke off is evidence too: of nothing but its breaking off.
fn tried(target: Target, against: String, ran: Ran) -> Tried {
    let (said, broke) = match ran {
        Ran::Not(reason) => (Err(reason), None),
        Ran::Finished(Err(seen)) => (Err(seen.clone()), Some(seen)),
        Ran::Finished(Ok(done)) => {
            let transcript = Transcript::parse(&done.lines);
            match (whole(&done, &transcript), unusable(&transcript)) {
                (Ok(()), Some(reason)) => (Err(reason), None),
                (holds, _) => (Ok(transcript), holds.err()),
            }
        }
    };
    Tried { target, heard: Heard { against, said }, broke }
}

/// Why the program tried no row, if it says so: a kernel without KVM, for one.
fn unusable(transcript: &Transcript) -> Option<String> {
    let silent = transcript.rows.is_empty() && transcript.not_applicable.is_empty();
    transcript.cases.iter().filter(|_| silent).find_map(|case| match &case.verdict {
        Verdict::Skip(reason) => Some(reason.clone()),
        _ => None,
    })
}

/// A kernel from a supplied tree counts as one that converts in place only if it has rows of that.
fn in_place(mut tried: Tried) -> Tried {
    let without =
        tried.heard.said.iter().flat_map(|transcript| &transcript.not_applicable).any(|(id, _)| id == IN_PLACE);
    if without {
        tried.heard.said = Err("the kernel from the supplied tree has no ioctl for attributes of a file".into());
    }
    tried
}

/// Whether a run as such is to be trusted: it ended by itself, said so, and every line of it was understood.
pub(super) fn whole(done: &Finished, transcript: &Transcript) -> Result<(), String> {
    let failed = transcript.cases.iter().chain(&transcript.rows).any(Case::failed);
    match done.ended {
        Ended::Code(0) => {}
        // Its own lines carry the details.
        Ended::Code(1) if failed && transcript.ended => {}
        ended => return Err(format!("{ended}: {}", done.tail(8))),
    }
    if !transcript.ended {
        return Err(format!("it did not come to its end: {}", done.tail(8)));
    }
    match transcript.unreadable.first() {
        Some(line) => Err(format!("a line that nobody understands: {line}")),
        None => Ok(()),
    }
}

/// The cases of one target: the run itself, its rows as one, and what else it tried.
pub(super) fn cases(tried: &Tried) -> Vec<Case> {
    let against = &tried.heard.against;
    let name = format!("rows_on_{against}");
    if let Some(seen) = &tried.broke {
        return vec![Case::fail(name, seen)];
    }
    let transcript = match &tried.heard.said {
        Ok(transcript) => transcript,
        Err(reason) => return vec![Case::skip(name, reason)],
    };
    let failed: Vec<_> = transcript.rows.iter().filter_map(failure).collect();
    let holds = if !failed.is_empty() {
        Err(failed.join("\n"))
    } else if !transcript.rows.iter().any(|row| row.verdict == Verdict::Pass) {
        Err("no row held".into())
    } else {
        Ok(())
    };
    let mut cases = vec![Case::of(name, holds)];
    cases
        .extend(transcript.cases.iter().map(|case| Case { name: format!("{against}::{}", case.name), ..case.clone() }));
    cases
}

fn failure(row: &Case) -> Option<String> {
    match &row.verdict {
        Verdict::Fail(seen) => Some(format!("{}: {seen}", row.name)),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
