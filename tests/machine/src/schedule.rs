//! Many schedules of one scenario, each made by a seed and made again by it.
//!
//! A schedule is drawn in one of two manners: somebody else runs at each primitive with a chance of 1/2 to 1/64, or
//! one actor is stopped at one of its primitives until the others have done all they can. The first finds races that need many
//! switches, the second those that need one long pause at the right place.

use crate::step::{Dice, Manner, State, with};
use shuttle::scheduler::{Schedule, Scheduler, Task, TaskId};
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

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
        let manner = match number % 2 {
            0 => Manner::Chance(1 + dice.below(6) as u32),
            _ => {
                // Short scenarios and long ones alike: among the first 8, 16, … 512.
                let among = 8 << dice.below(7);
                Manner::Stall { actor: 1 + dice.below(self.actors as u64) as usize, at: 1 + dice.below(among) }
            }
        };
        let fail_at = self.faults.and_then(|n| number.checked_rem(n)).map(|n| n + 1);
        State::new(dice.roll(), manner, fail_at)
    }
}

struct Drawn {
    plan: Plan,
    next: u64,
}

impl Drawn {
    /// Ends the schedule that ran; whether it went wrong.
    fn close(&self, outcome: &mut Outcome) -> bool {
        if self.next == self.plan.first {
            return false;
        }
        with(|state| {
            state.loud = false;
            outcome.schedules += 1;
            outcome.primitives += state.primitives;
            for (what, times) in core::mem::take(&mut state.notes) {
                *outcome.notes.entry(what).or_default() += times;
            }
            if !state.found.is_empty() {
                let what = core::mem::take(&mut state.found);
                outcome.found = Some(Found { schedule: self.next - 1, what });
            }
        });
        outcome.found.is_some()
    }
}

struct Shared<'a>(Drawn, &'a std::sync::Mutex<Outcome>);

impl Scheduler for Shared<'_> {
    fn new_execution(&mut self) -> Option<Schedule> {
        let Self(drawn, outcome) = self;
        let mut outcome = outcome.lock().ok()?;
        if drawn.close(&mut outcome) || drawn.next >= drawn.plan.first + drawn.plan.schedules {
            return None;
        }
        with(|state| *state = drawn.plan.state(drawn.next));
        drawn.next += 1;
        Some(Schedule::new(drawn.next))
    }

    fn next_task(&mut self, runnable: &[&Task], current: Option<TaskId>, yields: bool) -> Option<TaskId> {
        let chosen = with(|state| {
            let stalled = match state.manner {
                Manner::Stall { actor, .. } if state.stalled => Some(actor),
                _ => None,
            };
            let number = |task: &&Task| usize::from(task.id());
            let others = || {
                let fits = move |task: &&&Task| !(yields && Some(task.id()) == current) && Some(number(task)) != stalled;
                runnable.iter().filter(fits)
            };
            let count = others().count() as u64;
            let chosen = match count {
                // Nobody but the one that gives way: better it than the one that is stalled.
                0 => runnable.iter().find(|task| Some(number(task)) != stalled).or(runnable.first()),
                _ => others().nth(state.dice.below(count) as usize),
            };
            if let Some(task) = chosen {
                state.actor = number(task);
            }
            chosen.map(|task| task.id())
        });
        chosen
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
    let outcome = Box::leak(Box::new(std::sync::Mutex::new(Outcome::default())));
    let outcome: &'static std::sync::Mutex<Outcome> = outcome;
    let mut config = shuttle::Config::new();
    config.stack_size = 0x40000;
    config.failure_persistence = shuttle::FailurePersistence::None;
    let scheduler = Shared(Drawn { plan, next: plan.first }, outcome);
    let run = catch_unwind(AssertUnwindSafe(|| shuttle::Runner::new(scheduler, config).run(scenario)));
    let mut result = outcome.lock().map_or_else(|poisoned| poisoned.into_inner().clone(), |outcome| outcome.clone());
    if let Err(panic) = run {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string));
        let mut what = with(|state| {
            state.loud = false;
            core::mem::take(&mut state.found)
        });
        what.push(text.unwrap_or_else(|| "a panic".to_string()));
        result.found = Some(Found { schedule: plan.first + result.schedules, what });
        result.schedules += 1;
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
