//! A range cut into pieces within which all facts are the same: what a call works through.

use super::entry::{Entry, Facts};
use super::index::Run;
use super::nodes::Nodes;
use super::{Binding, Env, File, FilePages, State};
use crate::platform::{Phase, Platform};
use tenure_abi::{AddressWidth, Error, FrameRange, Gfn, Pfn, Visibility, VmHandle, VmSlot};

/// How many runs are looked up under one holding of the lock: 1 KiB of the stack, and a bit of a word for each.
const BATCH: usize = u64::BITS as usize;

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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) guest: VmHandle,
    pub(super) gfn: Gfn,
    pub(super) phase: Phase,
    /// The guest sees it no more, and the hardware holds it still.
    pub(super) departed: bool,
}

impl Seen {
    /// The same `pages` further on.
    #[inline]
    fn ahead(self, pages: u64) -> Option<Self> {
        Some(Self { gfn: self.gfn.checked_add(pages)?, ..self })
    }
}

impl Piece {
    /// The frames behind it.
    #[inline]
    pub(super) fn frames(&self) -> Option<FrameRange<Pfn>> {
        FrameRange::new(self.entry?.pfn(), self.pages.count, AddressWidth::MAX).ok()
    }

    /// Whether the hardware knows it as the guest's.
    #[inline]
    pub(super) fn assigned(&self) -> bool {
        self.entry.is_some_and(|entry| entry.has(Facts::ASSIGNED))
    }

    /// Whether a memory error was reported for it.
    #[inline]
    pub(super) fn poisoned(&self) -> bool {
        self.entry.is_some_and(|entry| entry.has(Facts::POISONED))
    }

    /// Whether its bytes can be worked on: they are there, and the memory is sound.
    #[inline]
    pub(super) fn workable(&self) -> bool {
        self.initialised() && !self.poisoned()
    }

    /// Whether its first bytes are there.
    #[inline]
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

/// Runs of pages that the same guest sees at consecutive addresses.
type Runs = heapless::Vec<Run, BATCH>;

impl<N: Nodes, const BINDINGS: usize> State<N, BINDINGS> {
    /// Puts the first runs of `pages` into `runs`, as many as there is room for. The guest at the first page, and a bit for every
    /// run: its pages are shared.
    fn runs(&self, pages: FilePages, runs: &mut Runs) -> (Option<Seen>, u64) {
        let (mut first_guest, mut all_shared) = (None, 0);
        let mut left = Some(pages);
        while let Some(rest) = left.filter(|_| !runs.is_full()) {
            let owner = self.index.get(&self.nodes, rest.first).and_then(|(entry, _)| entry.owner());
            let (guest, bound) = self.seen(rest, owner);
            let before = runs.len();
            if before == 0 {
                first_guest = guest;
            } else if guest != first_guest.and_then(|seen| seen.ahead(rest.first - pages.first)) {
                break;
            }
            let (visibility, alike) = self.store.run_within(&self.nodes, rest.first, rest.end());
            let count = alike.min(bound).min(rest.count).max(1);
            self.index.runs(&self.nodes, rest.first, count, runs);
            let from_here = u64::MAX << before;
            all_shared =
                if visibility == Visibility::Shared { all_shared | from_here } else { all_shared & !from_here };
            // There are no runs past the end of the file.
            let reached = runs.get(before..).and_then(<[Run]>::last).map_or(rest.end(), |run| run.end);
            left = FilePages::between(reached, rest.end());
        }
        (first_guest, all_shared)
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

    /// Calls `each` with every piece of `pages`, in order and without the lock.
    ///
    /// # Errors
    /// The first that `each` returns.
    #[inline]
    pub(super) fn each_piece<R>(
        &self,
        pages: FilePages,
        mut each: impl FnMut(Piece) -> Result<(), R>,
    ) -> Result<(), R> {
        let mut left = Some(pages);
        while let Some(rest) = left {
            let mut runs = Runs::new();
            let (guest, mut shared) = self.lock().runs(rest, &mut runs);
            let mut first = rest.first;
            for run in &runs {
                let visibility = if shared & 1 != 0 { Visibility::Shared } else { Visibility::Private };
                shared >>= 1;
                let guest = guest.and_then(|seen| seen.ahead(first - rest.first));
                let pages = FilePages { first, count: run.end - first };
                each(Piece { pages, visibility, entry: run.entry(), guest })?;
                first = run.end;
            }
            // There are no runs past the end of the file.
            left = FilePages::between(first, rest.end()).filter(|_| !runs.is_empty());
        }
        Ok(())
    }
}
