//! Many schedules of one scenario, each made by a seed and made again by it.
//!
//! A schedule is drawn in one of two manners: somebody else runs at each primitive with a chance of 1/2 to 1/64, or
//! one actor is stopped at one of its primitives until the others have done all they can. The first finds races that need many
//! switches, the second those that need one long pause at the right place.

use crate::step::{Dice, Manner, State, with};
use shuttle::scheduler::{Schedule, Scheduler, Task, TaskId};
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};

/// Bytes of each actor's stack.
const STACK: usize = 0x40000;

/// What to explore.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// The seed of the first schedule; the others follow from it.
    pub seed: u64,
    /// The first schedule's number: with [`Plan::schedules`] 1 it is made again.
    pub first: u64,
    /// How many schedules.
    pub schedules: u64,
    /// How many actors the scenario starts.
    pub actors: usize,
    /// In schedule `i` the request number `1 + i % n` at a seam is refused.
    pub faults: Option<u64>,
}

impl Plan {
    /// `schedules` schedules of `actors` actors, without failures.
    pub const fn new(seed: u64, schedules: u64, actors: usize) -> Self {
        Self { seed, first: 0, schedules, actors, faults: None }
    }
}

/// What went wrong, and when.
#[derive(Clone, Debug)]
pub struct Found {
    /// The number of the schedule, counted from 0.
    pub schedule: u64,
    /// What was seen.
    pub what: Vec<String>,
}

/// What an exploration came to.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Schedules run to their end.
    pub schedules: u64,
    /// Primitives done in all of them.
    pub primitives: u64,
    /// How often something happened that was [noted](crate::step::note).
    pub notes: BTreeMap<&'static str, u64>,
    /// The first schedule that went wrong; none were run after it.
    pub found: Option<Found>,
}

impl Plan {
    fn state(&self, number: u64) -> State {
        let mut dice = Dice::new(self.seed ^ number.wrapping_mul(0x2545_f491_4f6c_dd1d));
        let manner = if number.is_multiple_of(2) {
            Manner::Chance(1 + dice.below(6) as u32)
        } else {
            // Short scenarios and long ones alike: among the first 8, 16, … 512.
            let among = 8 << dice.below(7);
            Manner::Stall { actor: 1 + dice.below(self.actors as u64) as usize, at: 1 + dice.below(among) }
        };
        let fail_at = self.faults.and_then(|n| number.checked_rem(n)).map(|n| n + 1);
        State::new(dice.roll(), manner, fail_at)
    }
}

/// The schedules of a plan, one after the other, until one goes wrong.
struct Drawn {
    plan: Plan,
    next: u64,
    outcome: Arc<Mutex<Outcome>>,
}

impl Drawn {
    /// Takes the schedule that ran into account; whether it went wrong.
    fn close(&self) -> bool {
        if self.next == self.plan.first {
            return false;
        }
        let mut outcome = self.outcome.lock().unwrap_or_else(PoisonError::into_inner);
        outcome.add(self.next - 1, Vec::new());
        outcome.found.is_some()
    }
}

impl Outcome {
    /// Adds the schedule that just ended, with what was seen beside its own reports.
    fn add(&mut self, number: u64, seen: Vec<String>) {
        with(|state| {
            state.loud = false;
            self.schedules += 1;
            self.primitives += state.primitives;
            for (what, times) in core::mem::take(&mut state.notes) {
                *self.notes.entry(what).or_default() += times;
            }
            let mut what = core::mem::take(&mut state.found);
            what.extend(seen);
            if !what.is_empty() {
                self.found = Some(Found { schedule: number, what });
            }
        });
    }
}

impl Scheduler for Drawn {
    fn new_execution(&mut self) -> Option<Schedule> {
        if self.close() || self.next >= self.plan.first + self.plan.schedules {
            return None;
        }
        with(|state| *state = self.plan.state(self.next));
        self.next += 1;
        Some(Schedule::new(self.next))
    }

    fn next_task(&mut self, runnable: &[&Task], current: Option<TaskId>, yields: bool) -> Option<TaskId> {
        let number = |task: &Task| usize::from(task.id());
        with(|state| {
            let stalled = match state.manner {
                Manner::Stall { actor, .. } if state.stalled => Some(actor),
                _ => None,
            };
            let awake = |task: &&&Task| Some(number(task)) != stalled;
            let others = || runnable.iter().filter(awake).filter(|task| !yields || Some(task.id()) != current);
            let task = match others().count() as u64 {
                // Nobody but the one that gives way: better it than the one that is stalled.
                0 => runnable.iter().find(awake).or(runnable.first()),
                count => others().nth(state.dice.below(count) as usize),
            }?;
            state.actor = number(task);
            Some(task.id())
        })
    }

    fn next_u64(&mut self) -> u64 {
        with(|state| state.dice.roll())
    }
}

/// Runs `scenario` under many schedules, until one goes wrong.
///
/// The scenario starts its actors with `shuttle`'s threads (`shuttle::thread::scope`), says [`loudly`] around them, and reports
/// with [`violation`](crate::step::violation). A panic counts as one.
pub fn explore(plan: Plan, scenario: impl Fn() + Send + Sync + 'static) -> Outcome {
    let outcome = Arc::new(Mutex::new(Outcome::default()));
    let mut config = shuttle::Config::new();
    config.stack_size = STACK;
    config.failure_persistence = shuttle::FailurePersistence::None;
    let drawn = Drawn { plan, next: plan.first, outcome: Arc::clone(&outcome) };
    let run = catch_unwind(AssertUnwindSafe(|| shuttle::Runner::new(drawn, config).run(scenario)));
    let mut result = core::mem::take(&mut *outcome.lock().unwrap_or_else(PoisonError::into_inner));
    if let Err(panic) = run {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string));
        result.add(plan.first + result.schedules, vec![text.unwrap_or_else(|| "a panic".to_string())]);
    }
    result
}

/// From now on, until `f` returns, others may run between primitives.
pub fn loudly<T>(f: impl FnOnce() -> T) -> T {
    with(|state| state.loud = true);
    let result = f();
    with(|state| state.loud = false);
    result
}
