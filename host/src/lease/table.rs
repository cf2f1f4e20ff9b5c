//! The mappings that exist, and the revocations under way.

use super::{Generation, Holder, Kind, common};
use std::sync::Arc;
use std::vec::Vec;
use tenure_abi::{Error, FrameRange, Gfn};

/// Names a mapping; never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Id(u64);

/// Where a mapping stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stand {
    /// In use.
    Held,
    /// Told to prepare, and has not let go yet.
    Asked(Generation),
    /// Has let go for this revocation.
    Yielded(Generation),
}

/// One mapping.
pub(super) struct Record {
    pub(super) id: Id,
    pub(super) gfns: FrameRange<Gfn>,
    pub(super) kind: Kind,
    pub(super) stand: Stand,
    pub(super) holder: Arc<dyn Holder>,
}

/// Mappings and revocations. Both are few: mappings are made per device and region, not per request.
#[derive(Default)]
pub(super) struct Table {
    pub(super) records: Vec<Record>,
    revoking: Vec<(Generation, FrameRange<Gfn>)>,
    last_generation: u64,
    last_id: u64,
}

impl Table {
    /// Whether some of `gfns` is being revoked.
    pub(super) fn is_revoked(&self, gfns: FrameRange<Gfn>) -> bool {
        self.revoking.iter().any(|&(_, range)| common(range, gfns).is_some())
    }

    /// Begins a revocation.
    ///
    /// # Errors
    /// [`Error::Retry`] if another one overlaps.
    pub(super) fn begin(&mut self, gfns: FrameRange<Gfn>) -> Result<Generation, Error> {
        if self.is_revoked(gfns) {
            return Err(Error::Retry);
        }
        self.last_generation += 1;
        let generation = Generation(self.last_generation);
        self.revoking.push((generation, gfns));
        Ok(generation)
    }

    /// Ends it.
    pub(super) fn end(&mut self, generation: Generation) {
        self.revoking.retain(|&(other, _)| other != generation);
    }

    /// A new mapping.
    pub(super) fn add(&mut self, gfns: FrameRange<Gfn>, kind: Kind, holder: Arc<dyn Holder>) -> Id {
        self.last_id += 1;
        let id = Id(self.last_id);
        self.records.push(Record { id, gfns, kind, stand: Stand::Held, holder });
        id
    }

    /// The mapping, unless it is gone.
    pub(super) fn find(&mut self, id: Id) -> Option<&mut Record> {
        self.records.iter_mut().find(|record| record.id == id)
    }

    /// A mapping is gone.
    pub(super) fn remove(&mut self, id: Id) {
        self.records.retain(|record| record.id != id);
    }

    /// The mappings that hold some of `gfns`.
    pub(super) fn holding(&self, gfns: FrameRange<Gfn>) -> impl Iterator<Item = &Record> {
        self.records.iter().filter(move |record| common(record.gfns, gfns).is_some())
    }
}
