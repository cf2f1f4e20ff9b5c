//! The rows of `guest_memfd`: one line each, from what every target said.

use super::gmem_rows::{CLIENT, ROWS, Rows};
use super::{Heard, Line, Says, Standing, fold, line};
use crate::report::Verdict;
use crate::transcript::Transcript;

/// The kernels that the provider behaves like, each on request.
pub(crate) const PERSONALITIES: [&str; 6] = ["6.8", "6.11", "6.18", "7.3", "rfc-v5", "v8"];

/// Something the rows are tried on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// Our own implementation with this personality.
    Provider(&'static str),
    /// This machine's kernel.
    Here,
    /// The kernel with private memory, under QEMU.
    Stock,
    /// A kernel from a supplied tree that converts in place.
    InPlace,
    /// The kernel with pKVM, under QEMU: rows of the client only.
    Pkvm,
}

/// What one target said.
#[derive(Clone, Debug)]
pub(crate) struct Tried {
    /// Which.
    pub(crate) target: Target,
    /// Its words, or why it could not run.
    pub(crate) heard: Heard,
    /// What went wrong with the run itself.
    pub(crate) broke: Option<String>,
}

/// Whether a row is one of the client's, which a program of another suite may report too.
pub(super) fn is_the_clients(name: &str) -> bool {
    ROWS.iter().any(|rows| rows.prefix == CLIENT && (rows.first..=rows.last).any(|number| rows.id(number) == name))
}

/// What the client showed on pKVM, beside the rest.
pub(super) fn with_pkvm(all: &[Tried], linux: &Heard) -> Vec<Tried> {
    let mut all = all.to_vec();
    let said = linux.said.clone().map(|mut said| {
        said.rows.retain(|row| is_the_clients(&row.name));
        said
    });
    let heard = Heard { against: format!("{}-pkvm", linux.against), said };
    all.push(Tried { target: Target::Pkvm, heard, broke: None });
    all
}

/// One line for each row, then one for each that the table does not know.
pub(super) fn judge(all: &[Tried]) -> Vec<Line> {
    let mut lines: Vec<_> = ROWS
        .iter()
        .flat_map(|rows| (rows.first..=rows.last).map(move |number| row(&rows.id(number), rows, all)))
        .collect();
    for Tried { heard, .. } in all {
        for unknown in heard.said.iter().flat_map(|said| &said.rows).filter(|row| !known(&row.name)) {
            let verdict = Verdict::Fail("a program reports it, the table of rows does not know it".into());
            lines.push(line(&unknown.name, verdict, std::slice::from_ref(&heard.against)));
        }
    }
    lines
}

fn known(name: &str) -> bool {
    ROWS.iter().any(|rows| (rows.first..=rows.last).any(|number| rows.id(number) == name))
}

/// The line of one row.
fn row(id: &str, rows: &Rows, all: &[Tried]) -> Line {
    let mut says: Vec<_> = all.iter().flat_map(|tried| one(id, tried, rows.demands(tried.target))).collect();
    if all.iter().all(|tried| tried.target == Target::Pkvm) && rows.because.is_empty() {
        says.push(Says::DidNotRun("the gmem suite did not run".into()));
    }
    if says.is_empty() {
        return Line::new(id, Standing::NotApplicable(rows.why_not(id, all)));
    }
    fold(id, says)
}

impl Rows {
    fn id(&self, number: u16) -> String {
        format!("{}-{number:02}", self.prefix)
    }

    fn demands(&self, target: Target) -> bool {
        match target {
            Target::Provider(personality) => self.provider.contains(&personality),
            real => self.real.contains(&real),
        }
    }

    /// Why the row applies to nothing here: the table's reason, else what the targets say of which it is demanded.
    fn why_not(&self, id: &str, all: &[Tried]) -> String {
        if !self.because.is_empty() {
            return self.because.to_owned();
        }
        let demanded = all.iter().filter(|tried| self.demands(tried.target));
        let said = demanded.filter_map(|Tried { heard, .. }| {
            let reason = not_applicable(id, heard.said.as_ref().ok()?)?;
            Some(format!("{}: {reason}", heard.against))
        });
        said.collect::<Vec<_>>().join("; ")
    }
}

/// What one target says of the row; nothing where it does not have to speak, or has nothing to try.
fn one(id: &str, Tried { target, heard, broke }: &Tried, demanded: bool) -> Vec<Says> {
    let against = &heard.against;
    let (breaks, missing) = (
        |seen: &str| vec![Says::Breaks(format!("{against}: {seen}"))],
        |reason: &str| Says::DidNotRun(format!("{against}: {reason}")),
    );
    if let Some(seen) = broke {
        // What it said before is not to be trusted either.
        return breaks(seen.lines().next().unwrap_or_default());
    }
    let transcript = match &heard.said {
        Ok(transcript) => transcript,
        Err(reason) if demanded => return vec![missing(reason)],
        Err(_) => return Vec::new(),
    };
    if *target == Target::Pkvm && !demanded && !transcript.rows.iter().any(|row| row.name == id) {
        // It speaks of the client only, and not of every row.
        return Vec::new();
    }
    let provider = matches!(target, Target::Provider(_));
    let verdicts = transcript.rows.iter().filter(|row| row.name == id).map(|row| &row.verdict);
    // A row that is tried in several ways is worth what the worst of them is.
    let worst = verdicts.max_by_key(|verdict| match verdict {
        Verdict::Pass => 0,
        Verdict::Skip(_) => 1,
        Verdict::Fail(_) => 2,
    });
    let lacks = match worst {
        Some(Verdict::Fail(seen)) => return breaks(seen),
        Some(Verdict::Pass) => {
            let parts: Vec<_> =
                transcript.notes.iter().filter(|(row, _)| row == id).map(|(_, note)| note.as_str()).collect();
            return match parts[..] {
                [] => vec![Says::Holds(against.clone())],
                // Another personality shows all of it.
                _ if !demanded && provider => Vec::new(),
                _ => vec![Says::HoldsInPart(against.clone(), parts.join(", "))],
            };
        }
        Some(Verdict::Skip(reason)) => Some(reason.as_str()),
        None => None,
    };
    match lacks.or(not_applicable(id, transcript)) {
        None => breaks("it ran and said nothing"),
        // Nothing of a machine is missing to our own implementation: it has the row or it lacks it.
        Some(reason) if demanded && provider => breaks(&format!("it must show this, and says: {reason}")),
        Some(reason) if demanded && lacks.is_some() => vec![missing(reason)],
        Some(_) => Vec::new(),
    }
}

/// Why there is nothing to try of the row, if that was said.
fn not_applicable<'a>(id: &str, transcript: &'a Transcript) -> Option<&'a str> {
    transcript.not_applicable.iter().find(|(row, _)| row == id).map(|(_, reason)| reason.as_str())
}

#[cfg(test)]
mod tests;
