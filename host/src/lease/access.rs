//! Accesses: two atomic operations on the hot path.
//!
//! A word per 2 MiB of guest memory, more memory sharing words: the low bits count accesses, the high ones revocations that
//! are under way. Taking is an increment that is undone if a revocation shows; revoking is an addition that lets no
//! later taker through. Whichever comes second sees the first.

use super::Leases;
use super::sync::{AtomicU64, Deadline};
use core::fmt;
use core::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use core::time::Duration;
use tenure_abi::{Error, FrameRange, Gfn, PageSize};

/// How many words: those of 8 GiB, before memory begins to share them.
const WORDS: usize = 4096;
/// A revocation.
const REVOKING: u64 = 1 << 32;
/// The accesses in a word.
const TAKEN: u64 = REVOKING - 1;

/// The words.
pub(super) struct Granules(std::boxed::Box<[AtomicU64]>);

impl Default for Granules {
    fn default() -> Self {
        Self((0..WORDS).map(|_| AtomicU64::new(0)).collect())
    }
}

impl Granules {
    /// The words of a range, each once.
    #[inline]
    fn words(&self, gfns: FrameRange<Gfn>) -> impl Iterator<Item = &AtomicU64> {
        let granule = PageSize::Size2M.frames();
        let (first, last) = (gfns.first().number() / granule, (gfns.end() - 1) / granule);
        let count = (last - first + 1).min(WORDS as u64);
        (first..first + count).map(|number| &self.0[number as usize % WORDS])
    }

    /// Lets no new access through.
    #[inline]
    pub(super) fn close(&self, gfns: FrameRange<Gfn>) {
        for word in self.words(gfns) {
            word.fetch_add(REVOKING, AcqRel);
        }
    }

    /// Ends what [`Granules::close`] began.
    #[inline]
    pub(super) fn open(&self, gfns: FrameRange<Gfn>) {
        for word in self.words(gfns) {
            word.fetch_sub(REVOKING, Release);
        }
    }

    /// Whether some of it is closed.
    fn closed(&self, gfns: FrameRange<Gfn>) -> bool {
        self.words(gfns).any(|word| word.load(Acquire) >= REVOKING)
    }

    /// Whether nobody is in there.
    #[inline]
    pub(super) fn quiet(&self, gfns: FrameRange<Gfn>) -> bool {
        self.words(gfns).all(|word| word.load(Acquire) & TAKEN == 0)
    }
}

/// The right to touch a range of shared memory, until it is dropped. Keep it for as long as the accesses last and no longer:
/// conversions nearby wait for it.
#[must_use = "the right ends when this is dropped"]
pub struct Access<'l> {
    leases: &'l Leases,
    gfns: FrameRange<Gfn>,
}

impl Leases {
    /// The right to touch `gfns` for a moment. Whether they are shared is the caller's to check *after* this: while it holds the
    /// access they stay what they are.
    ///
    /// # Errors
    /// [`Error::Retry`] while somebody revokes memory there.
    #[inline]
    pub fn access(&self, gfns: FrameRange<Gfn>) -> Result<Access<'_>, Error> {
        for (nth, word) in self.granules.words(gfns).enumerate() {
            if word.fetch_add(1, AcqRel) >= REVOKING {
                self.let_go(gfns, nth + 1);
                return Err(Error::Retry);
            }
        }
        Ok(Access { leases: self, gfns })
    }

    /// As [`Leases::access`], but waits until nobody revokes memory there, for at most `patience`.
    ///
    /// A thread that holds another access nearby may be what the revoker waits for: both then wait until one of them gives up.
    ///
    /// # Errors
    /// [`Error::Retry`] when `patience` is used up.
    pub fn access_within(&self, gfns: FrameRange<Gfn>, patience: Duration) -> Result<Access<'_>, Error> {
        if let Ok(access) = self.access(gfns) {
            return Ok(access);
        }
        let until = Deadline::after(patience);
        loop {
            let mut table = self.table();
            // Only looked at: an attempt would wake the revoker for nothing, and he the next one who waits here.
            while self.granules.closed(gfns) {
                if until.passed() {
                    return Err(Error::Retry);
                }
                table = self.changed.wait(table, until);
            }
            drop(table);
            if let Ok(access) = self.access(gfns) {
                return Ok(access);
            }
        }
    }

    /// Gives up the first `count` words of a range.
    #[inline]
    fn let_go(&self, gfns: FrameRange<Gfn>, count: usize) {
        let mut waited_for = false;
        for word in self.granules.words(gfns).take(count) {
            waited_for |= word.fetch_sub(1, Release) >= REVOKING;
        }
        if waited_for {
            self.wake_revokers();
        }
    }

    #[cold]
    fn wake_revokers(&self) {
        // Taken and given up, so that a revoker is either not waiting yet or woken.
        drop(self.table());
        self.changed.notify_all();
    }
}

impl Access<'_> {
    /// The range.
    pub fn gfns(&self) -> FrameRange<Gfn> {
        self.gfns
    }
}

/// A second right to the same range, even while somebody revokes it: they wait for both.
impl Clone for Access<'_> {
    fn clone(&self) -> Self {
        for word in self.leases.granules.words(self.gfns) {
            // Nobody passes while the first one is held, so there is nothing to order.
            word.fetch_add(1, Relaxed);
        }
        Self { ..*self }
    }
}

impl Drop for Access<'_> {
    #[inline]
    fn drop(&mut self) {
        self.leases.let_go(self.gfns, usize::MAX);
    }
}

impl fmt::Debug for Access<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Access").field("gfns", &self.gfns).finish_non_exhaustive()
    }
}
