//! First use: where a page gets its frame, its first bytes and its place in the hardware, if it lacks them.
//!
//! For the guest that touches it and no other, and as much at once as one hardware entry may hold, up to 2 MiB.

use super::entry::{Entry, Facts};
use super::fault::Missing;
use super::nodes::Nodes;
use super::pieces::{Piece, Seen};
use super::{Binding, Env, File, FilePages, State, Tracking};
use crate::platform::{Content, Op, Phase, Platform, Rule};
use tenure_abi::{ContentMode, Error, PageSize, Pfn, Visibility};

impl<E: Env, P: Platform, N: Nodes, const BINDINGS: usize> File<'_, E, P, N, BINDINGS> {
    /// Gives `page` what it misses, for a host process or for the guest that `binding` shows it to as `what`. Whether it
    /// may be mapped then has to be asked again: it was not held all the time.
    ///
    /// # Errors
    /// [`Error::Retry`] while a call works on it, [`Error::NoMemory`], what the platform says.
    pub(super) fn first_use(
        &self,
        page: u64,
        what: Visibility,
        binding: Option<Binding>,
        missing: Missing,
    ) -> Result<(), Error> {
        let around = self.lock().around(page, self.options.largest);
        let claim = self.try_claim(around.filter(|_| binding.is_some()).unwrap_or(FilePages::one(page)))?;
        let state = self.lock();
        // It may have been converted, or bound elsewhere, before the claim.
        let moved = self.options.tracking == Tracking::File && state.store.get(&state.nodes, page) != what;
        if moved || binding.is_some_and(|binding| !state.bindings.contains(&binding)) {
            return Ok(());
        }
        let mut piece = state.piece(claim.pages());
        if piece.pages.common(FilePages::one(page)).is_none() {
            piece = state.piece(FilePages::one(page));
        }
        drop(state);
        // Somebody may have been faster.
        let done = match missing {
            Missing::Frame => piece.entry.is_some(),
            Missing::Content => piece.initialised(),
            Missing::Assignment => piece.assigned(),
        };
        if done || piece.poisoned() {
            return Ok(());
        }
        let guest = binding.filter(|_| what == Visibility::Private);
        match (missing, guest) {
            (Missing::Frame, _) => {
                let large = PageSize::Size2M;
                let whole = piece.pages.count == large.frames();
                let backed = whole.then(|| self.back(piece.pages.first, large)).is_some_and(|backed| backed.is_ok());
                if backed { Ok(()) } else { self.back(page, PageSize::Size4K) }
            }
            (Missing::Content, None) => self.zeroes(&piece),
            // Nobody zeroes what firmware overwrites: the platform is told what the guest may find.
            (Missing::Content, Some(binding)) => self.first_assignment(page, piece, &binding, Content::Zero),
            (Missing::Assignment, Some(binding)) => self.first_assignment(page, piece, &binding, self.kept()),
            (Missing::Assignment, None) => Err(Error::Internal),
        }
    }

    /// A frame behind `page`, holding anything.
    ///
    /// # Errors
    /// [`Error::NoMemory`]: nothing changed.
    pub(super) fn back(&self, page: u64, size: PageSize) -> Result<(), Error> {
        let pfn: Pfn = self.env.page(size).ok_or(Error::NoMemory)?;
        let mut state = self.lock();
        let State { nodes, index, .. } = &mut *state;
        let filled = index.fill(nodes, page, size, Entry::backed(pfn));
        drop(state);
        filled.inspect_err(|_| self.env.give_back(pfn, size))
    }

    /// Zeroes for everybody.
    fn zeroes(&self, piece: &Piece) -> Result<(), Error> {
        let frames = piece.frames().ok_or(Error::Internal)?;
        self.lock().prepare(piece.pages)?;
        self.env.zero(frames);
        self.note(piece.pages, |entry| entry.with(Facts::INITIALISED));
        Ok(())
    }

    /// The hardware learns whose the piece is.
    fn first_assignment(&self, page: u64, piece: Piece, binding: &Binding, content: Content) -> Result<(), Error> {
        let (piece, seen) = match piece.guest {
            Some(seen) if seen.guest == binding.guest => (piece, seen),
            // Several guests see it: it goes to the one that touches it, and no further than that.
            _ => {
                let piece = self.lock().piece(FilePages::one(page));
                let gfn = binding.gfns.first().checked_add(page - binding.first).ok_or(Error::Internal)?;
                (piece, Seen { guest: binding.guest, gfn, phase: binding.phase, departed: false })
            }
        };
        let run = seen.run(&piece).ok_or(Error::Internal)?;
        self.platform.reserve(seen.guest, run, Op::FirstUse).map_err(|fault| fault.kind)?;
        self.lock().prepare(piece.pages)?;
        let assigned = self.assign(piece, seen, Op::FirstUse, content).map_err(|fault| fault.kind);
        // A neighbour that the platform refused is not this guest's concern.
        if self.lock().piece(FilePages::one(page)).assigned() { Ok(()) } else { assigned }
    }

    /// What becomes of bytes that are there when a page is assigned. Which mode it was converted with is not on record: they
    /// are kept where that can be had.
    pub(super) fn kept(&self) -> Content {
        let rules = &self.platform.capabilities().content;
        match rules.rule(Phase::Running, Visibility::Private, ContentMode::Preserve) {
            Rule::Refused => Content::Leave,
            Rule::Free | Rule::PerPage => Content::InPlace,
        }
    }
}

impl<N: Nodes, const BINDINGS: usize> State<N, BINDINGS> {
    /// The 2 MiB around `page` if they are alike: one frame of that size, or nothing yet where so large a frame may come.
    fn around(&self, page: u64, largest: PageSize) -> Option<FilePages> {
        let size = PageSize::Size2M.frames();
        let whole = FilePages { first: page / size * size, count: size };
        let large = match self.index.get(&self.nodes, page) {
            Some((_, backing)) => backing >= PageSize::Size2M,
            None => largest >= PageSize::Size2M,
        };
        let alike = large && whole.end() <= self.store.pages() && self.piece(whole).pages == whole;
        (alike && !self.claims.touch(whole)).then_some(whole)
    }
}
