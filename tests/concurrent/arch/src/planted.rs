//! Which ordering bug is planted now.

use std::cell::Cell;

/// A bug that tests must find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// None: the product as it is.
    None,
    /// A claim's region locks are given up as soon as its pages are checked.
    LockDroppedEarly,
    /// A region's lock is given back by clearing the word it lies in.
    LockWordCleared,
    /// A guest's unshare publishes before the host's translation is gone.
    PublishBeforeTlbi,
    /// The host's fault handler installs the entry after it gave up the region's lock.
    PteWithoutLock,
    /// Forced reclaim burns the gfn it read first, without looking whether the page is still there.
    GfnNotCompared,
    /// A region's live count is written after its word was published.
    CountAfterPublish,
    /// A 2 MiB leaf is split without an invalidation in between.
    MakeBeforeBreak,
    /// A level-3 table is taken back without an invalidation.
    TableReusedEarly,
    /// Scrubbing happens after the page was published to the host.
    ScrubAfterPublish,
    /// A file's host fault handler installs the mapping after it gave up the file's lock.
    InstalledWithoutLock,
    /// A page's first use goes on with the visibility it saw before it claimed the page.
    VisibilityNotComparedAgain,
    /// A conversion removes host mappings before it claims the pages.
    ZapBeforeClaim,
    /// A conversion looks for references before it removes host mappings.
    ReferencesBeforeZap,
    /// A conversion goes on before guests' translations are gone.
    GuestsNotFlushed,
    /// A conversion's claim ends before the hardware's entries change.
    ClaimEndedEarly,
    /// Punched frames are freed before anybody is cut off from them.
    FreedBeforeZap,
    /// Populate goes on with the binding it saw before it claimed the page.
    BindingNotComparedAgain,
    /// An access looks for revocations first and is counted after.
    AccessCountedLate,
    /// The last access tells a revoker without making sure that it waits or has not looked yet.
    NotifiedWithoutLock,
    /// A mapping that goes away tells nobody.
    NotifyLost,
    /// A revocation lets others go on before its holders know how it ended.
    EndedBeforeTold,
    /// A holder's answer to any revocation counts for the one under way.
    LateAnswerCounts,
    /// A second revocation's question to a holder takes the place of the first one's.
    OneQuestionEach,
    /// Memory may be revoked again before holders know that it turned shared.
    SharedToldLate,
    /// A mapping is made although its memory is being revoked.
    MappedWhileRevoked,
    /// A holder that panics keeps those after it from being told.
    PanicEndsTelling,
}

thread_local! {
    // All actors of a schedule run on the thread that explores it, so tests beside each other do not meet.
    static PLANTED: Cell<Bug> = const { Cell::new(Bug::None) };
}

/// Plants `bug` in place of the one before, for what this thread explores.
pub fn plant(bug: Bug) {
    PLANTED.set(bug);
}

/// Whether `bug` is planted.
pub fn is(bug: Bug) -> bool {
    PLANTED.get() == bug
}
