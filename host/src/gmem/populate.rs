//! A guest's first pages, while it is being built, and the end of building.

use super::entry::Facts;
use super::nodes::Nodes;
use super::pieces::{Piece, Seen};
use super::{Env, File, FilePages, Tracking};
use crate::platform::{Content, Op, PageType, Phase, Platform};
use tenure_abi::{Error, FrameRange, Gfn, PageSize, Pfn, Visibility, VmHandle};

/// Where the first bytes come from. Staged before the call: nothing is read from a process under a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source<'a> {
    /// Zeroes.
    Zero,
    /// What the host wrote into the pages while they were shared; zeroes where it never touched them.
    InPlace,
    /// Copies of these frames, one a page.
    Frames(&'a [Pfn]),
}

/// A call over many pages that ended early. What it did stays done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stopped {
    /// Pages finished.
    pub done: u64,
    /// Why the next was not.
    pub error: Error,
    /// The firmware's own code; 0 where there is none.
    pub raw: u64,
}

impl Stopped {
    /// After `done` pages, for `error`.
    pub(super) const fn after(done: u64, error: Error) -> Self {
        Self { done, error, raw: 0 }
    }
}

impl<E: Env, P: Platform, N: Nodes, const BINDINGS: usize> File<'_, E, P, N, BINDINGS> {
    /// Gives private pages of a guest that is being built their first bytes and assigns them, each once in its life.
    ///
    /// # Errors
    /// The pages before it are populated, the one it stopped at is as before. [`Error::Invalid`] for a guest that is
    /// finished, too few frames, or a shared page; [`Error::NotFound`] where the guest does not see the file;
    /// [`Error::Exists`] for a page that is populated or, unless [`Source::InPlace`], has bytes already; [`Error::NoMemory`];
    /// [`Error::Poisoned`]; [`Error::Retry`] while others work there; what the platform says.
    pub fn populate(
        &self,
        guest: VmHandle,
        gfns: FrameRange<Gfn>,
        kind: PageType,
        source: Source<'_>,
    ) -> Result<(), Stopped> {
        if matches!(source, Source::Frames(frames) if (frames.len() as u64) < gfns.count()) {
            return Err(Stopped::after(0, Error::Invalid));
        }
        for done in 0..gfns.count() {
            let next = gfns.first().checked_add(done).ok_or(Error::Invalid);
            let one = next.map_err(|error| Stopped { done, error, raw: 0 });
            self.populate_page(guest, one?, kind, content(source, done))
                .map_err(|stopped| Stopped { done, ..stopped })?;
        }
        Ok(())
    }

    fn populate_page(&self, guest: VmHandle, gfn: Gfn, kind: PageType, content: Content) -> Result<(), Stopped> {
        let refused = |error| Stopped::after(0, error);
        let state = self.lock();
        let binding = state.binding(guest, gfn).ok_or(refused(Error::NotFound))?;
        drop(state);
        if binding.phase != Phase::Building {
            return Err(refused(Error::Invalid));
        }
        let page = binding.page(gfn).ok_or(refused(Error::NotFound))?;
        let claim = self.claim(FilePages::one(page)).map_err(refused)?;
        let state = self.lock();
        if state.binding(guest, gfn) != Some(binding) {
            return Err(refused(Error::Retry));
        }
        let piece = state.piece(FilePages::one(page));
        drop(state);
        self.may_populate(&piece, content).map_err(refused)?;
        if piece.entry.is_none() {
            self.back(page, PageSize::Size4K).map_err(refused)?;
        }
        self.lock().prepare(claim.pages()).map_err(refused)?;
        let seen = Seen { guest, gfn, phase: Phase::Building, departed: false };
        let piece = self.lock().piece(FilePages::one(page));
        if let Some(frames) = piece.frames().filter(|_| content == Content::InPlace && !piece.initialised()) {
            // Nobody may learn what the frame held before.
            self.env.zero(frames);
        }
        let run = seen.run(&piece).ok_or(refused(Error::Internal))?;
        let op = Op::Populate(kind);
        self.platform.reserve(guest, run, op).map_err(|fault| Stopped {
            done: 0,
            error: fault.kind,
            raw: fault.raw,
        })?;
        self.assign(piece, seen, op, content).map_err(|fault| Stopped { done: 0, error: fault.kind, raw: fault.raw })
    }

    /// Whether another guest that is being built sees one of `pages`: what it mapped is for its own end of building to tell.
    fn built_elsewhere(&self, guest: VmHandle, pages: FilePages) -> bool {
        let building = |old: &super::Binding| old.live() && old.phase == Phase::Building && old.guest != guest;
        self.lock().bindings.iter().any(|old| building(old) && old.pages().overlaps(pages))
    }

    /// Whether the page waits for its first bytes.
    fn may_populate(&self, piece: &Piece, content: Content) -> Result<(), Error> {
        if self.options.tracking == Tracking::File && piece.visibility == Visibility::Shared {
            return Err(Error::Invalid);
        }
        let Some(entry) = piece.entry else { return Ok(()) };
        if entry.has(Facts::POISONED) {
            return Err(Error::Poisoned);
        }
        let given = entry.has(Facts::POPULATED) || entry.has(Facts::ASSIGNED);
        if given || entry.has(Facts::INITIALISED) && content != Content::InPlace {
            return Err(Error::Exists);
        }
        Ok(())
    }

    /// The guest is measured and may run: from now on pages are assigned as it uses them.
    ///
    /// `forgotten` is told every stretch of guest frames that was mapped and never populated: no firmware has measured it.
    /// Its mappings are removed, and the guest finds zeroes there.
    ///
    /// # Errors
    /// [`Error::Retry`] while others work on the guest's pages, [`Error::NoMemory`] if there is no node to tell pages of a large
    /// frame apart. Call it again: bindings that are done are not told twice.
    pub fn finish(&self, guest: VmHandle, mut forgotten: impl FnMut(FrameRange<Gfn>)) -> Result<(), Error> {
        loop {
            let building = |old: &super::Binding| old.live() && old.guest == guest && old.phase == Phase::Building;
            let Some(binding) = self.lock().bindings.iter().copied().find(building) else { return Ok(()) };
            let claim = self.claim(binding.pages())?;
            self.prepare_pieces(binding.pages())?;
            let _: Result<(), ()> = self.each_piece(binding.pages(), |piece| {
                let Some(entry) = piece.entry else { return Ok(()) };
                let mapped = entry.has(Facts::MAPPED);
                let private = piece.visibility == Visibility::Private || self.options.tracking == Tracking::Guest;
                let gfn = binding.gfns.first().checked_add(piece.pages.first - binding.first);
                let gfns = gfn.and_then(|gfn| super::fault::gfns(gfn, piece.pages.count).ok());
                let own = entry.owner() == Some(guest.slot());
                if let Some(gfns) = gfns.filter(|_| private && !own) {
                    if mapped && !entry.has(Facts::POPULATED) {
                        forgotten(gfns);
                    }
                    self.env.zap_guest(guest, gfns);
                }
                let unmeasured = private && !entry.has(Facts::ASSIGNED) && !entry.has(Facts::POPULATED);
                let mut gone = Facts::empty();
                gone.set(Facts::INITIALISED, unmeasured);
                gone.set(Facts::MAPPED, !self.built_elsewhere(guest, piece.pages));
                if mapped {
                    self.note(piece.pages, |entry| entry.without(gone));
                }
                Ok(())
            });
            self.env.flush_guests();
            let mut state = self.lock();
            let same = |old: &&mut super::Binding| **old == binding || !old.live() && old.guest == guest;
            state.bindings.iter_mut().filter(same).for_each(|old| old.phase = Phase::Running);
            drop(state);
            drop(claim);
        }
    }
}

/// The first bytes of page number `done`, as the platform is told.
fn content(source: Source<'_>, done: u64) -> Content {
    match source {
        Source::Zero => Content::Zero,
        Source::InPlace => Content::InPlace,
        Source::Frames(frames) => {
            let frame = usize::try_from(done).ok().and_then(|done| frames.get(done));
            frame.map_or(Content::Zero, |&pfn| Content::From(pfn))
        }
    }
}
