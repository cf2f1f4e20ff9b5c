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
//! up nobody for ever. Each revocation has a generation; an answer to an old one is ignored.
//!
//! Ranges are guest frames. Accesses are counted by 2 MiB of guest memory (so the counters fit a cache), mappings by
//! page: an access next door is waited for, a mapping next door is not disturbed.

mod access;
mod mapping;
mod revoke;
mod table;

pub use access::Access;
pub use mapping::{Holder, Kind, Mapping, Prepared};
pub use revoke::{AtDeadline, Revoked, Stuck};

use access::Granules;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::vec::Vec;
use table::Table;
use tenure_abi::{FrameRange, Gfn};

/// The number of a revocation. Grows, and is never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Generation(pub u64);

/// All leases on one guest's memory.
#[derive(Default)]
pub struct Leases {
    granules: Granules,
    table: Mutex<Table>,
    /// A holder let go, or a revocation ended.
    changed: Condvar,
}

impl Leases {
    /// No leases.
    pub fn new() -> Self {
        Self::default()
    }

    /// Memory turned shared: whoever keeps a mapping there is told, and may map it.
    pub fn shared(&self, gfns: FrameRange<Gfn>) {
        let table = self.table();
        let told: Vec<_> = table
            .holding(gfns)
            .filter_map(|record| Some((Arc::clone(&record.holder), common(record.gfns, gfns)?)))
            .collect();
        drop(table);
        for (holder, range) in told {
            holder.shared(range);
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        // The table is consistent whenever the lock is free: nothing in here panics half way.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The frames of both; `None` if they have none in common.
fn common(a: FrameRange<Gfn>, b: FrameRange<Gfn>) -> Option<FrameRange<Gfn>> {
    let first = a.first().max(b.first());
    let count = a.end().min(b.end()).checked_sub(first.number())?;
    FrameRange::new(first, count, tenure_abi::AddressWidth::MAX).ok()
}
