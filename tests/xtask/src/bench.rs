//! The performance table: what calls cost at our EL2 and at Linux's, measured in one run, and the limits that hold.
//!
//! The machine counts one tick of its counter for each instruction (`-icount`), one CPU, a pinned CPU model: the
//! figures repeat exactly and say nothing about time. A second run under the counting plugin tells how many TLB
//! invalidations and barriers a call made.

mod figures;

pub(crate) use figures::{Reading, limits, table};

use crate::firmware::{self, Images, Machine};
use crate::plugin::{self, Plugin};
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
    let plugin = match setup.lacks(&[Need::Qemu]) {
        Some(reason) => Err(reason),
        None => Plugin::build(workspace),
    };
    let tenure = match setup.lacks(&NEEDS) {
        Some(reason) => Err(reason),
        None => Images::build(workspace),
    };
    let mut readings = match &tenure {
        Ok(images) => host("tenure", workspace, &plugin, &|machine| tenure_figures(workspace, images, machine)),
        Err(reason) => vec![Reading::missing("tenure", reason)],
    };
    readings.extend(size::readings(workspace, setup));
    readings
}

/// The figures of one host: its own under the counting machine, then the plugin's.
fn host(
    name: &str,
    workspace: &Workspace,
    plugin: &Result<Plugin, String>,
    boot: &dyn Fn(&Machine) -> Result<Transcript, String>,
) -> Vec<Reading> {
    let figures = match boot(&Machine::Counting) {
        Ok(transcript) => transcript.figures,
        Err(reason) => return vec![Reading::missing(name, &reason)],
    };
    let mut readings: Vec<_> = figures.iter().map(Reading::measured).collect();
    let out = workspace.log(&format!("calls-{name}"));
    let calls = plugin.clone().and_then(|plugin| {
        boot(&Machine::Plugin(plugin.argument(&out)))?;
        let text = std::fs::read_to_string(&out).map_err(|error| format!("{}: {error}", out.display()))?;
        plugin::read(&text)
    });
    for call in COUNTED {
        readings.extend(counted(name, call, &figures, &calls));
    }
    readings
}

/// Invalidations and barriers of one call.
fn counted(host: &str, call: &str, figures: &[Figure], calls: &Result<Vec<plugin::Call>, String>) -> [Reading; 2] {
    let names = [format!("pkvm.tlbi.{call}.{host}"), format!("pkvm.dsb.{call}.{host}")];
    let ticks = figures.iter().find(|figure| figure.name == format!("pkvm.el2_insns.{call}.{host}"));
    let found = match (calls, ticks) {
        (Err(reason), _) => Err(reason.clone()),
        (_, None) => Err(format!("{host} did not measure {call}")),
        (Ok(calls), Some(ticks)) => plugin::commonest(calls, whole(ticks.value))
            .ok_or_else(|| format!("the plugin saw no call that cost {} instructions", ticks.value)),
    };
    let [tlbi, dsb] = names;
    match found {
        Ok(call) => [Reading::count(&tlbi, call.tlbi, "tlbi"), Reading::count(&dsb, call.dsb, "dsb")],
        Err(reason) => [Reading::missing(&tlbi, &reason), Reading::missing(&dsb, &reason)],
    }
}

/// A figure in instructions is a whole number, whatever it was printed as.
#[expect(clippy::cast_sign_loss, reason = "a cost is not negative; if it were, 0 matches no call")]
fn whole(value: f64) -> u64 {
    value.round() as u64
}

/// All scenarios of our image that measure: their names begin with `bench`.
fn tenure_figures(workspace: &Workspace, images: &Images, machine: &Machine) -> Result<Transcript, String> {
    let scenarios = firmware::scenarios(workspace, images)?;
    let mut whole = Transcript { ended: true, ..Transcript::default() };
    for (number, name) in scenarios.iter().filter(|(_, name)| name.starts_with("bench")) {
        let done = firmware::boot(images, *number, machine, &workspace.log(&format!("figures-{name}")))?;
        whole.extend(Transcript::parse(&done.lines));
    }
    match (whole.ended, whole.figures.is_empty(), machine) {
        (false, _, _) => Err("a measuring scenario of the firmware did not come to its end".into()),
        (true, true, Machine::Counting) => Err("the firmware has no scenario that measures".into()),
        _ => Ok(whole),
    }
}
