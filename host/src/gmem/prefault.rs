//! Prefault: mappings before the guest asks for them.

use super::nodes::Nodes;
use super::populate::Stopped;
use super::{Access, Binding, Env, File, FilePages, Mapping, Tracking};
use crate::platform::{Content, Op, Phase, Platform};
use tenure_abi::{Error, FrameRange, Gfn, PageSize, Visibility, VmHandle};

impl<E: Env, P: Platform, N: Nodes, const BINDINGS: usize> File<'_, E, P, N, BINDINGS> {
    /// Maps `gfns` before the guest touches them; `install` gets every mapping with the guest frame it begins at.
    ///
    /// Before the guest is finished this maps pages without giving them contents: [`File::populate`] does that, and
    /// [`File::finish`] names those that it forgot. Afterwards it assigns what is not assigned, in the largest entries.
    ///
    /// # Errors
    /// What was mapped before stays so: the number of pages, and why the next was not. [`Error::NotSupported`] before the guest is
    /// finished where the platform says so, else as [`File::guest_fault`].
    pub fn prefault(
        &self,
        guest: VmHandle,
        gfns: FrameRange<Gfn>,
        access: Access,
        largest: PageSize,
        mut install: impl FnMut(Gfn, Mapping),
    ) -> Result<(), Stopped> {
        let mut done = 0;
        while let Some(gfn) = gfns.first().checked_add(done).filter(|_| done < gfns.count()) {
            let state = self.lock();
            let binding = state.binding(guest, gfn).ok_or(Stopped::after(done, Error::NotFound))?;
            drop(state);
            if binding.phase == Phase::Building && !self.platform.capabilities().prefault_while_building {
                return Err(Stopped::after(done, Error::NotSupported));
            }
            if binding.phase == Phase::Running {
                // Page by page, what could not be had in one go gets its answer below.
                let _ = self.assign_ahead(&binding, gfn, gfns.count() - done);
            }
            let mapping = self
                .guest_fault(guest, gfn, access, largest, |mapping| {
                    let into = gfn.number() % mapping.size.frames();
                    install(Gfn::new(gfn.number() - into).unwrap_or(gfn), mapping);
                    mapping
                })
                .map_err(|error| Stopped::after(done, error))?;
            done += mapping.size.frames() - gfn.number() % mapping.size.frames();
        }
        Ok(())
    }

    /// Everything private from `gfn` on that a call may cover gets its frames, bytes and assignment in one go.
    fn assign_ahead(&self, binding: &Binding, gfn: Gfn, count: u64) -> Result<(), Error> {
        let page = binding.page(gfn).ok_or(Error::NotFound)?;
        let left = binding.pages().end() - page;
        // One large entry at a time: what a call holds stays bounded.
        let chunk = PageSize::Size2M.frames() - gfn.number() % PageSize::Size2M.frames();
        let pages = FilePages { first: page, count: count.min(left).min(chunk) };
        let state = self.lock();
        let piece = state.piece(pages);
        drop(state);
        if self.options.tracking == Tracking::Guest || piece.visibility != Visibility::Private || pages.count == 1 {
            return Ok(());
        }
        let claim = match self.try_claim(piece.pages) {
            Err(Error::Retry) => return Ok(()),
            claim => claim?,
        };
        if piece.entry.is_none() {
            self.allocate_claimed(claim.pages())?;
        }
        self.prepare_pieces(claim.pages())?;
        self.each_piece(claim.pages(), |piece| {
            // It may have been converted before the claim.
            let private = piece.visibility == Visibility::Private && !piece.poisoned();
            let seen = piece.guest.filter(|_| private && !piece.assigned() && piece.entry.is_some());
            let Some(seen) = seen.filter(|seen| seen.guest == binding.guest) else { return Ok(()) };
            let content = if piece.initialised() { self.kept() } else { Content::Zero };
            let run = seen.run(&piece).ok_or(Error::Internal)?;
            self.platform.reserve(seen.guest, run, Op::FirstUse).map_err(|fault| fault.kind)?;
            self.assign(piece, seen, Op::FirstUse, content).map_err(|fault| fault.kind)
        })
    }
}
