//! The performance table: what calls cost at our EL2 and at Linux's, measured in one run, and the limits that hold.
//!
//! The machine counts one tick of its counter for each instruction (`-icount`), one CPU, a pinned CPU model: the
//! figures repeat exactly and say nothing about time. The counting plugin tells how many TLB invalidations and barriers
//! a call made.

mod figures;

pub(crate) use figures::{Reading, limits, table, timed_limits};

use crate::command::{self, BUILD_LIMIT};
use crate::firmware::{self, Images, Machine};
use crate::gmem;
use crate::linux;
use crate::plugin::{self, Plugin};
use crate::report::Verdict;
use crate::setup::{Need, Setup};
use crate::size;
use crate::transcript::{Figure, Transcript};
use crate::workspace::Workspace;

/// What the figures need.
const NEEDS: [Need; 2] = firmware::NEEDS;
/// The calls whose invalidations and barriers are counted.
const COUNTED: [&str; 2] = ["mem_share", "mem_unshare"];

/// Measures everything; a part that cannot be measured leaves its reason.
pub(crate) fn measure(workspace: &Workspace, setup: &Setup) -> Vec<Reading> {
    let mut readings = match setup.lacks(&NEEDS) {
        Some(reason) => vec![Reading::missing("tenure", &reason)],
        None => host("tenure", workspace, &|machine| tenure_figures(workspace, machine)),
    };
    readings.extend(match linux::lacks(workspace, setup) {
        Some(reason) => vec![Reading::missing("linux", &reason)],
        None => host("linux", workspace, &|machine| linux::figures(workspace, machine)),
    });
    readings.extend(gmem::figures(workspace, setup));
    readings.extend(size::readings(workspace, setup));
    readings.extend(hosted(workspace, "sizes", &["gmem.store_bytes"]));
    readings.extend(hosted(workspace, "access", &["gmem.access"]));
    readings.extend(hosted(workspace, "copy", &["gmem.copy"]));
    readings
}

/// The tracker and the visibility store against their comparators: ratios of times, so only for the table, never for the verdict
/// of a test run.
pub(crate) fn timed(workspace: &Workspace) -> Vec<Reading> {
    hosted(workspace, "times", &["tracker", "gmem"])
}

/// What the program of hosted figures prints when it is asked for `which`; without it the figures that begin with `parts` are broken.
fn hosted(workspace: &Workspace, which: &str, parts: &[&str]) -> Vec<Reading> {
    let mut cargo = workspace.cargo();
    cargo.args(["run", "--quiet", "--release", "-p", "tenure-bench", "--", which]);
    let broken = |reason: &str| parts.iter().map(|part| Reading::broken(part, reason)).collect();
    match command::run(&mut cargo, BUILD_LIMIT, Some(&workspace.log(&format!("bench-{which}"))), |_| {}) {
        Ok(done) if done.ok() => said(&Transcript::parse(&done.lines)),
        Ok(done) => broken(&done.tail(3)),
        Err(error) => broken(&format!("{error:#}")),
    }
}

/// The figures of a program; a case that it skips names one that this machine cannot measure.
fn said(transcript: &Transcript) -> Vec<Reading> {
    let skipped = transcript.cases.iter().filter_map(|case| match &case.verdict {
        Verdict::Skip(reason) => Some(Reading::missing(&case.name, reason)),
        _ => None,
    });
    transcript.figures.iter().map(Reading::measured).chain(skipped).collect()
}

/// The figures of one host, its own and the plugin's.
fn host(name: &str, workspace: &Workspace, boot: &dyn Fn(&Machine) -> Result<Transcript, String>) -> Vec<Reading> {
    let out = workspace.log(&format!("calls-{name}"));
    // The plugin adds to the file; whatever an earlier run left there would be counted again.
    let _ = std::fs::remove_file(&out);
    let plugin = Plugin::build(workspace).map(|plugin| plugin.argument(&out));
    let figures = match boot(&Machine::Counting(plugin.clone().ok())) {
        Ok(transcript) => transcript.figures,
        Err(seen) => return vec![Reading::broken(name, &seen)],
    };
    let calls = plugin.and_then(|_| {
        let text = std::fs::read_to_string(&out).map_err(|error| format!("{}: {error}", out.display()))?;
        plugin::read(&text)
    });
    let mut readings: Vec<_> = figures.iter().map(Reading::measured).collect();
    readings.extend(COUNTED.iter().flat_map(|call| counted(name, call, &figures, &calls)));
    readings
}

/// Invalidations and barriers of one call.
fn counted(host: &str, call: &str, figures: &[Figure], calls: &Result<Vec<plugin::Call>, String>) -> [Reading; 2] {
    let [tlbi, dsb] = ["tlbi", "dsb"].map(|what| format!("pkvm.{what}.{call}.{host}"));
    let ticks = figures.iter().find(|figure| figure.name == format!("pkvm.el2_insns.{call}.{host}"));
    let found = match (calls, ticks) {
        (Err(reason), _) => Err(reason.clone()),
        (_, None) => Err(format!("{host} did not measure {call}")),
        (Ok(calls), Some(ticks)) => plugin::commonest(calls, whole(ticks.value))
            .ok_or_else(|| format!("the plugin saw no call that cost {} instructions", ticks.value)),
    };
    match found {
        Ok(call) => [Reading::count(&tlbi, call.tlbi, "tlbi"), Reading::count(&dsb, call.dsb, "dsb")],
        Err(reason) => [Reading::broken(&tlbi, &reason), Reading::broken(&dsb, &reason)],
    }
}

/// A figure in instructions is a whole number, whatever it was printed as.
#[expect(clippy::cast_sign_loss, reason = "a cost is not negative; if it were, 0 matches no call")]
fn whole(value: f64) -> u64 {
    value.round() as u64
}

/// All scenarios of our image that measure, in one transcript.
fn tenure_figures(workspace: &Workspace, machine: &Machine) -> Result<Transcript, String> {
    let images = Images::build(workspace)?;
    let mut whole = Transcript { ended: true, ..Transcript::default() };
    for (number, name) in firmware::scenarios(workspace, &images)?.iter().filter(|(_, name)| firmware::measures(name)) {
        let done = firmware::boot(&images, *number, machine, &workspace.log(&format!("figures-{name}")))?;
        whole.extend(Transcript::parse(&done.lines));
        if !whole.ended {
            return Err(format!("{name} did not come to its end ({}): {}", done.ended, done.tail(5)));
        }
    }
    if whole.figures.is_empty() { Err("the firmware has no scenario that measures".into()) } else { Ok(whole) }
}
