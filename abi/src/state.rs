//! What is known of a page, and what was asked for it.
//!
//! Four facts about a page are never folded into one bit: its *visibility* (what the guest or user
//! space asked for), whether it is *backed*, whether it is *initialised*, and whether it is *assigned*
//! (what the hardware says). [`PageState`] is about ownership only.

use crate::owner::{Borrower, Owner};

/// The ownership state of one page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageState {
    /// The owner alone may touch it.
    Exclusive(Owner),
    /// The owner lets one kind of borrower touch it too.
    Shared {
        /// Whose page it stays.
        owner: Owner,
        /// Who may touch it beside the owner.
        with: Borrower,
    },
    /// Detached from one owner and not yet given to the next; a re-issue of the call resumes it.
    InTransit {
        /// Who lost it.
        from: Owner,
        /// Who will get it.
        to: Owner,
        /// What has been done.
        step: TransitStep,
    },
    /// Withdrawn from use: nobody may touch it until recovery proves what the hardware says.
    Quarantined {
        /// Who owned it last.
        was: Owner,
        /// Why it was withdrawn.
        reason: QuarantineReason,
    },
    /// Not memory that can be owned.
    Absent,
}

/// How far a page in transit has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransitStep {
    /// The loser is cut off; the content is still the loser's.
    Taken,
    /// The content rule has been carried out.
    ContentDone,
}

/// Why a page is in quarantine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QuarantineReason {
    /// The tracker's reverse map and a guest's table disagree.
    ReverseMap,
    /// A counter would have gone below zero.
    Counter,
    /// It is not proven that the loser was cut off.
    TakeUnproven,
    /// The platform could not say what the hardware's entry is.
    HardwareUnknown,
}

impl QuarantineReason {
    /// Every reason, in the order of its code.
    pub const ALL: [Self; 4] = [Self::ReverseMap, Self::Counter, Self::TakeUnproven, Self::HardwareUnknown];

    /// The code kept in a tracker entry: its place in [`QuarantineReason::ALL`].
    pub const fn code(self) -> u8 {
        self as u8
    }
}

/// Who a guest or its VMM wants to be able to see a page. Not the same fact as its [`PageState`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Visibility {
    /// The guest alone.
    Private,
    /// The guest and the host.
    Shared,
}

/// What a conversion does to the bytes. One mode: two at once cannot be said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContentMode {
    /// The receiver must not rely on what it finds.
    Unspecified,
    /// The receiver finds zeroes.
    Zero,
    /// The receiver finds what the giver left.
    Preserve,
}
