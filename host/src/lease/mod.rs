//! Leases: who uses guest memory on the host's side, and how they let go of it before it turns private.
//!
//! Two kinds, because two kinds of user exist:
//!
//! | lease | for whom | how it ends |
//! |---|---|---|
//! | [`Access`] | code of this process that touches shared memory for a moment | dropped by its taker |
//! | [`Mapping`] | what keeps memory mapped: an IOMMU, another process | told to let go, says when it has, told how it came out |
//!
//! A conversion [revokes](Leases::revoke) before it converts. From then on nobody gets a new lease on the range; accesses are
//! waited for, mappings are told to *prepare*. When all have let go the conversion goes on and they are told to
//! *commit*, which means: the memory is gone. If it does not come to that they are told to *abort*: it stayed shared, and
//! they may map it again. The caller sets the deadline and what happens then, so a holder that is dead or silent holds
//! up nobody for ever. Each conversion has a generation; an answer to an old one is ignored. Conversions of the same frames
//! exclude each other, so what a holder hears is in the order in which it happened.
//!
//! Ranges are guest frames. Accesses are counted by 2 MiB of guest memory (so the counters fit a cache), mappings by
//! page: an access next door is waited for, a mapping next door is not disturbed.

mod access;
mod mapping;
mod patience;
mod revoke;
mod share;
mod sync;
mod table;

pub use access::Access;
pub use mapping::{Holder, Kind, Mapping, Prepared};
pub use patience::Patience;
pub use revoke::{AtDeadline, Revoked, Stuck};
pub use share::Sharing;

use access::Granules;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::PoisonError;
use sync::{Changed, Mutex, MutexGuard};
use table::{Table, Told};
use tenure_abi::{FrameRange, Gfn};

/// The number of a conversion. Grows, and is never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Generation(pub u64);

/// All leases on one guest's memory.
#[derive(Default)]
pub struct Leases {
    granules: Granules,
    table: Mutex<Table>,
    /// A holder let go, or a conversion ended.
    changed: Changed,
}

impl Leases {
    /// No leases.
    pub fn new() -> Self {
        Self::default()
    }

    #[inline]
    fn table(&self) -> MutexGuard<'_, Table> {
        // The table is consistent whenever the lock is free: nothing in here panics half way.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A conversion is over.
    #[inline]
    fn end(&self, generation: Generation) {
        self.table().end(generation);
        self.changed.notify_all();
    }
}

/// Tells all of them. One that panics keeps nobody from being told: its panic goes on after that.
#[inline]
fn tell(told: &[Told], say: impl Fn(&dyn Holder, FrameRange<Gfn>)) {
    let mut panicked = None;
    for (holder, range) in told {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| say(&**holder, *range))) {
            panicked.get_or_insert(panic);
        }
    }
    // A second panic would end the process.
    if let Some(panic) = panicked.filter(|_| !std::thread::panicking()) {
        resume_unwind(panic);
    }
}

/// The frames of both; `None` if they have none in common.
fn common(a: FrameRange<Gfn>, b: FrameRange<Gfn>) -> Option<FrameRange<Gfn>> {
    let first = a.first().max(b.first());
    let count = a.end().min(b.end()).checked_sub(first.number())?;
    FrameRange::new(first, count, tenure_abi::AddressWidth::MAX).ok()
}
