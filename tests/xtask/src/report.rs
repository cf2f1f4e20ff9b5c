//! What a suite found, and how it is shown.

use std::fmt;
use std::time::Duration;

/// How one case ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It holds.
    Pass,
    /// It does not, and what was seen instead.
    Fail(String),
    /// It could not be tried here, and why.
    Skip(String),
}

/// One case of a suite.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Case {
    /// A fact, as `refused_share_changes_nothing`, or a row id.
    pub(crate) name: String,
    /// How it ended.
    pub(crate) verdict: Verdict,
}

impl Case {
    /// A case that holds.
    pub(crate) fn pass(name: impl Into<String>) -> Self {
        Self { name: name.into(), verdict: Verdict::Pass }
    }

    /// A case that does not hold, and what was seen.
    pub(crate) fn fail(name: impl Into<String>, seen: impl Into<String>) -> Self {
        Self { name: name.into(), verdict: Verdict::Fail(seen.into()) }
    }

    /// A case that could not be tried, and why.
    pub(crate) fn skip(name: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { name: name.into(), verdict: Verdict::Skip(reason.into()) }
    }

    /// Whether it was tried and does not hold.
    pub(crate) fn failed(&self) -> bool {
        matches!(self.verdict, Verdict::Fail(_))
    }

    /// Pass, or fail with the error.
    pub(crate) fn of(name: impl Into<String>, result: Result<(), String>) -> Self {
        match result {
            Ok(()) => Self::pass(name),
            Err(seen) => Self::fail(name, seen),
        }
    }
}

/// How many cases ended how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) passed: usize,
    pub(crate) failed: usize,
    pub(crate) skipped: usize,
}

impl Counts {
    /// Counts the verdicts.
    pub(crate) fn of<'a>(cases: impl IntoIterator<Item = &'a Case>) -> Self {
        let mut counts = Self::default();
        for case in cases {
            match case.verdict {
                Verdict::Pass => counts.passed += 1,
                Verdict::Fail(_) => counts.failed += 1,
                Verdict::Skip(_) => counts.skipped += 1,
            }
        }
        counts
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped)
    }
}

/// One suite after its run.
#[derive(Clone, Debug)]
pub(crate) struct Ran {
    /// The suite's name.
    pub(crate) suite: String,
    /// What it found.
    pub(crate) cases: Vec<Case>,
    /// How long it took.
    pub(crate) took: Duration,
}

impl Ran {
    /// One line as the suite ends, then whatever is not a pass.
    pub(crate) fn print(&self) {
        println!("{:<12} {} ({:.1} s)", self.suite, Counts::of(&self.cases), self.took.as_secs_f32());
        for case in &self.cases {
            match &case.verdict {
                Verdict::Pass => {}
                Verdict::Fail(seen) => println!("  FAIL {}: {}", case.name, indented(seen)),
                Verdict::Skip(reason) => println!("  SKIP {}: {}", case.name, indented(reason)),
            }
        }
    }
}

fn indented(text: &str) -> String {
    text.trim_end().replace('\n', "\n       ")
}

/// The table of suites, the skips once more, and the last line; false if anything failed.
pub(crate) fn summary(ran: &[Ran]) -> bool {
    println!("\n{:<12} {:>8} {:>8} {:>8} {:>9}", "suite", "passed", "failed", "skipped", "seconds");
    for suite in ran {
        let counts = Counts::of(&suite.cases);
        let seconds = suite.took.as_secs_f32();
        println!("{:<12} {:>8} {:>8} {:>8} {seconds:>9.1}", suite.suite, counts.passed, counts.failed, counts.skipped);
    }
    for (suite, case, reason) in skips(ran) {
        println!("skipped: {suite}: {case}: {reason}");
    }
    let total = Counts::of(ran.iter().flat_map(|suite| &suite.cases));
    println!("{total}");
    total.failed == 0
}

fn skips(ran: &[Ran]) -> impl Iterator<Item = (&str, &str, &str)> {
    ran.iter().flat_map(|suite| {
        suite.cases.iter().filter_map(|case| match &case.verdict {
            Verdict::Skip(reason) => {
                Some((suite.suite.as_str(), case.name.as_str(), reason.lines().next().unwrap_or_default()))
            }
            _ => None,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_counts_each_verdict() {
        let cases = [Case::pass("a"), Case::fail("b", "seen"), Case::skip("c", "why"), Case::pass("d")];
        assert_eq!(Counts::of(&cases).to_string(), "2 passed, 1 failed, 1 skipped");
    }

    #[test]
    fn every_skip_names_its_suite_and_reason() {
        let cases = vec![Case::pass("a"), Case::skip("c", "no QEMU\nmore")];
        let ran = [Ran { suite: "firmware".into(), cases, took: Duration::ZERO }];
        assert_eq!(skips(&ran).collect::<Vec<_>>(), [("firmware", "c", "no QEMU")]);
    }
}
