//! Many calls, one after the other: random ones, or a given list.

use super::subject::Subject;
use super::{Divergence, LockStep, Stats};
use crate::op::Op;
use crate::spec::Span;
use crate::trace::Trace;
use std::collections::VecDeque;

/// How many of its last calls a run keeps (34 bytes each): however long it is, its memory does not grow.
pub const KEPT: usize = 1 << 20;

/// A run that diverged.
#[derive(Clone, Debug)]
pub struct Failure {
    /// What was seen.
    pub divergence: Divergence,
    /// How many calls had been made, the last one included.
    pub made: u64,
    /// The last of them: all, if they are no more than [`KEPT`].
    pub last: Vec<Op>,
}

/// The last calls of a run.
struct Kept {
    calls: VecDeque<Op>,
    at_most: usize,
}

impl Kept {
    fn new(at_most: usize) -> Self {
        Self { calls: VecDeque::new(), at_most }
    }

    fn push(&mut self, op: Op) {
        if self.calls.len() == self.at_most {
            self.calls.pop_front();
        }
        self.calls.push_back(op);
    }
}

/// Makes `calls` random calls to both; `each` hears how many were made, after every call.
///
/// # Errors
/// The first difference, with the calls that led there.
pub fn run<S: Subject>(
    subject: S,
    seed: u64,
    calls: u64,
    mut each: impl FnMut(u64),
) -> Result<LockStep<S>, Box<Failure>> {
    let mut trace = Trace::new(seed, subject.machine()).without_references();
    let mut pair = LockStep::new(subject);
    let mut kept = Kept::new(KEPT);
    let mut last = Op::Compact(Span { first: 0, count: 1 });
    for made in 1..=calls {
        last = trace.next_op(&pair.spec);
        kept.push(last);
        if let Err(divergence) = pair.step(last) {
            return Err(Box::new(Failure { divergence, made, last: kept.calls.into() }));
        }
        each(made);
    }
    match pair.compare_all(last) {
        Ok(()) => Ok(pair),
        Err(divergence) => Err(Box::new(Failure { divergence, made: calls, last: kept.calls.into() })),
    }
}

/// Makes the given calls to both and compares everything at the end.
///
/// # Errors
/// The first difference.
pub fn replay<S: Subject>(subject: S, calls: &[Op]) -> Result<Stats, Divergence> {
    let mut pair = LockStep::new(subject);
    for &op in calls {
        pair.step(op)?;
    }
    if let Some(&last) = calls.last() {
        pair.compare_all(last)?;
    }
    Ok(pair.stats)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_calls_are_kept_and_no_more() {
        let call = |first| Op::HostShareHyp(Span { first, count: 1 });
        let mut kept = Kept::new(3);
        (0..2).for_each(|n| kept.push(call(n)));
        assert_eq!(kept.calls, [call(0), call(1)]);
        (2..9).for_each(|n| kept.push(call(n)));
        assert_eq!(kept.calls, [call(6), call(7), call(8)]);
    }
}
