//! A range cut into pieces within which all facts are the same: what a call works through.

use super::entry::{Entry, Facts};
use super::nodes::Nodes;
use super::{Binding, Env, File, FilePages, State};
use crate::platform::{Phase, Platform};
use tenure_abi::{AddressWidth, Error, FrameRange, Gfn, Pfn, Visibility, VmHandle, VmSlot};

/// How many pieces are looked up under one holding of the lock.
const BATCH: usize = 32;

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

impl Seen {
    /// The same `pages` further on.
    fn ahead(self, pages: u64) -> Option<Self> {
        Some(Self { gfn: self.gfn.checked_add(pages)?, ..self })
    }
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

impl<N: Nodes, const BINDINGS: usize> State<N, BINDINGS> {
    /// The first pieces of `pages`, as many as `batch` has room for; the page after the last of them.
    fn pieces(&self, pages: FilePages, batch: &mut heapless::Vec<Piece, BATCH>) -> u64 {
        let mut reached = pages.first;
        // What was looked up last, and where it ends: most pieces of a batch share it.
        let (mut visibility, mut alike) = (Visibility::Shared, pages.first);
        let (mut seen, mut seen_from, mut seen_to, mut seen_as) = (None, 0, 0, None);
        self.index.runs(&self.nodes, pages.first, pages.count, |first, entry, count| {
            let (mut page, end) = (first, first + count);
            while page < end {
                if batch.is_full() {
                    return false;
                }
                if page >= alike {
                    let (is, count) = self.store.run(&self.nodes, page);
                    (visibility, alike) = (is, page + count);
                }
                let owner = entry.and_then(Entry::owner);
                if page >= seen_to || owner != seen_as {
                    let (guest, count) = self.seen(FilePages { first: page, count: pages.end() - page }, owner);
                    (seen, seen_from, seen_to, seen_as) = (guest, page, page + count.max(1), owner);
                }
                let stop = end.min(alike).min(seen_to);
                let guest = seen.and_then(|seen: Seen| seen.ahead(page - seen_from));
                let entry = entry.map(|entry| entry.further(page - first));
                let _ = batch.push(Piece {
                    pages: FilePages { first: page, count: stop - page },
                    visibility,
                    entry,
                    guest,
                });
                (page, reached) = (stop, stop);
            }
            true
        });
        reached
    }
}

impl<E: Env, P: Platform, N: Nodes, const BINDINGS: usize> File<'_, E, P, N, BINDINGS> {
    /// Makes the index fine enough that every piece of claimed `pages` can be changed alone: bindings and visibility can
    /// cut a large frame.
    ///
    /// # Errors
    /// [`Error::NoMemory`]: nothing changed.
    pub(super) fn prepare_pieces(&self, pages: FilePages) -> Result<(), Error> {
        let mut page = pages.first;
        while let Some(rest) = FilePages::between(page, pages.end()) {
            let state = self.lock();
            let Some((first, size)) = state.index.next_large(&state.nodes, rest.first, rest.count) else { break };
            drop(state);
            let large = FilePages { first, count: size.frames() };
            if let Some(large) = large.common(pages) {
                self.each_piece(large, |piece| self.lock().prepare(piece.pages))?;
            }
            page = large.end();
        }
        Ok(())
    }

    /// Calls `each` with the pieces of `pages`, in order, some at a time and without the lock.
    ///
    /// # Errors
    /// The first that `each` returns.
    pub(super) fn each_pieces<R>(
        &self,
        pages: FilePages,
        mut each: impl FnMut(&[Piece]) -> Result<(), R>,
    ) -> Result<(), R> {
        let mut left = Some(pages);
        while let Some(rest) = left {
            let mut batch: heapless::Vec<Piece, BATCH> = heapless::Vec::new();
            let end = self.lock().pieces(rest, &mut batch);
            each(&batch)?;
            left = FilePages::between(end, rest.end());
        }
        Ok(())
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
        self.each_pieces(pages, |pieces| pieces.iter().copied().try_for_each(&mut each))
    }
}
