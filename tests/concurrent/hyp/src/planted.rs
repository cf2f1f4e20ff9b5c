//! Which ordering bug is planted now.

use std::sync::atomic::{AtomicU8, Ordering::SeqCst};

/// A bug that tests must find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Bug {
    /// None: the product as it is.
    None,
    /// A claim's region locks are given up as soon as its pages are checked.
    LockDroppedEarly,
    /// A guest's unshare publishes before the host's translation is gone.
    PublishBeforeTlbi,
    /// The host's fault handler installs the entry after it gave up the region's lock.
    PteWithoutLock,
    /// Forced reclaim burns the gfn it read first, without looking whether the page is still there.
    GfnNotCompared,
    /// A region's live count is written after its word was published.
    CountAfterPublish,
    /// Scrubbing happens after the page was published to the host.
    ScrubAfterPublish,
}

static PLANTED: AtomicU8 = AtomicU8::new(0);

/// Plants `bug` in place of the one before, for the whole process.
pub fn plant(bug: Bug) {
    PLANTED.store(bug as u8, SeqCst);
}

/// Whether `bug` is planted.
pub(crate) fn is(bug: Bug) -> bool {
    PLANTED.load(SeqCst) == bug as u8
}
