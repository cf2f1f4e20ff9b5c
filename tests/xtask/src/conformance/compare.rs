//! The same guest under two hosts: what was seen must be equal, step by step, but for the listed differences.

use std::collections::BTreeMap;

use super::differences::{DIFFERENCES, Difference};
use super::{Heard, Standing};
use crate::report::{Case, Verdict};
use crate::transcript::Transcript;

/// What was seen, by scenario and step.
type Steps<'a> = BTreeMap<&'a str, BTreeMap<&'a str, Vec<&'a str>>>;

/// One line for each scenario of the guest that either host ran.
pub(super) fn same_answers(el2: &Heard, linux: &Heard) -> Vec<(String, Standing)> {
    match (&el2.said, &linux.said) {
        (Ok(ours), Ok(theirs)) => compare(&steps(ours), &steps(theirs), DIFFERENCES),
        (ours, theirs) => {
            let reasons: Vec<_> = [(el2, ours.as_ref().err()), (linux, theirs.as_ref().err())]
                .into_iter()
                .filter_map(|(host, reason)| reason.map(|reason| format!("{}: {reason}", host.against)))
                .collect();
            vec![("same_answers".to_owned(), Standing::Tried(Verdict::Skip(reasons.join("; "))))]
        }
    }
}

fn steps(transcript: &Transcript) -> Steps<'_> {
    let mut steps = Steps::new();
    for seen in &transcript.seen {
        steps.entry(&seen.scenario).or_default().entry(&seen.step).or_default().push(&seen.text);
    }
    steps
}

fn compare(ours: &Steps<'_>, theirs: &Steps<'_>, listed: &[Difference]) -> Vec<(String, Standing)> {
    let mut scenarios: Vec<_> = ours.keys().chain(theirs.keys()).copied().collect();
    scenarios.sort_unstable();
    scenarios.dedup();
    let mut lines: Vec<_> = scenarios
        .iter()
        .map(|scenario| {
            let name = format!("same_answers::{scenario}");
            let whole = listed.iter().find(|one| one.scenario == *scenario && one.step.is_none());
            let case = match (ours.get(scenario), theirs.get(scenario), whole) {
                (Some(ours), Some(theirs), None) => Case::of(name, same_steps(scenario, ours, theirs, listed)),
                (Some(_), Some(_), Some(_)) => Case::fail(name, "both hosts ran it, but a difference says one only"),
                (_, _, Some(known)) => {
                    return (name, Standing::NotApplicable(format!("under one host only: {}", known.reason)));
                }
                (Some(_), None, None) => Case::fail(name, "only our EL2 ran it"),
                (None, _, None) => Case::fail(name, "only Linux ran it"),
            };
            (case.name, Standing::Tried(case.verdict))
        })
        .collect();
    if lines.is_empty() {
        let nothing = Verdict::Fail("neither host saw anything of a guest".to_owned());
        lines.push(("same_answers".to_owned(), Standing::Tried(nothing)));
    }
    lines
}

fn same_steps(
    scenario: &str,
    ours: &BTreeMap<&str, Vec<&str>>,
    theirs: &BTreeMap<&str, Vec<&str>>,
    listed: &[Difference],
) -> Result<(), String> {
    let mut steps: Vec<_> = ours.keys().chain(theirs.keys()).copied().collect();
    steps.sort_unstable();
    steps.dedup();
    let mut wrong = Vec::new();
    for step in steps {
        let known = listed.iter().any(|one| one.scenario == scenario && one.step == Some(step));
        let (mine, other) = (ours.get(step), theirs.get(step));
        if mine != other && !known {
            wrong.push(format!("{step}: el2 saw {}, linux saw {}", show(mine), show(other)));
        } else if mine == other && known {
            wrong.push(format!("{step}: a difference is listed, but the answers are equal"));
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n")) }
}

fn show(texts: Option<&Vec<&str>>) -> String {
    texts.map_or_else(|| "nothing".to_owned(), |texts| format!("[{}]", texts.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LISTED: &[Difference] = &[
        Difference { scenario: "calls", step: Some("meminfo"), reason: "ranges" },
        Difference { scenario: "syscall", step: None, reason: "no system calls" },
    ];

    fn failures(ours: &str, theirs: &str) -> Vec<String> {
        let read = |text: &str| Transcript::parse(&text.lines().map(str::to_owned).collect::<Vec<_>>());
        let (ours, theirs) = (read(ours), read(theirs));
        let cases = compare(&steps(&ours), &steps(&theirs), LISTED);
        let failed = |standing: &Standing| matches!(standing, Standing::Tried(Verdict::Fail(_)));
        cases.into_iter().filter(|(_, standing)| failed(standing)).map(|(name, _)| name).collect()
    }

    const OURS: &str = "TENURE obs calls share x0 0x0\nTENURE obs calls meminfo x1 0x1";
    const THEIRS: &str = "TENURE obs calls share x0 0x0\nTENURE obs calls meminfo x1 0x0";

    #[test]
    fn equal_answers_and_listed_differences_pass() {
        assert!(failures(OURS, THEIRS).is_empty());
        assert!(failures(OURS, &format!("{THEIRS}\nTENURE obs syscall touch fails")).is_empty());
    }

    #[test]
    fn a_scenario_listed_for_one_host_does_not_apply_and_neither_side_silent_fails() {
        let theirs = Transcript::parse(&["TENURE obs syscall touch fails".to_owned()]);
        let lines = compare(&Steps::new(), &steps(&theirs), LISTED);
        assert!(matches!(lines.as_slice(), [(_, Standing::NotApplicable(_))]));
        assert_eq!(failures("", ""), ["same_answers"]);
    }

    #[test]
    fn an_unlisted_difference_fails() {
        assert_eq!(failures(OURS, &THEIRS.replace("x0 0x0", "x0 -3")), ["same_answers::calls"]);
        assert_eq!(failures(&format!("{OURS}\nTENURE obs calls share x0 -3"), THEIRS), ["same_answers::calls"]);
    }

    #[test]
    fn a_listed_difference_that_is_gone_fails() {
        assert_eq!(failures(OURS, OURS), ["same_answers::calls"]);
    }

    #[test]
    fn a_scenario_of_one_host_fails_unless_listed() {
        assert_eq!(failures(&format!("{OURS}\nTENURE obs storm rounds 3"), THEIRS), ["same_answers::storm"]);
    }
}
