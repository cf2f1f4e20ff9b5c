//! What went well and is not on record yet: neighbours with the same fate are recorded in one go.
//!
//! Between the platform's success and the record the pages are claimed, so nobody reads the record. A failure settles up
//! first: it works on what is on record.

use super::entry::{Entry, Facts};
use super::nodes::Nodes;
use super::{Env, File, FilePages};
use crate::platform::{Content, Op, Platform};
use tenure_abi::{PageSize, VmHandle};

/// What became of pages: whose they are, and the facts they have besides, as an entry of no particular frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fate(Entry);

impl Fate {
    /// After `op` gave pages to `guest`, in entries of size `hw`.
    #[inline]
    pub(super) fn given(guest: VmHandle, hw: PageSize, op: Op, content: Content) -> Self {
        let populated = if matches!(op, Op::Populate(_)) { Facts::POPULATED } else { Facts::empty() };
        let initialised = if content == Content::Leave { Facts::empty() } else { Facts::INITIALISED };
        Self(Entry::NOWHERE.assigned_to(guest.slot(), hw).with(populated | initialised))
    }

    /// They are nobody's.
    pub(super) const TAKEN: Self = Self(Entry::NOWHERE);

    /// The entry of one of the pages afterwards.
    #[inline]
    pub(super) const fn of(self, entry: Entry) -> Entry {
        entry.assigned_like(self.0)
    }
}

/// Pages next to each other with the same fate; none at first.
pub(super) struct Ledger {
    first: u64,
    end: u64,
    fate: Fate,
}

impl Ledger {
    /// Nothing is entered.
    pub(super) const EMPTY: Self = Self { first: 0, end: 0, fate: Fate::TAKEN };
}

impl<E: Env, P: Platform, N: Nodes, const BINDINGS: usize> File<'_, E, P, N, BINDINGS> {
    /// Enters the fate of claimed and prepared `pages`.
    #[inline]
    pub(super) fn enter(&self, ledger: &mut Ledger, pages: FilePages, fate: Fate) {
        if ledger.fate != fate || ledger.end != pages.first {
            self.settle_up(ledger);
            (ledger.first, ledger.fate) = (pages.first, fate);
        }
        ledger.end = pages.end();
    }

    /// Puts everything on record.
    #[inline(never)]
    pub(super) fn settle_up(&self, ledger: &mut Ledger) {
        if let Some(pages) = FilePages::between(ledger.first, ledger.end) {
            let fate = ledger.fate;
            self.note(pages, |entry| fate.of(entry));
        }
        ledger.first = ledger.end;
    }
}
