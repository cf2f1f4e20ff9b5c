//! The suite of mutants: one small change of `tenure-hyp` at a time, and its own tests have to notice each.
//!
//! A full run tries those in what the last commit changed and a fixed sample of all; `--long` tries all. A change that nobody
//! can notice is listed, with why, in `hyp/survivors.txt`; any other that is not noticed is a failure.

mod survivors;
mod tool;

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use crate::command::{self, BUILD_LIMIT, Ended};
use crate::progress::Step;
use crate::report::Case;
use crate::suites::Run;
use crate::workspace::Workspace;
use survivors::Survivors;

const PACKAGE: &str = "tenure-hyp";
const SOURCES: &str = "hyp/src";
const SURVIVORS: &str = "hyp/survivors.txt";
/// A full run tries one mutant in so many, and at most so many of what changed last: a minute and a half on two cores.
const ONE_IN: usize = 80;
const CHANGED: usize = 8;
/// Long enough for all on a slow machine.
const LONG_LIMIT: Duration = Duration::from_hours(8);
/// What has to be noticed at least, in percent of the mutants that build.
const CAUGHT_AT_LEAST: usize = 95;

/// What became of the mutants of one run.
#[derive(Debug, Default)]
struct Outcome {
    caught: Vec<String>,
    /// The tests did not come to their end, which is as good as a failed one.
    timeout: Vec<String>,
    missed: Vec<String>,
    unviable: Vec<String>,
}

/// Tries the mutants.
pub(crate) fn all(run: &mut Run<'_>, step: &Step) -> Vec<Case> {
    let workspace = run.workspace;
    step.note("cargo-mutants");
    let tool = match tool::get(workspace) {
        Ok(tool) => tool,
        Err(reason) => return vec![Case::skip("every_mutant_is_noticed", reason)],
    };
    try_them(workspace, &tool, run.long, step).unwrap_or_else(|seen| vec![Case::fail("mutants_are_made", seen)])
}

fn try_them(workspace: &Workspace, tool: &Path, long: bool, step: &Step) -> Result<Vec<Case>, String> {
    let listed = std::fs::read_to_string(workspace.path(SURVIVORS)).map_err(|e| format!("{SURVIVORS}: {e}"))?;
    let listed = Survivors::parse(&listed)?;
    let every = list(workspace, tool, &[])?;
    let mut cases = vec![Case::of("every_listed_survivor_is_a_mutant", listed.all_are_among(&every))];
    let mut chosen = BTreeSet::new();
    if !long {
        chosen.extend(every.iter().step_by(ONE_IN).cloned());
        match changed(workspace, tool) {
            Ok(names) => chosen.extend(names.iter().step_by(names.len().div_ceil(CHANGED).max(1)).cloned()),
            Err(reason) => cases.push(Case::skip("mutants_of_the_last_change_are_noticed", reason)),
        }
    }
    let outcome = test(workspace, tool, &chosen, step)?;
    cases.extend(judge(&outcome, &listed, long));
    if long {
        step.say(&format!("mutants of {PACKAGE} at {}: {}", workspace.version(), outcome.words()));
    }
    Ok(cases)
}

fn judge(outcome: &Outcome, listed: &Survivors, long: bool) -> Vec<Case> {
    let noticed = outcome.caught.len() + outcome.timeout.len();
    let viable = noticed + outcome.missed.len();
    let mut cases: Vec<_> = listed
        .others(&outcome.missed)
        .into_iter()
        .map(|name| {
            Case::fail("every_mutant_is_noticed", format!("no test notices {name}, and it is not in {SURVIVORS}"))
        })
        .collect();
    if cases.is_empty() {
        cases.push(Case::pass(format!("every_mutant_is_noticed_or_listed_of_{viable}")));
    }
    if viable == 0 {
        cases.push(Case::fail("some_mutants_build", outcome.words()));
    }
    if long {
        cases.push(Case::of("no_listed_survivor_is_noticed", listed.all_are_among(&outcome.missed)));
        let enough = noticed * 100 >= viable * CAUGHT_AT_LEAST;
        let result = if enough { Ok(()) } else { Err(outcome.words()) };
        cases.push(Case::of(format!("{CAUGHT_AT_LEAST}_of_100_mutants_are_noticed"), result));
    }
    cases
}

impl Outcome {
    /// The files that cargo-mutants leaves.
    fn read(folder: &Path) -> Result<Self, String> {
        let read = |name: &str| {
            let path = folder.join(name);
            let text = std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
            Ok::<_, String>(text.lines().map(str::to_owned).collect())
        };
        Ok(Self {
            caught: read("caught.txt")?,
            timeout: read("timeout.txt")?,
            missed: read("missed.txt")?,
            unviable: read("unviable.txt")?,
        })
    }

    fn words(&self) -> String {
        let (caught, timeout, missed) = (self.caught.len(), self.timeout.len(), self.missed.len());
        let viable = caught + timeout + missed;
        let tenths = ((caught + timeout) * 1000).checked_div(viable).unwrap_or(0);
        format!(
            "{} of {viable} viable noticed ({}.{} %), {timeout} of them by running into a time limit; {missed} missed, {} do not build",
            caught + timeout,
            tenths / 10,
            tenths % 10,
            self.unviable.len(),
        )
    }
}

/// The names of mutants, as `file:line:column: what`.
fn list(workspace: &Workspace, tool: &Path, more: &[&str]) -> Result<Vec<String>, String> {
    let mut command = tool::command(workspace, tool);
    command.args(["--list", "-p", PACKAGE]).args(more);
    let done = command::run(&mut command, BUILD_LIMIT, Some(&workspace.log("mutants-list")), |_| {});
    let done = done.map_err(|error| format!("{error:#}"))?;
    if !done.ok() {
        return Err(format!("{}\n{}", done.ended, done.tail(20)));
    }
    // Remarks of the program are among the lines.
    Ok(done.lines.into_iter().filter(|line| line.starts_with(SOURCES)).collect())
}

/// Mutants in what the last commit that touched the sources changed, and what was changed since.
fn changed(workspace: &Workspace, tool: &Path) -> Result<Vec<String>, String> {
    let last = workspace.git(&["log", "-1", "--format=%H", "--", SOURCES])?;
    let before = format!("{}^", last.trim());
    let difference = workspace.git(&["diff", &before, "--", SOURCES])?;
    if difference.is_empty() {
        return Ok(Vec::new());
    }
    let path = workspace.target("xtask/mutants").join("last-change.diff");
    std::fs::write(&path, difference).map_err(|error| format!("{}: {error}", path.display()))?;
    list(workspace, tool, &["--in-diff", &path.display().to_string()])
}

/// Tries the mutants named; all, if none is.
fn test(workspace: &Workspace, tool: &Path, names: &BTreeSet<String>, step: &Step) -> Result<Outcome, String> {
    let folder = workspace.target("xtask/mutants");
    let jobs = std::thread::available_parallelism().map_or(1, |cores| cores.get().min(4));
    let mut command = tool::command(workspace, tool);
    command.args(["-p", PACKAGE, "--no-shuffle", "-j", &jobs.to_string(), "-o"]).arg(&folder);
    for name in names {
        command.arg("-F").arg(format!("^{}$", escaped(name)));
    }
    let limit = if names.is_empty() { LONG_LIMIT } else { BUILD_LIMIT };
    let done = command::run(&mut command, limit, Some(&workspace.log("mutants")), |line| step.note(line));
    let done = done.map_err(|error| format!("{error:#}"))?;
    match done.ended {
        // Nothing missed, something missed, something that ran into its limit.
        Ended::Code(0 | 2 | 3) => Outcome::read(&folder.join("mutants.out")),
        ended => Err(format!("{ended}\n{}", done.tail(30))),
    }
}

/// A text as a regular expression that matches it alone.
fn escaped(text: &str) -> String {
    let special = |c: char| "\\.+*?()|[]{}^$#&-~".contains(c);
    text.chars().flat_map(|c| special(c).then_some('\\').into_iter().chain([c])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(caught: usize, missed: &[&str]) -> Outcome {
        let caught = (0..caught).map(|n| format!("hyp/src/a.rs:{n}:1: caught")).collect();
        Outcome { caught, missed: missed.iter().map(|&name| name.to_owned()).collect(), ..Outcome::default() }
    }

    fn failed(outcome: &Outcome, long: bool) -> Vec<String> {
        let listed = Survivors::parse("hyp/src/a.rs: known\n    it is the same\n").unwrap();
        judge(outcome, &listed, long).into_iter().filter(Case::failed).map(|case| case.name).collect()
    }

    #[test]
    fn a_listed_survivor_passes_and_any_other_fails() {
        let known = "hyp/src/a.rs:7:3: known";
        assert!(failed(&outcome(30, &[known]), false).is_empty());
        assert_eq!(failed(&outcome(30, &[known, "hyp/src/a.rs:8:3: new"]), false), ["every_mutant_is_noticed"]);
        assert_eq!(failed(&outcome(30, &[known, "hyp/src/a.rs:8:3: known"]), false), ["every_mutant_is_noticed"]);
    }

    #[test]
    fn at_length_the_list_is_exact_and_the_share_high() {
        assert!(failed(&outcome(19, &["hyp/src/a.rs:7:3: known"]), true).is_empty());
        assert_eq!(failed(&outcome(30, &[]), true), ["no_listed_survivor_is_noticed"]);
        assert_eq!(failed(&outcome(18, &["hyp/src/a.rs:7:3: known"]), true), ["95_of_100_mutants_are_noticed"]);
    }

    #[test]
    fn nothing_tried_is_a_failure() {
        assert_eq!(failed(&Outcome::default(), false), ["some_mutants_build"]);
    }

    #[test]
    fn a_name_matches_itself_only() {
        assert_eq!(escaped("a.rs:1: f -> Vec<[u8; 4]> + (x)"), r"a\.rs:1: f \-> Vec<\[u8; 4\]> \+ \(x\)");
    }

    #[test]
    fn the_words_count_what_ran_into_its_limit_as_noticed() {
        let outcome = Outcome { timeout: vec!["t".into()], ..outcome(18, &["m"]) };
        assert!(outcome.words().starts_with("19 of 20 viable noticed (95.0 %), 1 of them"), "{}", outcome.words());
    }
}
