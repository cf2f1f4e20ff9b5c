//! The suite of the real kernel, its figures and its demonstration: one boot each.
//!
//! No kernel on this machine is a skip with the reason; anything that goes wrong after that is a failure.

use super::{Boot, Linux, What};
use crate::conformance::Heard;
use crate::firmware::Machine;
use crate::kernels;
use crate::progress::Step;
use crate::report::Case;
use crate::setup::{Need, Setup};
use crate::suites::Run;
use crate::transcript::Transcript;
use crate::workspace::Workspace;

/// What a run on the real kernel needs.
const NEEDS: [Need; 3] = [Need::SoftFloat, Need::Arm64Linux, Need::Qemu];

/// Why the real kernel cannot run on this machine.
pub(crate) fn lacks(workspace: &Workspace, setup: &Setup) -> Option<String> {
    setup.lacks(&NEEDS).or_else(|| kernels::find_pkvm(workspace).err())
}

/// Boots the kernel with every scenario; what it said goes to the evidence.
pub(crate) fn all(run: &mut Run<'_>, step: &Step) -> Vec<Case> {
    if let Some(reason) = lacks(run.workspace, run.setup) {
        run.evidence.linux = Heard::nothing("linux", reason.clone());
        return vec![Case::skip("linux_with_pkvm", reason)];
    }
    step.note("building guest and VMM");
    let booted = Linux::prepare(run.workspace).and_then(|linux| {
        step.note("booting");
        let boot = linux.boot(run.workspace, &Machine::TwoCpus.options(), What::Everything)?;
        Ok((format!("linux-{}", linux.kernel.series()), boot))
    });
    let (against, boot) = match booted {
        Ok(booted) => booted,
        Err(seen) => {
            run.evidence.linux = Heard::nothing("linux", seen.clone());
            return vec![Case::fail("linux_with_pkvm_boots", seen)];
        }
    };
    let mut cases = vec![Case::of("linux_with_pkvm_runs_to_its_end", boot.whole())];
    cases.extend(boot.transcript.cases.iter().cloned());
    run.evidence.linux = Heard { against, said: Ok(boot.transcript) };
    cases
}

/// One boot that measures.
pub(crate) fn figures(workspace: &Workspace, machine: &Machine) -> Result<Transcript, String> {
    said(&Linux::prepare(workspace)?.boot(workspace, &machine.options(), What::Figures)?)
}

/// One boot for the demonstration, with the kernel's version.
pub(crate) fn demonstration(workspace: &Workspace) -> Result<(String, Transcript), String> {
    let linux = Linux::prepare(workspace)?;
    let boot = linux.boot(workspace, &Machine::TwoCpus.options(), What::Everything)?;
    Ok((linux.kernel.version().to_owned(), said(&boot)?))
}

fn said(boot: &Boot) -> Result<Transcript, String> {
    boot.whole().map(|()| boot.transcript.clone())
}
