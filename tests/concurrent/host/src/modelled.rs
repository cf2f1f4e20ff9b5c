//! What leases need of the machine, with `shuttle`'s scheduler underneath and a clock that the schedule moves.
//!
//! Who waits without a deadline blocks: if nobody wakes it, the schedule ends in a deadlock, which is found. Who waits
//! with one looks again and again, since the clock can move while it waits.

use core::cell::Cell;
use core::ops::{Deref, DerefMut};
use core::sync::atomic::{AtomicU64 as Word, Ordering::SeqCst};
use core::time::Duration;
use shuttle::sync as shuttled;
use std::sync::{LockResult, PoisonError};
use tenure_machine::step::wait;

pub use tenure_machine::atomic::AtomicU64;

thread_local! {
    // All actors of a schedule run on the thread that explores it.
    static NOW: Cell<Duration> = const { Cell::new(Duration::ZERO) };
}

/// Back to the beginning, for a new schedule.
pub fn begin_time() {
    NOW.set(Duration::ZERO);
}

/// Time goes on.
pub fn pass_time(by: Duration) {
    NOW.set(NOW.get().saturating_add(by));
}

/// Until when somebody waits; `None` is for ever.
#[derive(Clone, Copy)]
pub struct Deadline(Option<Duration>);

impl Deadline {
    /// So long from now; the longest duration there is, is for ever.
    pub fn after(patience: Duration) -> Self {
        Self((patience != Duration::MAX).then(|| NOW.get().saturating_add(patience)))
    }

    /// Whether it has come.
    pub fn passed(self) -> bool {
        self.0.is_some_and(|at| NOW.get() >= at)
    }
}

/// A lock that can be found from its guard.
#[derive(Default)]
pub struct Mutex<T>(shuttled::Mutex<T>);

/// As the standard library's.
pub struct MutexGuard<'m, T> {
    guard: shuttled::MutexGuard<'m, T>,
    mutex: &'m Mutex<T>,
}

impl<T> Mutex<T> {
    /// As the standard library's; a lock is never found poisoned.
    ///
    /// # Errors
    /// Never.
    pub fn lock(&self) -> LockResult<MutexGuard<'_, T>> {
        Ok(MutexGuard { guard: self.0.lock().unwrap_or_else(PoisonError::into_inner), mutex: self })
    }
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.guard
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.guard
    }
}

/// As the product's.
#[derive(Default)]
pub struct Changed {
    blocked: shuttled::Condvar,
    times: Word,
}

impl Changed {
    /// As the product's.
    pub fn notify_all(&self) {
        self.blocked.notify_all();
        self.times.fetch_add(1, SeqCst);
    }

    /// As the product's.
    pub fn wait<'t, T>(&self, lock: MutexGuard<'t, T>, until: Deadline) -> MutexGuard<'t, T> {
        let MutexGuard { guard, mutex } = lock;
        if until.0.is_none() {
            let guard = self.blocked.wait(guard).unwrap_or_else(PoisonError::into_inner);
            return MutexGuard { guard, mutex };
        }
        let times = self.times.load(SeqCst);
        drop(guard);
        while self.times.load(SeqCst) == times && !until.passed() {
            wait();
        }
        mutex.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
