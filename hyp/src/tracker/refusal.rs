//! Why a claim was refused: the cold side, where precision matters and speed does not.
//!
//! Order: outside memory first (the whole range decides, as in pKVM's range check), then the first page in order.

use super::claim::{Refused, place};
use super::entry::{Entry, Identity, Kind};
use super::layout::{PAGE_MASK, Word};
use super::rules::{Effect, Row};
use super::{BlockSource, Tracker};
use crate::sync::AtomicU64;
use core::sync::atomic::Ordering::Relaxed;
use tenure_abi::{Error, FrameRange, Located, Pfn, QuarantineReason};

impl<B: BlockSource> Tracker<'_, B> {
    /// The refusal of a range that leaves the tracked span.
    #[cold]
    pub(super) fn refuse_untracked(&self, frames: FrameRange<Pfn>) -> Located<Error> {
        self.outside(frames).unwrap_or(Located::pfn(Error::NotMemory, frames.first()))
    }

    /// What is wrong with the range as such: `NotMemory` if no page of it is memory, `Invalid` at the first that is not if some are.
    fn outside(&self, frames: FrameRange<Pfn>) -> Option<Located<Error>> {
        let (first, end) = (frames.first().number(), frames.end());
        let mut covered = first;
        let mut any = false;
        for range in self.ram {
            if range.end() <= first || range.first().number() >= end {
                continue;
            }
            any = true;
            if range.first().number() <= covered {
                covered = covered.max(range.end());
            }
        }
        match any {
            false => Some(Located::pfn(Error::NotMemory, frames.first())),
            true if covered < end => Some(Located { error: Error::Invalid, at: place(covered) }),
            true => None,
        }
    }

    /// The error for `refused`, which `row` did not allow; its region `cell` is locked by the caller.
    #[cold]
    pub(super) fn refuse(
        &self,
        row: &Row,
        frames: FrameRange<Pfn>,
        identity: Identity,
        refused: &Refused,
        cell: &AtomicU64,
    ) -> Located<Error> {
        if let Some(outside) = self.outside(frames) {
            return outside;
        }
        let error = page_error(row, identity, refused.page - frames.first().number(), refused.entry);
        if error == Error::Internal {
            let reason = match row.effect {
                Effect::Replace { .. } => QuarantineReason::ReverseMap,
                Effect::Raise { .. } | Effect::Lower { .. } => QuarantineReason::Counter,
            };
            self.count_contradiction();
            self.quarantine(refused, cell, reason);
        }
        Located { error, at: place(refused.page) }
    }

    pub(crate) fn count_contradiction(&self) {
        self.contradictions.fetch_add(1, Relaxed);
    }

    /// Withdraws a page whose region the caller has locked. Without a block for the split only the count tells.
    fn quarantine(&self, refused: &Refused, cell: &AtomicU64, reason: QuarantineReason) {
        let Refused { page, entry: seen } = *refused;
        let word = Word(cell.load(Relaxed));
        let mixed = match word.is_mixed() {
            true => Some(word),
            false => self.region_number(page).and_then(|r| self.split(word, self.blocks.take(r, None)?, None)),
        };
        let entry = mixed.and_then(|word| Some((word, self.block_of(word)?.0.get((page & PAGE_MASK) as usize)?)));
        let Some((word, entry)) = entry else { return };
        entry.store(seen.quarantined(reason).bits(), Relaxed);
        let live = word.live() + u64::from(seen == Entry::HOST);
        cell.store(word.with_live(live).0, Relaxed);
    }
}

/// The error for a page with entry `entry`, `offset` pages into a range that `row` refused.
fn page_error(row: &Row, identity: Identity, offset: u64, entry: Entry) -> Error {
    let Some(kind) = entry.kind() else {
        return Error::Internal;
    };
    if kind == Kind::Quarantined {
        return Error::Quarantined;
    }
    let Effect::Replace { from, .. } = row.effect else {
        return row.counted(entry).err().unwrap_or(row.refuse);
    };
    let step = if from.names_guest() { Entry::GFN_STEP } else { 0 };
    let expected = Entry::from_bits(Entry::new(from, identity).bits().wrapping_add(step.wrapping_mul(offset)));
    if from.names_guest() && kind.names_guest() && !entry.same_identity(expected) {
        return row.mismatch;
    }
    // The right kind, but not exactly: somebody holds it.
    if kind == from { Error::Busy } else { row.refuse_kind(kind) }
}
