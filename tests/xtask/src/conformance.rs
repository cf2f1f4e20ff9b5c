//! The behaviour tables: which row holds, and against what it was checked in this run.
//!
//! A row lists the evidence that counts for it. It passes only if every piece of that evidence passed in this run.
//! What could not run here is named beside the pass; a row for which nothing could run is a skip; a row for which
//! something ran and said nothing fails, because silence is no evidence.

mod compare;
mod differences;
pub(crate) mod gmem;
mod gmem_rows;
mod regressions;
mod rows;

use crate::json;
use crate::report::{Case, Counts, Verdict};
use crate::transcript::Transcript;
use regressions::REGRESSIONS;
use rows::{ROWS, Row};

/// What one host of test guests said, or why it did not run.
#[derive(Clone, Debug)]
pub(crate) struct Heard {
    /// The word after a pass: `el2`, `linux-7.3`.
    pub(crate) against: String,
    /// What it said, or why it could not.
    pub(crate) said: Result<Transcript, String>,
}

impl Heard {
    /// A host that did not run.
    pub(crate) fn nothing(against: &str, reason: impl Into<String>) -> Self {
        Self { against: against.to_owned(), said: Err(reason.into()) }
    }
}

/// Everything that a run can bring forward.
#[derive(Clone, Debug)]
pub(crate) struct Evidence {
    /// The hosted tests and the lock-step runs.
    pub(crate) model: Vec<Case>,
    /// Our own EL2.
    pub(crate) el2: Heard,
    /// Linux's.
    pub(crate) linux: Heard,
    /// What the rows of `guest_memfd` were tried on.
    pub(crate) gmem: Vec<gmem::Tried>,
}

/// How a line stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It was tried, or could not be.
    Tried(Verdict),
    /// There is nothing to try, on purpose, and why.
    NotApplicable(String),
}

/// One line of the output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    /// The row's id, or the name of a Linux fact.
    id: String,
    /// How it stands: a pass carries nothing more, `against` says the rest.
    standing: Standing,
    /// Against what it was checked.
    against: Vec<String>,
    /// What showed only a part of it, and which.
    parts: Vec<String>,
    /// Evidence that counts but could not run here, with its reason.
    missing: Vec<String>,
}

/// What one piece of evidence says about a row.
enum Says {
    Holds(String),
    HoldsInPart(String, String),
    Breaks(String),
    DidNotRun(String),
}

/// All rows, then the facts of the real Linux, then the comparison of the guests' calls.
pub(crate) fn judge(evidence: &Evidence) -> Vec<Line> {
    let mut lines: Vec<_> = ROWS.iter().chain(REGRESSIONS).map(|row| row_line(row, evidence)).collect();
    lines.extend(regressions::not_ours().map(|(id, standing)| Line::new(id, standing)));
    lines.sort_by(|a, b| a.id.cmp(&b.id));
    lines.extend(unknown_rows(evidence));
    lines.extend(gmem::judge(&gmem::with_pkvm(&evidence.gmem, &evidence.linux)));
    if let Ok(transcript) = &evidence.linux.said {
        let against = [evidence.linux.against.clone()];
        lines.extend(transcript.cases.iter().map(|case| line(&case.name, case.verdict.clone(), &against)));
    }
    lines.extend(compare::same_answers(&evidence.el2, &evidence.linux).into_iter().map(|(id, standing)| {
        let against = vec![evidence.el2.against.clone(), evidence.linux.against.clone()];
        Line { against, ..Line::new(&id, standing) }
    }));
    lines
}

fn line(id: &str, verdict: Verdict, against: &[String]) -> Line {
    Line { against: against.to_vec(), ..Line::new(id, Standing::Tried(verdict)) }
}

fn row_line(row: &Row, evidence: &Evidence) -> Line {
    let mut says: Vec<_> = row.model.iter().map(|name| model(name, &evidence.model)).collect();
    says.extend(heard(row.id, row.el2, &evidence.el2));
    says.extend(heard(row.id, row.linux, &evidence.linux));
    fold(row.id, says)
}

/// The line of a row, from all that was said of it.
fn fold(id: &str, says: Vec<Says>) -> Line {
    let mut out = line(id, Verdict::Pass, &[]);
    let tried = Standing::Tried;
    let mut broken = Vec::new();
    for piece in says {
        match piece {
            Says::Holds(word) if out.against.contains(&word) => {}
            Says::Holds(word) => out.against.push(word),
            Says::HoldsInPart(word, part) => {
                out.parts.push(format!("{word}: {part}"));
                out.against.push(word);
            }
            Says::Breaks(seen) => broken.push(seen),
            Says::DidNotRun(reason) if out.missing.contains(&reason) => {}
            Says::DidNotRun(reason) => out.missing.push(reason),
        }
    }
    if !broken.is_empty() {
        out.standing = tried(Verdict::Fail(broken.join("; ")));
    } else if out.against.is_empty() && out.missing.is_empty() {
        out.standing = tried(Verdict::Fail("no evidence counts for it".into()));
    } else if out.against.is_empty() {
        out.standing = tried(Verdict::Skip(std::mem::take(&mut out.missing).join("; ")));
    }
    out
}

/// All hosted tests whose path has this name in it.
fn model(name: &str, cases: &[Case]) -> Says {
    let mut matching = cases.iter().filter(|case| case.name.contains(name)).peekable();
    if cases.is_empty() {
        return Says::DidNotRun("model: the hosted tests did not run".into());
    }
    if matching.peek().is_none() {
        return Says::Breaks(format!("model: no test named {name} ran"));
    }
    match matching.find(|case| case.verdict != Verdict::Pass) {
        None => Says::Holds("model".into()),
        Some(Case { name, verdict: Verdict::Skip(reason) }) => Says::DidNotRun(format!("model: {name}: {reason}")),
        Some(case) => Says::Breaks(format!("model: {} failed", case.name)),
    }
}

fn heard(id: &str, wanted: rows::Wanted, heard: &Heard) -> Option<Says> {
    let against = &heard.against;
    let transcript = match (&heard.said, wanted) {
        (_, rows::Wanted::No) | (Err(_), rows::Wanted::IfShown) => return None,
        (Err(reason), rows::Wanted::Yes) => return Some(Says::DidNotRun(format!("{against}: {reason}"))),
        (Ok(transcript), _) => transcript,
    };
    let verdicts: Vec<_> = transcript.rows.iter().filter(|row| row.name == id).map(|row| &row.verdict).collect();
    let says = verdicts.iter().find_map(|verdict| match verdict {
        Verdict::Fail(seen) => Some(Says::Breaks(format!("{against}: {seen}"))),
        _ => None,
    });
    says.or_else(|| {
        verdicts.iter().find_map(|verdict| match verdict {
            Verdict::Skip(reason) => Some(Says::DidNotRun(format!("{against}: {reason}"))),
            _ => None,
        })
    })
    .or_else(|| (!verdicts.is_empty()).then(|| Says::Holds(against.clone())))
    .or_else(|| (wanted == rows::Wanted::Yes).then(|| Says::Breaks(format!("{against}: it ran and said nothing"))))
}

/// A row that a program speaks of and the table does not know: one of them is wrong.
fn unknown_rows(evidence: &Evidence) -> Vec<Line> {
    let mut lines = Vec::new();
    for heard in [&evidence.el2, &evidence.linux] {
        for row in heard.said.iter().flat_map(|transcript| &transcript.rows) {
            let known = ROWS.iter().any(|known| known.id == row.name && known.takes(heard, evidence))
                || gmem::is_the_clients(&row.name);
            if !known && !lines.iter().any(|line: &Line| line.id == row.name) {
                let verdict = Verdict::Fail("a program reports it, the table of rows does not expect that".into());
                lines.push(line(&row.name, verdict, std::slice::from_ref(&heard.against)));
            }
        }
    }
    lines
}

impl Row {
    fn takes(&self, heard: &Heard, evidence: &Evidence) -> bool {
        let wanted = if heard.against == evidence.el2.against { self.el2 } else { self.linux };
        wanted != rows::Wanted::No
    }
}

impl Line {
    /// A line with nothing beside how it stands.
    fn new(id: &str, standing: Standing) -> Self {
        Self { id: id.to_owned(), standing, against: Vec::new(), parts: Vec::new(), missing: Vec::new() }
    }

    /// The line for people.
    pub(crate) fn text(&self) -> String {
        let beside = |what: &str, list: &[String]| match list {
            [] => String::new(),
            list => format!(" ({what}: {})", list.join("; ")),
        };
        let (parts, missing) = (beside("in part", &self.parts), beside("not here", &self.missing));
        let against = self.against.join("+");
        match self.words() {
            ("pass", _) => format!("{} pass {against}{parts}{missing}", self.id),
            (word, detail) => format!("{} {word} {detail}", self.id),
        }
    }

    /// The standing as a word, and what there is to say about it.
    fn words(&self) -> (&'static str, &str) {
        match &self.standing {
            Standing::Tried(Verdict::Pass) => ("pass", ""),
            Standing::Tried(Verdict::Fail(seen)) => ("fail", seen),
            Standing::Tried(Verdict::Skip(reason)) => ("skip", reason),
            Standing::NotApplicable(reason) => ("n/a", reason),
        }
    }

    /// The line for programs.
    pub(crate) fn json(&self) -> String {
        let (word, detail) = self.words();
        json::object(&[
            ("id", json::string(&self.id)),
            ("verdict", json::string(word)),
            ("against", json::strings(&self.against)),
            ("parts", json::strings(&self.parts)),
            ("missing", json::strings(&self.missing)),
            ("detail", json::string(detail)),
        ])
    }

    /// The line as a case of the test run; what does not apply is none.
    pub(crate) fn case(&self) -> Option<Case> {
        match &self.standing {
            Standing::Tried(verdict) => Some(Case { name: self.id.clone(), verdict: verdict.clone() }),
            Standing::NotApplicable(_) => None,
        }
    }
}

/// The last line, and whether nothing failed.
pub(crate) fn total(lines: &[Line]) -> (String, bool) {
    let cases: Vec<_> = lines.iter().filter_map(Line::case).collect();
    let counts = Counts::of(&cases);
    (format!("{counts}, {} not applicable", lines.len() - cases.len()), counts.failed == 0)
}

#[cfg(test)]
mod tests;
