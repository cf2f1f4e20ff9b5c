//! The ownership tracker.
//!
//! Physical memory is cut into *regions* of 2 MiB. One 8-byte word per region says whose it is; only
//! where the pages of a region differ does the word lead to a *block* of 512 page entries. So an
//! operation on uniform memory costs one word per 2 MiB, and all-zero memory is a valid start: the host
//! owns everything, exclusively.
//!
//! ```text
//! directory      one u32 per GiB of the physical address span: no chunk, or which
//!   chunk        512 region words and their locks (4.5 KiB)
//!     word       uniform: the entry of all 512 pages | mixed: block index, live count, payer
//!       block    512 page entries (4 KiB)
//! ```
//!
//! What may happen to a page is written down once, as data, in [`rules`]. To change anything, [`Tracker::claim`]
//! the pages: the claim has locked their regions and checked every page against the rule, and nothing has changed
//! yet. Then the platform takes the loser's access away, the content rule is carried out, and
//! [`Claim::commit`] publishes the new entries. A claim that is dropped has changed nothing.
//!
//! # Locking
//! Each region has a lock bit beside its word. Regions are locked in ascending order and a lock is tried a bounded
//! number of times ([`Error::Retry`]), so there is no deadlock with a caller that keeps to
//! the order: VM table, one VM, regions, leaves. No region lock is held across content work: [`Claim::park`]
//! gives the locks back and leaves *claimed* bits, on which everybody else gets [`Error::Retry`].
//!
//! # Publication
//! Locking is an acquire read-modify-write, unlocking a release; the two pair up. Words are stored with release before
//! that, because a parked claim publishes without a lock. Everything below a word (its block) is only read and written under that
//! lock, or while parked, with relaxed accesses.

pub mod audit;
pub mod block;
mod cells;
pub mod claim;
pub mod entry;
pub mod layout;
mod lock;
pub mod page;
mod publish;
pub mod region;
pub mod rules;

mod refusal;
#[cfg(test)]
mod tests;

pub use audit::Audit;
pub use block::{AllAtStart, Block, BlockIndex, BlockSource};
pub use claim::Claim;
pub use entry::{Entry, Identity, Kind};
pub use layout::Chunk;
pub use page::EntryClaim;
pub use region::RegionGuard;
pub use rules::{Row, Transition};

use crate::sync::AtomicU64;
use core::sync::atomic::Ordering;
use tenure_abi::{Error, FrameRange, PageState, Pfn};

/// The ownership records of one machine.
pub struct Tracker<'m, B> {
    pub(crate) directory: &'m [u32],
    pub(crate) chunks: &'m [Chunk],
    pub(crate) ram: &'m [FrameRange<Pfn>],
    pub(crate) blocks: B,
    pub(crate) contradictions: AtomicU64,
}

impl<B: BlockSource> Tracker<'_, B> {
    /// The ownership state of one page; [`PageState::Absent`] for what is not memory.
    ///
    /// # Errors
    /// [`Error::Retry`] while the page is being moved.
    pub fn state(&self, pfn: Pfn) -> Result<PageState, Error> {
        match self.lock_region(pfn) {
            Ok(guard) => Ok(guard.entry(pfn).state()),
            Err(Error::NotMemory) => Ok(PageState::Absent),
            Err(error) => Err(error),
        }
    }

    /// How often the tracker found its records and its caller's to contradict each other.
    ///
    /// Anything but 0 is a defect of the hypervisor; the pages concerned are in quarantine.
    pub fn contradictions(&self) -> u64 {
        self.contradictions.load(Ordering::Relaxed)
    }
}
