//! What leases need of the machine: words, a lock, waiting, and time. All of it stands here, so that tests can put their own
//! scheduler and clock underneath.

use core::sync::atomic::Ordering::Relaxed;
use core::time::Duration;
use std::sync::{Condvar, PoisonError};
use std::time::Instant;

pub(super) use core::sync::atomic::AtomicU64;
pub(super) use std::sync::{Mutex, MutexGuard};

/// Until when somebody waits; `None` is for ever.
#[derive(Clone, Copy)]
pub(super) struct Deadline(Option<Instant>);

impl Deadline {
    /// So long from now.
    pub(super) fn after(patience: Duration) -> Self {
        Self(Instant::now().checked_add(patience))
    }

    /// Whether it has come.
    pub(super) fn passed(self) -> bool {
        self.0.is_some_and(|at| Instant::now() >= at)
    }
}

/// What somebody waits for who found that he cannot go on. One lock belongs to it.
#[derive(Default)]
pub(super) struct Changed {
    condition: Condvar,
    /// Who waits, or is about to. Waking costs a system call even if nobody does.
    waiting: AtomicU64,
}

impl Changed {
    /// Something changed: whoever waits looks again. The lock must have been taken after the change: whoever had looked before it
    /// then counts already, and whoever looks after it sees the change.
    pub(super) fn notify_all(&self) {
        // The lock orders this after the count of everybody who has to be woken.
        if self.waiting.load(Relaxed) > 0 {
            self.condition.notify_all();
        }
    }

    /// Gives up the lock until something changed or the deadline has come.
    pub(super) fn wait<'t, T>(&self, lock: MutexGuard<'t, T>, until: Deadline) -> MutexGuard<'t, T> {
        // Under the lock, which `notify_all` counts on.
        self.waiting.fetch_add(1, Relaxed);
        let lock = match until.0 {
            None => self.condition.wait(lock).unwrap_or_else(PoisonError::into_inner),
            Some(at) => {
                let left = at.saturating_duration_since(Instant::now());
                self.condition.wait_timeout(lock, left).unwrap_or_else(PoisonError::into_inner).0
            }
        };
        self.waiting.fetch_sub(1, Relaxed);
        lock
    }
}
