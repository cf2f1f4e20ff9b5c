//! What went well and is not on record yet: neighbours with the same fate are recorded in one go.
//!
//! Between the platform's success and the record the pages are claimed, so nobody reads the record. A failure settles up
//! first: it works on what is on record.

use super::entry::{Entry, Facts};
use super::nodes::Nodes;
use super::{Env, File, FilePages};
use crate::platform::{Content, Op, Platform};
use tenure_abi::{PageSize, VmHandle, VmSlot};

/// What became of pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// They are the guest's, in entries of a size, and have these facts besides.
    Given { slot: VmSlot, hw: PageSize, facts: Facts },
    /// They are nobody's.
    Taken,
}

impl Fate {
    /// After `op` gave pages to `guest`.
    pub(super) fn given(guest: VmHandle, hw: PageSize, op: Op, content: Content) -> Self {
        let populated = if matches!(op, Op::Populate(_)) { Facts::POPULATED } else { Facts::empty() };
        let initialised = if content == Content::Leave { Facts::empty() } else { Facts::INITIALISED };
        Self::Given { slot: guest.slot(), hw, facts: populated | initialised }
    }

    /// The entry of one of the pages afterwards.
    pub(super) fn of(self, entry: Entry) -> Entry {
        match self {
            Self::Given { slot, hw, facts } => entry.assigned_to(slot, hw).with(facts),
            Self::Taken => entry.unassigned(),
        }
    }
}

/// Pages next to each other with the same fate.
#[derive(Default)]
pub(super) struct Ledger(Option<(FilePages, Fate)>);

impl<E: Env, P: Platform, N: Nodes, const BINDINGS: usize> File<'_, E, P, N, BINDINGS> {
    /// Enters the fate of claimed and prepared `pages`.
    pub(super) fn enter(&self, ledger: &mut Ledger, pages: FilePages, fate: Fate) {
        match &mut ledger.0 {
            Some((open, same)) if *same == fate && open.end() == pages.first => open.count += pages.count,
            _ => {
                self.settle_up(ledger);
                ledger.0 = Some((pages, fate));
            }
        }
    }

    /// Puts everything on record.
    pub(super) fn settle_up(&self, ledger: &mut Ledger) {
        if let Some((pages, fate)) = ledger.0.take() {
            self.note(pages, |entry| fate.of(entry));
        }
    }
}
