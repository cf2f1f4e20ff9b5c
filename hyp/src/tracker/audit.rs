//! The audit: the tracker's records checked against their own rules, a bounded piece at a time.

use super::entry::{Entry, Kind};
use super::layout::{CHUNK_PAGES, REGION_PAGES, Word};
use super::{BlockSource, Tracker};
use core::sync::atomic::Ordering::Relaxed;
use tenure_abi::{AddressWidth, Pfn};

/// What an audit found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Audit {
    /// Where to go on; `None`: the end was reached.
    pub next: Option<Pfn>,
    /// Pages looked at.
    pub pages: u64,
    /// Pages by kind, at the place of the kind's value; I9: their sum is `pages`.
    pub kinds: [u64; Kind::ALL.len()],
    /// Regions that were in work and so not looked at.
    pub busy: u64,
    /// Records that break a rule, and the first page concerned.
    pub faults: u64,
    /// The first page of the first region at fault.
    pub first_fault: Option<Pfn>,
}

impl<B: BlockSource> Tracker<'_, B> {
    /// Checks the regions from `cursor` on until at least `budget` pages were looked at.
    ///
    /// Each region is locked while it is read, so the audit may run beside everything else. It checks that every entry is
    /// one that the format allows, that guest frames fit the reverse map, that a mixed region has a block and its live
    /// count is right.
    pub fn audit(&self, cursor: Pfn, budget: u64) -> Audit {
        let mut audit = Audit::default();
        let span = self.directory.len() as u64 * CHUNK_PAGES;
        let mut at = cursor.number() / REGION_PAGES * REGION_PAGES;
        while at < span {
            if audit.pages >= budget {
                audit.next = Pfn::new(at).ok();
                break;
            }
            self.audit_region(at, &mut audit);
            at += REGION_PAGES;
        }
        audit
    }

    fn audit_region(&self, at: u64, audit: &mut Audit) {
        let Some(cell) = self.cell(at) else { return };
        let Ok(word) = cell.lock() else {
            audit.busy += 1;
            return;
        };
        let sound = self.region_is_sound(word, audit);
        cell.unlock();
        audit.pages += REGION_PAGES;
        if !sound {
            audit.faults += 1;
            audit.first_fault = audit.first_fault.or(Pfn::new(at).ok());
        }
    }

    fn region_is_sound(&self, word: Word, audit: &mut Audit) -> bool {
        let mut count = |entry: Entry, pages: u64| match entry.kind() {
            Some(kind) => {
                if let Some(n) = audit.kinds.get_mut(kind as usize) {
                    *n += pages;
                }
                entry.is_well_formed() && fits_guest_width(entry, pages)
            }
            None => false,
        };
        if !word.is_mixed() {
            return count(word.entry(), REGION_PAGES);
        }
        let Some(block) = self.block_of(word) else {
            return false;
        };
        let mut live = 0;
        let mut sound = true;
        for cell in &block.0 {
            let entry = Entry::from_bits(cell.load(Relaxed));
            live += u64::from(entry != Entry::HOST);
            sound &= count(entry, 1);
        }
        sound && live == word.live() && live != 0
    }

    /// Gives back the blocks of regions in `first..first + pages` whose pages have become alike.
    ///
    /// Returns how many were given back. Regions at work are left alone.
    pub fn compact(&self, first: Pfn, pages: u64) -> u64 {
        let mut given = 0;
        let mut at = first.number() / REGION_PAGES * REGION_PAGES;
        while at < first.number().saturating_add(pages) {
            given += u64::from(self.compact_region(at));
            at += REGION_PAGES;
        }
        given
    }

    fn compact_region(&self, at: u64) -> bool {
        let Some(cell) = self.cell(at) else { return false };
        let Ok(word) = cell.lock() else { return false };
        let first = self.entry_under_lock(word, at);
        let alike = word.is_mixed()
            && self.block_of(word).is_some_and(|block| {
                let expected = Word::uniform(first, false);
                block.0.iter().enumerate().all(|(i, e)| e.load(Relaxed) == expected.entry_at(i as u64).bits())
            });
        if alike {
            cell.publish(Word::uniform(first, word.hw_4k()));
        }
        cell.unlock();
        if alike {
            self.blocks.give_back(word.block(), word.payer());
        }
        alike
    }
}

/// Whether `pages` gfns from the entry's stay in its field: past it they would count up in the pins.
fn fits_guest_width(entry: Entry, pages: u64) -> bool {
    entry.guest().is_none_or(|(_, gfn)| gfn.number() + pages <= AddressWidth::GUEST_MAX.frames())
}
