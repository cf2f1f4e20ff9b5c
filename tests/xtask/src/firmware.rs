//! The suite of firmware scenarios: our EL2 image with a host payload and a guest, each scenario its own boot of QEMU.
//!
//! QEMU places the parts: the image by `-kernel`, payload and guest as raw bytes, and the scenario's number as one
//! word in memory. The image lists its own scenarios when it is asked for number 0.

mod images;

use std::path::Path;
use std::process::Command;
use std::time::Duration;

pub(crate) use images::Images;

use crate::command::{self, Ended, Finished};
use crate::progress::Step;
use crate::report::Case;
use crate::setup::Need;
use crate::suites::Run;
use crate::transcript::Transcript;
use crate::workspace::Workspace;

/// What a firmware run needs.
pub(crate) const NEEDS: [Need; 2] = [Need::SoftFloat, Need::Qemu];

/// Where QEMU puts the parts; `tests/firmware` has the same map.
mod place {
    pub(super) const PAYLOAD: u64 = 0x4800_0000;
    pub(super) const SCENARIO: u64 = 0x4900_0000;
    pub(super) const GUEST: u64 = 0x4a00_0000;
}

/// A scenario takes well under a second; a slow machine gets a multiple, a hang is still noticed.
const LIMIT: Duration = Duration::from_mins(1);

/// How the machine under a scenario looks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Machine {
    /// Two CPUs, real time.
    TwoCpus,
    /// One CPU, one counter tick an instruction: what is measured repeats exactly. With a plugin, as QEMU's argument.
    Counting(Option<String>),
}

impl Machine {
    /// The machine that a scenario of this name is written for.
    fn of(scenario: &str) -> Self {
        if measures(scenario) { Self::Counting(None) } else { Self::TwoCpus }
    }

    /// Options of QEMU that make this machine; Linux runs use the same.
    pub(crate) fn options(&self) -> Vec<String> {
        let (options, plugin): (&[&str], _) = match self {
            Self::TwoCpus => (&["-cpu", "cortex-a76", "-smp", "2"], None),
            Self::Counting(plugin) => (
                &["-cpu", "cortex-a76,cntfrq=1000000000", "-smp", "1", "-icount", "shift=0,sleep=off"],
                plugin.as_ref(),
            ),
        };
        let mut options: Vec<_> = options.iter().map(|&word| word.to_owned()).collect();
        options.extend(plugin.into_iter().flat_map(|plugin| ["-plugin".to_owned(), plugin.clone()]));
        options
    }
}

/// Scenarios that measure; the names of others that do may begin with one of these.
const MEASURING: [&str; 2] = ["bench", "fast_hvc"];

/// Whether a scenario of this name measures.
pub(crate) fn measures(scenario: &str) -> bool {
    MEASURING.iter().any(|name| scenario.starts_with(name))
}

/// Boots one scenario and returns what it printed.
pub(crate) fn boot(images: &Images, scenario: u64, machine: &Machine, log: &Path) -> Result<Finished, String> {
    let raw = |file: &Path, at: u64| format!("loader,file={},addr={at:#x},force-raw=on", file.display());
    let mut qemu = Command::new("qemu-system-aarch64");
    qemu.args(["-machine", "virt,virtualization=on,gic-version=3", "-m", "512"])
        .args(["-nographic", "-nodefaults", "-no-reboot", "-semihosting", "-serial", "stdio"])
        .args(machine.options())
        .arg("-kernel")
        .arg(&images.el2)
        .args(["-device", &raw(&images.payload, place::PAYLOAD)])
        .args(["-device", &raw(&images.guest, place::GUEST)])
        .args(["-device", &format!("loader,addr={:#x},data={scenario},data-len=8", place::SCENARIO)]);
    command::run(&mut qemu, LIMIT, Some(log), |_| {}).map_err(|error| format!("{error:#}"))
}

/// The scenarios that the images offer.
pub(crate) fn scenarios(workspace: &Workspace, images: &Images) -> Result<Vec<(u64, String)>, String> {
    let done = boot(images, 0, &Machine::TwoCpus, &workspace.log("firmware-list"))?;
    let transcript = Transcript::parse(&done.lines);
    if transcript.scenarios.is_empty() {
        return Err(format!("the image lists no scenario ({}): {}", done.ended, done.tail(5)));
    }
    Ok(transcript.scenarios)
}

/// Runs every scenario; what they said goes to `run` for the suites that compare.
pub(crate) fn all(run: &mut Run<'_>, step: &Step) -> Vec<Case> {
    if let Some(reason) = run.setup.lacks(&NEEDS) {
        run.evidence.el2.said = Err(reason.clone());
        return vec![Case::skip("firmware_scenarios", reason)];
    }
    step.note("building the images");
    let found = Images::build(run.workspace).and_then(|images| {
        let scenarios = scenarios(run.workspace, &images)?;
        Ok((images, scenarios))
    });
    let (images, scenarios) = match found {
        Ok(found) => found,
        Err(seen) => return vec![Case::fail("firmware_boots_and_lists_its_scenarios", seen)],
    };
    let mut cases = Vec::new();
    let mut whole = Transcript { ended: true, ..Transcript::default() };
    for (number, name) in scenarios {
        step.note(&name);
        let log = run.workspace.log(&format!("firmware-{name}"));
        match boot(&images, number, &Machine::of(&name), &log) {
            Ok(done) => {
                let transcript = Transcript::parse(&done.lines);
                cases.extend(judge(&name, &done, &transcript));
                whole.extend(transcript);
            }
            Err(seen) => cases.push(Case::fail(name, seen)),
        }
    }
    run.evidence.el2.said = Ok(whole);
    cases
}

/// The cases of one scenario, each with its name in front, and one for the run itself.
fn judge(scenario: &str, done: &Finished, transcript: &Transcript) -> Vec<Case> {
    let mut cases = vec![Case::of(scenario, whole(done, transcript))];
    cases.extend(
        transcript
            .cases
            .iter()
            .map(|case| Case { name: format!("{scenario}::{}", case.name), verdict: case.verdict.clone() }),
    );
    cases
}

/// Whether the run as such is to be trusted: it ended by itself, said so, and every line of it was understood.
fn whole(done: &Finished, transcript: &Transcript) -> Result<(), String> {
    let anything_failed = transcript.cases.iter().any(Case::failed);
    match done.ended {
        Ended::Code(0) => {}
        // Its own cases carry the details.
        Ended::Code(1) if anything_failed && transcript.ended => {}
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

#[cfg(test)]
mod tests {
    use super::*;

    fn ran(text: &str, code: i32) -> Vec<Case> {
        let lines: Vec<_> = text.lines().map(str::to_owned).collect();
        let transcript = Transcript::parse(&lines);
        judge("storm", &Finished { lines, ended: Ended::Code(code) }, &transcript)
    }

    #[test]
    fn a_run_without_an_end_failed_whatever_it_said() {
        assert!(ran("TENURE case a pass", 0)[0].failed());
        assert!(!ran("TENURE case a pass\nTENURE end", 0)[0].failed());
    }

    #[test]
    fn measuring_scenarios_get_a_machine_that_counts() {
        assert_eq!((Machine::of("bench_share"), Machine::of("storm")), (Machine::Counting(None), Machine::TwoCpus));
        let options = Machine::Counting(Some("file=p".into())).options().join(" ");
        assert!(options.contains("-icount shift=0,sleep=off") && options.ends_with("-plugin file=p"));
    }

    #[test]
    fn an_exit_code_without_a_failed_case_is_a_failure() {
        assert!(ran("TENURE case a pass\nTENURE end", 1)[0].failed());
        let cases = ran("TENURE case a fail saw 2\nTENURE end", 1);
        assert_eq!(cases, [Case::pass("storm"), Case::fail("storm::a", "saw 2")]);
    }
}
