//! A lock bit whose waiters let others run.

use crate::step::{Kind, Seam, fails, primitive, wait};
use core::sync::atomic::{AtomicBool, Ordering::SeqCst};

/// One bit: held or not. Which data it guards is its user's business.
#[derive(Debug)]
pub struct Bit(AtomicBool);

impl Bit {
    /// A free lock.
    pub const fn new() -> Self {
        Self(AtomicBool::new(false))
    }

    /// Tries at most `tries` times; whether it is held now.
    pub fn try_take(&self, tries: u32) -> bool {
        !fails(Seam::Lock)
            && (0..tries).any(|_| {
                primitive(Kind::Lock);
                let taken = !self.0.swap(true, SeqCst);
                if !taken {
                    wait();
                }
                taken
            })
    }

    /// Takes it, however long that takes.
    ///
    /// # Panics
    /// If the holder never gives it up: nobody else is left to run, or the wait has become absurd.
    pub fn take(&self) {
        for _ in 0..100_000 {
            primitive(Kind::Lock);
            if !self.0.swap(true, SeqCst) {
                return;
            }
            wait();
        }
        panic!("a lock is never given up");
    }

    /// Gives it up.
    ///
    /// # Panics
    /// If it is not held.
    pub fn give_up(&self) {
        primitive(Kind::Lock);
        assert!(self.0.swap(false, SeqCst), "a free lock is given up");
    }
}

impl Default for Bit {
    fn default() -> Self {
        Self::new()
    }
}
