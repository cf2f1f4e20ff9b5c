//! The mappings that exist, the conversions under way, and who was asked to let go.

use super::{Generation, Holder, Kind, common};
use std::sync::Arc;
use std::vec::Vec;
use tenure_abi::{Error, FrameRange, Gfn};

/// Names a mapping; never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Id(u64);

/// One mapping.
pub(super) struct Record {
    pub(super) id: Id,
    pub(super) gfns: FrameRange<Gfn>,
    pub(super) kind: Kind,
    pub(super) holder: Arc<dyn Holder>,
}

/// A mapping that a revocation asked to let go. Two revocations of different parts of a mapping each have their own.
struct Asked {
    id: Id,
    generation: Generation,
    yielded: bool,
}

/// A holder and the frames it is told about.
pub(super) type Told = (Arc<dyn Holder>, FrameRange<Gfn>);

/// Mappings and conversions. Both are few: mappings are made per device and region, not per request.
#[derive(Default)]
pub(super) struct Table {
    records: Vec<Record>,
    asked: Vec<Asked>,
    converting: Vec<(Generation, FrameRange<Gfn>)>,
    last_generation: u64,
    last_id: u64,
}

impl Table {
    /// Whether some of `gfns` is being converted.
    pub(super) fn is_converting(&self, gfns: FrameRange<Gfn>) -> bool {
        self.converting.iter().any(|&(_, range)| common(range, gfns).is_some())
    }

    /// Begins a conversion.
    ///
    /// # Errors
    /// [`Error::Retry`] if another one overlaps.
    #[inline]
    pub(super) fn begin(&mut self, gfns: FrameRange<Gfn>) -> Result<Generation, Error> {
        if self.is_converting(gfns) {
            return Err(Error::Retry);
        }
        self.last_generation += 1;
        let generation = Generation(self.last_generation);
        self.converting.push((generation, gfns));
        Ok(generation)
    }

    /// Ends it.
    #[inline]
    pub(super) fn end(&mut self, generation: Generation) {
        self.converting.retain(|&(other, _)| other != generation);
    }

    /// A new mapping.
    pub(super) fn add(&mut self, gfns: FrameRange<Gfn>, kind: Kind, holder: Arc<dyn Holder>) -> Id {
        self.last_id += 1;
        let id = Id(self.last_id);
        self.records.push(Record { id, gfns, kind, holder });
        id
    }

    /// A mapping is gone.
    pub(super) fn remove(&mut self, id: Id) {
        self.records.retain(|record| record.id != id);
        self.asked.retain(|asked| asked.id != id);
    }

    /// Every mapping that holds some of `gfns` is asked to let go of it: who that is, and what they are told.
    #[inline]
    pub(super) fn ask(&mut self, gfns: FrameRange<Gfn>, generation: Generation) -> Vec<(Id, Told)> {
        if self.records.is_empty() {
            return Vec::new();
        }
        let held: Vec<_> = self.holding(gfns).map(|record| record.id).zip(self.told(gfns, |_| true)).collect();
        self.asked.extend(held.iter().map(|&(id, _)| Asked { id, generation, yielded: false }));
        held
    }

    /// A mapping answers that it has let go. False if nobody waits for that: it is gone, was not asked, has answered, or the
    /// revocation is over.
    pub(super) fn yielded(&mut self, id: Id, generation: Generation) -> bool {
        let waits = self.asked.iter_mut().find(|asked| asked.id == id && asked.generation == generation);
        waits.is_some_and(|asked| !core::mem::replace(&mut asked.yielded, true))
    }

    /// Whether a mapping was asked and has not answered.
    pub(super) fn owes(&self, id: Id, generation: Generation) -> bool {
        self.asked.iter().any(|asked| asked.id == id && asked.generation == generation && !asked.yielded)
    }

    /// Answers to this revocation count no longer.
    #[inline]
    pub(super) fn forget(&mut self, generation: Generation) {
        self.asked.retain(|asked| asked.generation != generation);
    }

    /// The mappings that hold some of `gfns`.
    #[inline]
    fn holding(&self, gfns: FrameRange<Gfn>) -> impl Iterator<Item = &Record> {
        self.records.iter().filter(move |record| common(record.gfns, gfns).is_some())
    }

    /// The first frame of `gfns` under a mapping that `which` picks.
    #[inline]
    pub(super) fn first(&self, gfns: FrameRange<Gfn>, which: impl Fn(&Record) -> bool) -> Option<Gfn> {
        self.told(gfns, which).map(|(_, range)| range.first()).min()
    }

    /// What holders of some of `gfns` that `which` picks are told.
    #[inline]
    pub(super) fn told(&self, gfns: FrameRange<Gfn>, which: impl Fn(&Record) -> bool) -> impl Iterator<Item = Told> {
        let picked = self.holding(gfns).filter(move |record| which(record));
        picked.filter_map(move |record| Some((Arc::clone(&record.holder), common(record.gfns, gfns)?)))
    }
}
