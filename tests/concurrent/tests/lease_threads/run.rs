//! Who schedules: the machine, nudged now and then.

use core::time::Duration;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use tenure_machine::step::Dice;

/// What happens only if two threads meet within a few instructions, which a machine with one CPU may never do.
pub(super) const NEEDS_LUCK: [&str; 7] = [
    "access refused",
    "revocation met another",
    "conversion met another",
    "answered later",
    "answered too late",
    "mapping refused",
    "killed",
];

thread_local! {
    static DICE: Cell<Dice> = const { Cell::new(Dice::new(0)) };
}

static FOUND: Mutex<Vec<String>> = Mutex::new(Vec::new());
static NOTES: Mutex<BTreeMap<&str, u64>> = Mutex::new(BTreeMap::new());

/// The choices of this thread from now on.
pub(super) fn seed(number: u64) {
    DICE.set(Dice::new(number));
}

/// A number below `end`.
pub(super) fn draw(end: u64) -> u64 {
    let mut dice = DICE.get();
    let number = dice.below(end);
    DICE.set(dice);
    number
}

/// Others may run here.
pub(super) fn primitive() {
    match draw(16) {
        0 => std::thread::yield_now(),
        nth => (0..nth * 4).for_each(|_| core::hint::spin_loop()),
    }
}

/// Others should run here.
pub(super) fn wait() {
    std::thread::yield_now();
}

/// The clock of the machine has no beginning.
pub(super) fn begin_time() {}

/// It goes on by itself.
pub(super) fn pass_time(_: Duration) {
    note("time passed");
    wait();
}

/// Counts that something happened.
pub(super) fn note(what: &'static str) {
    *NOTES.lock().unwrap_or_else(PoisonError::into_inner).entry(what).or_default() += 1;
}

/// What happened, and how often.
pub(super) fn notes() -> BTreeMap<&'static str, u64> {
    NOTES.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

/// Puts on record that something was seen which must never be seen.
pub(super) fn violation(what: impl Into<String>) {
    FOUND.lock().unwrap_or_else(PoisonError::into_inner).push(what.into());
}

/// What was put on record since this was asked last.
pub(super) fn violations() -> Vec<String> {
    core::mem::take(&mut *FOUND.lock().unwrap_or_else(PoisonError::into_inner))
}
