//! A range cut into pieces within which all facts are the same: what a call works through.

use super::entry::{Entry, Facts};
use super::nodes::Nodes;
use super::{Binding, Env, File, FilePages, State};
use crate::platform::{Phase, Platform};
use tenure_abi::{AddressWidth, Error, FrameRange, Gfn, Pfn, Visibility, VmHandle, VmSlot};

/// How many pieces are looked up under one holding of the lock.
const BATCH: usize = 16;

/// Pages with the same facts, on consecutive frames, bound to the same guest at consecutive addresses.
#[derive(Clone, Copy, Debug)]
pub(super) struct Piece {
    pub(super) pages: FilePages,
    pub(super) visibility: Visibility,
    /// The facts of the first page; `None` if nothing backs the piece.
    pub(super) entry: Option<Entry>,
    /// The one guest bound there; `None` if there is none, or more than one.
    pub(super) guest: Option<Seen>,
}

/// Where a guest sees the first page of a piece.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    pub(super) guest: VmHandle,
    pub(super) gfn: Gfn,
    pub(super) phase: Phase,
    /// The guest sees it no more, and the hardware holds it still.
    pub(super) departed: bool,
}

impl Piece {
    /// The frames behind it.
    pub(super) fn frames(&self) -> Option<FrameRange<Pfn>> {
        FrameRange::new(self.entry?.pfn(), self.pages.count, AddressWidth::MAX).ok()
    }

    /// Whether the hardware knows it as the guest's.
    pub(super) fn assigned(&self) -> bool {
        self.entry.is_some_and(|entry| entry.has(Facts::ASSIGNED))
    }

    /// Whether a memory error was reported for it.
    pub(super) fn poisoned(&self) -> bool {
        self.entry.is_some_and(|entry| entry.has(Facts::POISONED))
    }

    /// Whether its bytes can be worked on: they are there, and the memory is sound.
    pub(super) fn workable(&self) -> bool {
        self.initialised() && !self.poisoned()
    }

    /// Whether its first bytes are there.
    pub(super) fn initialised(&self) -> bool {
        self.entry.is_some_and(|entry| entry.has(Facts::INITIALISED))
    }
}

impl<N: Nodes, const BINDINGS: usize> State<N, BINDINGS> {
    /// The longest piece from the first page of `pages` on.
    pub(super) fn piece(&self, pages: FilePages) -> Piece {
        let (visibility, alike) = self.store.run(&self.nodes, pages.first);
        let (entry, backed) = self.index.run(&self.nodes, pages.first, pages.count);
        let (guest, bound) = self.seen(pages, entry.and_then(Entry::owner));
        let count = alike.min(backed).min(bound).min(pages.count).max(1);
        Piece { pages: FilePages { first: pages.first, count }, visibility, entry, guest }
    }

    /// Who sees the first page, and for how many pages that stays so, over as many bindings as continue each other. Of
    /// several guests, the one that the hardware knows it as.
    fn seen(&self, pages: FilePages, owner: Option<VmSlot>) -> (Option<Seen>, u64) {
        let page = FilePages::one(pages.first);
        let counts = |binding: &&Binding| owner.map_or(binding.live(), |owner| binding.guest.slot() == owner);
        let mut here = self.bindings.iter().filter(counts).filter(|binding| binding.pages().overlaps(page));
        let (found, another) = (here.next(), here.next());
        let mut chain = found.map_or(pages.first, |binding| binding.pages().end());
        let mut end = pages.end();
        for binding in self.bindings.iter().filter(counts) {
            let bound = binding.pages();
            if found.is_some_and(|found| found.agrees(binding)) {
                if bound.first <= chain {
                    chain = chain.max(bound.end());
                }
            } else if bound.overlaps(page) {
                end = end.min(bound.end());
            } else if bound.first > pages.first {
                end = end.min(bound.first);
            }
        }
        if let Some(found) = found {
            end = end.min(chain);
            let gfn = found.gfns.first().checked_add(pages.first - found.first);
            let sure = another.is_none() || owner.is_some();
            let seen = gfn.map(|gfn| Seen { guest: found.guest, gfn, phase: found.phase, departed: !found.live() });
            (seen.filter(|_| sure), end - pages.first)
        } else {
            (None, end - pages.first)
        }
    }
}

impl<E: Env, P: Platform, N: Nodes, const BINDINGS: usize> File<'_, E, P, N, BINDINGS> {
    /// Makes the index fine enough that every piece of claimed `pages` can be changed alone: bindings and visibility can
    /// cut a large frame.
    ///
    /// # Errors
    /// [`Error::NoMemory`]: nothing changed.
    pub(super) fn prepare_pieces(&self, pages: FilePages) -> Result<(), Error> {
        self.each_piece(pages, |piece| match piece.entry {
            None => Ok(()),
            Some(_) => self.lock().prepare(piece.pages),
        })
    }

    /// Calls `each` with every piece of `pages`, in order and without the lock.
    ///
    /// # Errors
    /// The first that `each` returns.
    pub(super) fn each_piece<R>(
        &self,
        pages: FilePages,
        mut each: impl FnMut(Piece) -> Result<(), R>,
    ) -> Result<(), R> {
        let mut left = Some(pages);
        while left.is_some() {
            let mut batch: heapless::Vec<Piece, BATCH> = heapless::Vec::new();
            let state = self.lock();
            while let Some(rest) = left.filter(|_| !batch.is_full()) {
                let piece = state.piece(rest);
                left = FilePages::between(piece.pages.end(), rest.end());
                let _ = batch.push(piece);
            }
            drop(state);
            batch.into_iter().try_for_each(&mut each)?;
        }
        Ok(())
    }
}
