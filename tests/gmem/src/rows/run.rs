//! Tries rows and says how they stand, in the lines of the test programs.

use super::{Applies, Row, Trial, all};
use crate::Target;
use std::fmt;

/// How a row stands on a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It holds; what of it could not be tried.
    Pass(Vec<String>),
    /// What was seen instead.
    Fail(String),
    /// What the machine lacks.
    Skip(String),
    /// Why there is nothing to try.
    NotApplicable(String),
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pass(notes) if notes.is_empty() => f.write_str("pass"),
            Self::Pass(notes) => write!(f, "pass {}", notes.join("; ")),
            Self::Fail(seen) => write!(f, "fail {seen}"),
            Self::Skip(reason) => write!(f, "skip {reason}"),
            Self::NotApplicable(reason) => write!(f, "n/a {reason}"),
        }
    }
}

/// Tries one row; the target is empty before and after.
pub fn run(row: &Row, target: &mut dyn Target) -> Standing {
    target.reset();
    let mut trial = Trial { target, notes: Vec::new() };
    let standing = match (row.applies)(&mut trial) {
        Applies::Skip(reason) => Standing::Skip(reason.into()),
        Applies::No(reason) => Standing::NotApplicable(reason.into()),
        Applies::Yes => tried(row, &mut trial),
        Applies::Part(part) => {
            trial.note(part);
            tried(row, &mut trial)
        }
    };
    trial.target.reset();
    standing
}

fn tried(row: &Row, trial: &mut Trial) -> Standing {
    match (row.check)(trial) {
        Ok(()) => Standing::Pass(std::mem::take(&mut trial.notes)),
        Err(seen) => Standing::Fail(seen),
    }
}

/// Tries every row and prints a line for each, through `say`; whether none failed.
pub fn run_all(target: &mut dyn Target, mut say: impl FnMut(&str)) -> bool {
    let mut good = true;
    for row in all() {
        let standing = run(row, target);
        good &= !matches!(standing, Standing::Fail(_));
        say(&format!("TENURE row {} {standing}", row.id));
    }
    good
}
