//! Bindings: which guest sees which pages of the file at which addresses.
//!
//! A binding that ends while the hardware still holds pages of it as the guest's stays on record as *departed*: the
//! hardware's entries name the guest and its addresses, and whoever takes such a page back has to say both. It
//! ends when the same pages are bound there again, or are taken from the guest to be bound elsewhere.

use super::nodes::Nodes;
use super::pieces::Piece;
use super::{Env, File, FilePages, State};
use crate::platform::{Op, Phase, Platform};
use tenure_abi::{AddressWidth, Error, FrameRange, Gfn, PAGE_SHIFT, VmHandle};

/// Guest frames that show pages of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Binding {
    /// Whose frames.
    pub guest: VmHandle,
    /// The frames.
    pub gfns: FrameRange<Gfn>,
    /// The file's page behind the first of them.
    pub first: u64,
    /// Where the guest is in its life.
    pub phase: Phase,
    /// It ended, and the hardware still holds pages of it.
    departed: bool,
}

impl Binding {
    /// The pages behind it.
    pub fn pages(&self) -> FilePages {
        FilePages { first: self.first, count: self.gfns.count() }
    }

    /// Whether the guest sees the pages now.
    pub(super) fn live(&self) -> bool {
        !self.departed
    }

    /// The page behind `gfn`.
    pub(super) fn page(&self, gfn: Gfn) -> Option<u64> {
        self.gfns.contains(gfn).then(|| self.first + (gfn.number() - self.gfns.first().number()))
    }

    /// The guest frames of those of `pages` that it shows.
    fn gfns_of(&self, pages: FilePages) -> Option<FrameRange<Gfn>> {
        let common = self.pages().common(pages)?;
        let first = self.gfns.first().checked_add(common.first - self.first)?;
        FrameRange::new(first, common.count, AddressWidth::MAX).ok()
    }

    /// Whether both put the same pages at the same place of the same guest, where they overlap.
    pub(super) fn agrees(&self, other: &Self) -> bool {
        let delta = |binding: &Self| binding.gfns.first().number().wrapping_sub(binding.first);
        self.guest == other.guest && delta(self) == delta(other)
    }
}

impl<E: Env, P: Platform, N: Nodes, const BINDINGS: usize> File<'_, E, P, N, BINDINGS> {
    /// Shows `pages` to `guest` from `gfn` on.
    ///
    /// # Errors
    /// It is not bound. [`Error::Exists`] if the guest sees one of the pages already, [`Error::Invalid`] if the guest
    /// addresses end beyond 52 bits, [`Error::NoMemory`] if the file has no room for another binding or no node to tell pages of
    /// a large frame apart, [`Error::Retry`] while others work on the pages, what the platform says to a split.
    pub fn bind(&self, guest: VmHandle, gfn: Gfn, pages: FilePages, phase: Phase) -> Result<(), Error> {
        let gfns = FrameRange::new(gfn, pages.count, AddressWidth::MAX)?;
        let new = Binding { guest, gfns, first: pages.first, phase, departed: false };
        let claim = self.claim(pages)?;
        let mut state = self.lock();
        let seen = |old: &Binding| old.live() && old.guest == guest && old.pages().overlaps(pages);
        if state.bindings.iter().any(seen) {
            return Err(Error::Exists);
        }
        state.forget_departed();
        state.room(pages)?;
        while let Some(held) = state.held_elsewhere(&new) {
            state.prepare(claim.pages()).and_then(|()| state.prepare(held))?;
            drop(state);
            self.split_reaching(held, claim.pages(), Piece::assigned)?;
            self.take_from_guest(held);
            state = self.lock();
        }
        state.room(pages)?;
        state.cut_departed(pages);
        state.insert(new);
        Ok(())
    }

    /// Ends what `guest` sees from `gfn` on. Frames, contents and visibility stay.
    ///
    /// # Errors
    /// [`Error::NotFound`] if no binding begins there, [`Error::Retry`] while others work on the pages.
    pub fn unbind(&self, guest: VmHandle, gfn: Gfn) -> Result<(), Error> {
        let begins = |old: &Binding| old.live() && old.guest == guest && old.gfns.first() == gfn;
        let found = self.lock().bindings.iter().copied().find(begins).ok_or(Error::NotFound)?;
        let _claim = self.claim(found.pages())?;
        let mut state = self.lock();
        // Somebody else may have ended it before the claim.
        let old = state.bindings.iter_mut().find(|old| **old == found).ok_or(Error::NotFound)?;
        old.departed = true;
        drop(state);
        self.env.zap_guest(guest, found.gfns);
        self.env.flush_guests();
        self.lock().forget_departed();
        Ok(())
    }

    /// Ends all that `guest` sees of the file: its last reference to it is gone, or the guest itself is.
    ///
    /// # Errors
    /// [`Error::Retry`] while others work on its pages; what was ended stays so.
    pub fn unbind_all(&self, guest: VmHandle) -> Result<(), Error> {
        loop {
            let next = self.lock().bindings.iter().find(|old| old.live() && old.guest == guest).copied();
            match next.map(|old| self.unbind(guest, old.gfns.first())) {
                None => return Ok(()),
                Some(Ok(()) | Err(Error::NotFound)) => {}
                Some(Err(error)) => return Err(error),
            }
        }
    }

    /// The byte offset in the file of what `guest` sees at `gfn`; `None` if it does not see the file there.
    pub fn offset_of(&self, guest: VmHandle, gfn: Gfn) -> Option<u64> {
        self.lock().binding(guest, gfn)?.page(gfn).map(|page| page << PAGE_SHIFT)
    }

    /// Calls `each` with the guest frames of every live binding that shows one of `pages`, without the lock.
    pub(super) fn each_binding(&self, pages: FilePages, mut each: impl FnMut(VmHandle, FrameRange<Gfn>)) {
        let mut at = 0;
        loop {
            let state = self.lock();
            let found = state.bindings.iter().enumerate().skip(at);
            let next =
                found.filter(|(_, old)| old.live()).find_map(|(n, old)| Some((n, old.guest, old.gfns_of(pages)?)));
            drop(state);
            let Some((n, guest, gfns)) = next else { return };
            each(guest, gfns);
            at = n + 1;
        }
    }

    /// Claimed and prepared pages go from the departed guest that holds them to nobody; contents as the platform leaves them.
    fn take_from_guest(&self, pages: FilePages) {
        let departed = |piece: &Piece| piece.assigned() && piece.guest.is_some_and(|seen| seen.departed);
        self.detach_all(pages, departed);
        self.unassign_all(pages, departed, Op::ToShared);
    }
}

impl<N: Nodes, const BINDINGS: usize> State<N, BINDINGS> {
    /// Whether `pages` can be bound: one binding more, and one for every departed one that they cut in two.
    fn room(&self, pages: FilePages) -> Result<(), Error> {
        let around = |old: &&Binding| !old.live() && old.first < pages.first && pages.end() < old.pages().end();
        let more = 1 + self.bindings.iter().filter(around).count();
        if self.bindings.len() + more > self.bindings.capacity() { Err(Error::NoMemory) } else { Ok(()) }
    }

    /// In the order of pages: whoever looks for what continues a binding finds it in one pass.
    fn insert(&mut self, new: Binding) {
        let place = self.bindings.partition_point(|old| old.first < new.first);
        // There is room: it was asked for.
        let _ = self.bindings.insert(place, new);
    }

    /// Those of the pages of `new` that the hardware still holds for a guest that departed from them, if that is not
    /// the place where `new` puts them.
    fn held_elsewhere(&self, new: &Binding) -> Option<FilePages> {
        let departed = self.bindings.iter().filter(|old| !old.live() && !old.agrees(new));
        departed.filter_map(|old| Some((old, old.pages().common(new.pages())?))).find_map(|(old, common)| {
            let mut held = None;
            self.index.each(&self.nodes, common.first, common.count, |page, entry, count| {
                if held.is_none() && entry.owner() == Some(old.guest.slot()) {
                    held = Some(FilePages { first: page, count });
                }
            });
            held
        })
    }

    /// `pages` are no longer on record as departed: the hardware holds none of them, or they are bound there again.
    fn cut_departed(&mut self, pages: FilePages) {
        let cut = |old: &Binding| !old.live() && old.pages().overlaps(pages);
        while let Some(at) = self.bindings.iter().position(cut) {
            let old = self.bindings.remove(at);
            let before = FilePages::between(old.first, pages.first);
            let after = FilePages::between(pages.end().max(old.first), old.pages().end());
            for rest in [before, after].into_iter().flatten() {
                let gfns = old.gfns_of(rest);
                if let Some(gfns) = gfns {
                    self.insert(Binding { gfns, first: rest.first, ..old });
                }
            }
        }
    }

    /// Departed bindings of which the hardware holds no page any more are forgotten.
    fn forget_departed(&mut self) {
        let Self { nodes, index, bindings, .. } = self;
        bindings.retain(|old| {
            let mut held = false;
            if !old.live() {
                index.each(nodes, old.first, old.gfns.count(), |_, entry, _| {
                    held |= entry.owner() == Some(old.guest.slot());
                });
            }
            old.live() || held
        });
    }
}
