//! Faults: a host process or a guest touches a page, perhaps for the first time.
//!
//! First use is where a page gets its frame, its first bytes and its place in the hardware, if it has none of them: one
//! at a time, for the guest that touches it and no other. The mapping is installed by the caller's closure under the
//! file's lock, after everything was checked: a conversion that claims the page later removes it, one that claimed it before makes
//! the fault retry.

use super::entry::{Entry, Facts};
use super::mapping::Mapping;
use super::nodes::Nodes;
use super::pieces::Piece;
use super::{Binding, Env, File, FilePages, State, Tracking};
use crate::platform::{Phase, Platform};
use tenure_abi::{AddressWidth, Error, FrameRange, Gfn, PAGE_SHIFT, PageSize, Visibility, VmHandle};

/// What a guest's access claims to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// To private memory.
    Private,
    /// To shared memory.
    Shared,
    /// The hardware does not tell: it is what the page is.
    Untold,
}

/// Why a page cannot be mapped at once.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Missing {
    /// It has no frame.
    Frame,
    /// Its first bytes are not there.
    Content,
    /// The hardware does not know it as the guest's.
    Assignment,
}

impl<E: Env, P: Platform, N: Nodes, const BINDINGS: usize> File<'_, E, P, N, BINDINGS> {
    /// A host process touches the page at byte `offset`; `install` maps it, under the file's lock.
    ///
    /// # Errors
    /// [`Error::Fault`] beyond the end, [`Error::Denied`] for a private page, [`Error::Retry`] while a call works on it,
    /// [`Error::Poisoned`] after a memory error, [`Error::NoMemory`].
    pub fn host_fault<R>(&self, offset: u64, install: impl FnOnce(Mapping) -> R) -> Result<R, Error> {
        let page = offset >> PAGE_SHIFT;
        if page >= self.pages {
            return Err(Error::Fault);
        }
        loop {
            let state = self.lock();
            let piece = state.untouched(page)?;
            if piece.visibility == Visibility::Private {
                return Err(Error::Denied);
            }
            let missing = match ready(&piece, Needs::Content) {
                Ok(entry) => return Ok(install(state.mapping(&piece, entry, None, PageSize::Size1G))),
                Err(missing) => missing,
            };
            drop(state);
            self.first_use(page, Visibility::Shared, None, missing)?;
        }
    }

    /// `guest` touches `gfn`; `install` maps it, under the file's lock. `largest` is the caller's own bound, for instance
    /// 4 KiB while it logs dirty pages: it bounds the mapping and leaves the hardware's entry as it is.
    ///
    /// # Errors
    /// [`Error::NotFound`] if no binding of the guest shows the file there, [`Error::Denied`] if the access is private and the page
    /// is not or the reverse (the guest exits with a memory fault), [`Error::Retry`] while a call works on the page,
    /// [`Error::Poisoned`] after a memory error, [`Error::NoMemory`], and what the platform says to an assignment.
    pub fn guest_fault<R>(
        &self,
        guest: VmHandle,
        gfn: Gfn,
        access: Access,
        largest: PageSize,
        install: impl FnOnce(Mapping) -> R,
    ) -> Result<R, Error> {
        loop {
            let mut state = self.lock();
            let binding = state.binding(guest, gfn).ok_or(Error::NotFound)?;
            let page = binding.page(gfn).ok_or(Error::NotFound)?;
            let mut piece = state.untouched(page)?;
            let private = match (self.options.tracking, access) {
                (_, Access::Untold) => piece.visibility == Visibility::Private,
                // What the host may map never becomes the guest's alone.
                (Tracking::Guest, told) => told == Access::Private && piece.visibility == Visibility::Private,
                (Tracking::File, told) => {
                    let private = piece.visibility == Visibility::Private;
                    if private != (told == Access::Private) {
                        return Err(Error::Denied);
                    }
                    private
                }
            };
            if piece.assigned() && piece.guest.is_none_or(|seen| seen.guest != guest) && private {
                // The hardware holds it for another guest that is bound to the same page.
                return Err(Error::Denied);
            }
            piece.visibility = if private { Visibility::Private } else { Visibility::Shared };
            let needs = match (private, binding.phase) {
                (true, Phase::Building) => Needs::Frame,
                (true, Phase::Running) => Needs::Assignment,
                (false, _) => Needs::Content,
            };
            let missing = match ready(&piece, needs) {
                Ok(entry) => {
                    if private && binding.phase == Phase::Building && !piece.assigned() {
                        state.mark_mapped(page)?;
                    }
                    return Ok(install(state.mapping(&piece, entry, Some(&binding), largest)));
                }
                Err(missing) => missing,
            };
            drop(state);
            self.first_use(page, piece.visibility, Some(binding), missing)?;
        }
    }
}

/// What must be there before a page is mapped.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Needs {
    /// A frame: a guest that is being built does not look at it yet.
    Frame,
    /// Its first bytes.
    Content,
    /// And the hardware's word that it is the guest's.
    Assignment,
}

/// The page's entry if all is there, else the first thing it lacks.
fn ready(piece: &Piece, needs: Needs) -> Result<Entry, Missing> {
    match (piece.entry, needs) {
        (None, _) => Err(Missing::Frame),
        (Some(entry), Needs::Frame) => Ok(entry),
        (Some(_), _) if !piece.initialised() => Err(Missing::Content),
        (Some(_), Needs::Assignment) if !piece.assigned() => Err(Missing::Assignment),
        (Some(entry), _) => Ok(entry),
    }
}

impl<N: Nodes, const BINDINGS: usize> State<N, BINDINGS> {
    /// The facts of `page`, if nobody works on it and it is sound.
    fn untouched(&self, page: u64) -> Result<Piece, Error> {
        if self.claims.touch(FilePages::one(page)) {
            return Err(Error::Retry);
        }
        let piece = self.piece(FilePages::one(page));
        match piece.entry {
            Some(entry) if entry.has(Facts::POISONED) => Err(Error::Poisoned),
            _ => Ok(piece),
        }
    }

    /// The live binding of `guest` that shows `gfn`.
    pub(super) fn binding(&self, guest: VmHandle, gfn: Gfn) -> Option<Binding> {
        self.bindings.iter().copied().find(|old| old.live() && old.guest == guest && old.gfns.contains(gfn))
    }

    /// A private page that a guest sees while it is built is on record until the guest is finished.
    fn mark_mapped(&mut self, page: u64) -> Result<(), Error> {
        let Self { nodes, index, .. } = self;
        index.prepare(nodes, page, 1)?;
        index.update(nodes, page, 1, |_, entry| entry.with(Facts::MAPPED));
        Ok(())
    }
}

/// The frames of `pages`, as the guest numbers them.
pub(super) fn gfns(first: Gfn, count: u64) -> Result<FrameRange<Gfn>, Error> {
    FrameRange::new(first, count, AddressWidth::MAX)
}
