//! The guest's half: the same two words, [`share`](SharedMemory::share) and
//! [`unshare`](SharedMemory::unshare), whatever the platform.
//!
//! The host is hostile, and a guest cannot see whether it speaks to its hypervisor or to an impostor.
//! So every answer is bounded and checked before it is believed: progress must be above zero and within
//! what was asked, a code nobody defined is a [`Failure::Surprise`], and no loop runs longer than the
//! range has pages.
//!
//! | platform | type |
//! |---|---|
//! | pKVM and whatever speaks its guest interface | [`Pkvm`] |

mod pkvm;

pub use pkvm::Pkvm;

use tenure_abi::{Error, FrameRange, Gfn, Located, Place};

/// Why a conversion stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The hypervisor refused; the page named, and all after it, are as they were.
    Refused(Error),
    /// The answer makes no sense: this code, or this count, stood in it. What became of the page named and
    /// of those after it is unknown, so a guest treats them as readable by the host and never uses them for
    /// secrets again.
    Surprise(u64),
}

/// Memory that a guest can open to its host and close again, in place.
///
/// Pages are converted from the first on. On failure the error names the first page that was not
/// converted: everything before it was, see [`converted`].
pub trait SharedMemory {
    /// Lets the host read and write `range`. What the pages hold becomes visible at once.
    ///
    /// # Errors
    /// The reason, at the first page that is not shared.
    fn share(&self, range: FrameRange<Gfn>) -> Result<(), Located<Failure>>;

    /// Takes `range` back. The content stays, and the host wrote it: check before use.
    ///
    /// # Errors
    /// The reason, at the first page that is not private.
    fn unshare(&self, range: FrameRange<Gfn>) -> Result<(), Located<Failure>>;
}

/// How many pages of `range` were converted before `result` was returned.
pub fn converted(range: FrameRange<Gfn>, result: Result<(), Located<Failure>>) -> u64 {
    match result {
        Ok(()) => range.count(),
        Err(Located { at: Place::Gfn(gfn), .. }) => {
            gfn.number().saturating_sub(range.first().number()).min(range.count())
        }
        Err(_) => 0,
    }
}
