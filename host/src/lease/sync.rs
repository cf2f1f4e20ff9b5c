//! What leases need of the machine: words, a lock, waiting, and time. All of it stands here, so that tests can put their own
//! scheduler and clock underneath.

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

/// What somebody waits for who found that he cannot go on.
#[derive(Default)]
pub(super) struct Changed(Condvar);

impl Changed {
    /// Something changed: whoever waits looks again.
    pub(super) fn notify_all(&self) {
        self.0.notify_all();
    }

    /// Gives up the lock until something changed or the deadline has come.
    pub(super) fn wait<'t, T>(&self, lock: MutexGuard<'t, T>, until: Deadline) -> MutexGuard<'t, T> {
        let Some(at) = until.0 else { return self.0.wait(lock).unwrap_or_else(PoisonError::into_inner) };
        let left = at.saturating_duration_since(Instant::now());
        self.0.wait_timeout(lock, left).unwrap_or_else(PoisonError::into_inner).0
    }
}
