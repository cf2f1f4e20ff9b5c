//! The walk through all states.

use super::map::{Call, Id, Map};
use super::space::Space;
use super::state;
use crate::lockstep::compare;
use crate::lockstep::dispatch::{Dispatch, PLENTY};
use crate::lockstep::subject::Subject;
use crate::lockstep::{Divergence, LockStep};
use crate::op::Op;
use std::collections::{BTreeMap, VecDeque};
use tenure_abi::Pfn;

/// How many of the last calls a failure shows.
const TAIL: usize = 24;

/// What was found.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// States.
    pub states: usize,
    /// Calls, each from a state of its own, that were done.
    pub done: u64,
    /// And that were refused.
    pub refused: u64,
    /// Calls left out because they would count beyond a cap.
    pub capped: u64,
    /// Calls that nobody could make in the state: a guest that does not run, an end of what never began.
    pub unasked: u64,
    /// All calls, those on the way included.
    pub calls: u64,
    /// Differences that the subject declares as its choice, and how often each was seen.
    pub choices: BTreeMap<&'static str, u64>,
}

/// A difference, and how the walk came there.
#[derive(Clone, Debug)]
pub struct Stray {
    /// The call and what both say.
    pub divergence: Divergence,
    /// The last calls, this one included.
    pub tail: Vec<Op>,
}

/// How a call went.
enum Went {
    Done,
    Refused,
    Capped,
    Unasked,
}

struct Walk<'s> {
    space: &'s Space,
    calls: Vec<Op>,
    watched: Vec<Pfn>,
    pair: LockStep<Dispatch>,
    tail: VecDeque<Op>,
}

impl Walk<'_> {
    /// Makes a call and compares what there is to compare.
    fn make(&mut self, call: Call) -> Result<Went, Stray> {
        let op = self.calls[usize::from(call)];
        if op.is_a_mistake_inside(&self.pair.spec) || !self.pair.subject.takes(op, &self.pair.spec) {
            return Ok(Went::Unasked);
        }
        if self.space.ends_before(op, &self.pair.spec) {
            return Ok(Went::Capped);
        }
        if self.tail.len() == TAIL {
            self.tail.pop_front();
        }
        self.tail.push_back(op);
        let before = self.pair.stats;
        let stepped = self.pair.step(op).and_then(|()| {
            let (spec, subject) = (&self.pair.spec, &self.pair.subject);
            let checked = compare::pages(spec, subject, &self.watched);
            let checked = checked.and_then(|()| state::guests_see(self.space, spec, subject));
            checked.map_err(|what| Divergence { op, what })
        });
        stepped.map_err(|divergence| self.stray(divergence))?;
        let after = self.pair.stats;
        if after.no_memory != before.no_memory {
            return Err(self.stray(Divergence { op, what: "out of memory".to_string() }));
        }
        Ok(if after.done == before.done { Went::Refused } else { Went::Done })
    }

    fn stray(&self, divergence: Divergence) -> Stray {
        Stray { divergence, tail: self.tail.iter().copied().collect() }
    }

    /// The state now.
    fn here(&self, map: &mut Map) -> Result<Id, Stray> {
        let number = state::number(self.space, &self.pair);
        let last = self.tail.back().copied().unwrap_or(self.calls[0]);
        number.map(|number| map.id(number)).map_err(|what| self.stray(Divergence { op: last, what }))
    }
}

/// How far a walk is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// States found so far.
    pub states: usize,
    /// Calls that were tried, each from a state of its own.
    pub tried: u64,
    /// Calls left to try in the states found so far.
    pub left: u64,
}

/// Makes every call from every state of `space`; `each` hears how far it is, whenever it has come to a state where calls are left.
///
/// # Errors
/// The first difference.
pub fn explore(space: &Space, mut each: impl FnMut(Progress)) -> Result<Found, Stray> {
    let calls = space.calls();
    let of_each = calls.len() as u64;
    let mut map = Map::new(calls.len() as Call);
    let pair = LockStep::new(Dispatch::new(PLENTY));
    let mut walk = Walk { space, calls, watched: space.watched(), pair, tail: VecDeque::new() };
    let mut found = Found::default();
    let mut at = walk.here(&mut map)?;
    loop {
        let Some(call) = map.next_call(at) else {
            let Some(way) = map.way_on(at) else { break };
            for call in way {
                walk.make(call)?;
                let to = walk.here(&mut map)?;
                map.add_way(at, call, to);
                at = to;
            }
            let tried = found.done + found.refused + found.capped + found.unasked;
            each(Progress { states: map.len(), tried, left: map.len() as u64 * of_each - tried });
            continue;
        };
        match walk.make(call)? {
            Went::Unasked => found.unasked += 1,
            Went::Capped => found.capped += 1,
            Went::Refused => found.refused += 1,
            Went::Done => found.done += 1,
        }
        let to = walk.here(&mut map)?;
        if to != at {
            map.add_way(at, call, to);
            at = to;
        }
    }
    let last = walk.tail.back().copied().unwrap_or(walk.calls[0]);
    walk.pair.compare_all(last).map_err(|divergence| walk.stray(divergence))?;
    (found.states, found.calls) = (map.len(), walk.pair.stats.calls);
    found.choices = walk.pair.choices;
    Ok(found)
}
