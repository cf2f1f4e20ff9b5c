//! The back of a conversion: private to shared and back, in place.
//!
//! The order, always:
//!
//! 1. **validate, claim, reserve**: everything that can be refused is refused here, and nothing has changed
//! 2. **host cut off** (to private only): mappings removed, passing references drained, lasting ones refused with the
//!    first offender's offset. The host mappings of the range are gone then; they come back with the next touch
//! 3. **guest cut off**: zap, detach, one flush and one fence for the whole range. From here on it only goes forward
//! 4. **transfer**: the hardware's entries and the contents
//! 5. **commit and publish**: the new visibility; the claim ends and faults go through
//!
//! To shared nothing is refused after step 1. A page that cannot be finished after step 3 is withdrawn: its offset is unbacked, the
//! call succeeds, [`super::Counts`] has it.

use super::entry::Facts;
use super::ledger::Ledger;
use super::nodes::Nodes;
use super::pieces::{Piece, Seen};
use super::{Env, File, FilePages, Tracking, at};
use crate::platform::{Content, Op, Phase, Platform, Rule};
use tenure_abi::{ContentMode, Error, FrameRange, Located, Visibility, VmHandle};

impl<E: Env, P: Platform, N: Nodes, const BINDINGS: usize> File<'_, E, P, N, BINDINGS> {
    /// Makes `pages` visible as `to`; `mode` is what the receiver may expect of the contents.
    ///
    /// Pages that are `to` already are left alone, except for the work of `mode`: that is done on every initialised page of
    /// the range. Pages without a frame get none; they hold zeroes when they are first touched.
    ///
    /// # Errors
    /// Nothing was converted. At the start of the range: [`Error::NotSupported`] for a file that does not decide, or a
    /// mode that cannot be promised; [`Error::Retry`] while others work on the range; [`Error::NoMemory`]; what the platform
    /// says to a reservation or a split. At a page: [`Error::Busy`] if somebody holds a reference to its frame.
    pub fn convert(&self, pages: FilePages, to: Visibility, mode: ContentMode) -> Result<(), Located<Error>> {
        let start = at(pages.first);
        if self.options.tracking == Tracking::Guest {
            return Err(start(Error::NotSupported));
        }
        let work = |state: &super::State<N, BINDINGS>| {
            let rule = self.platform.capabilities().content.rule(state.phase(pages), to, mode);
            let so = || rule == Rule::Free && state.store.is(&state.nodes, pages.first, pages.count, to);
            match rule {
                Rule::Refused => Err(start(Error::NotSupported)),
                _ => Ok(if so() { None } else { Some(rule) }),
            }
        };
        // Without a claim, which would look for nodes to give back: nothing is walked for nothing.
        let state = self.lock();
        if work(&state)?.is_none() && !state.claims.touch(pages) {
            return Ok(());
        }
        drop(state);
        let claim = self.claim(pages).map_err(&start)?;
        let mut state = self.lock();
        let Some(rule) = work(&state)? else { return Ok(()) };
        state.prepare(claim.pages()).and_then(|()| state.prepare(pages)).map_err(&start)?;
        drop(state);

        let change = Change { to, mode, rule };
        self.reserve(pages, change)?;
        self.split_reaching(pages, claim.pages(), |piece| piece.assigned() && piece.visibility != to)
            .map_err(&start)?;
        if to == Visibility::Private {
            self.cut_host_off(pages)?;
        }
        self.cut_guests_off(pages, to);
        self.transfer(pages, change);

        let mut state = self.lock();
        let super::State { nodes, store, .. } = &mut *state;
        store.set(nodes, pages.first, pages.count, to);
        Ok(())
    }

    /// What the platform and the index may need is set aside.
    fn reserve(&self, pages: FilePages, change: Change) -> Result<(), Located<Error>> {
        self.prepare_pieces(pages).map_err(at(pages.first))?;
        if !self.platform.reserves() {
            return Ok(());
        }
        let op = match change.to {
            Visibility::Private => Op::ToPrivate,
            Visibility::Shared => Op::ToShared,
        };
        self.each_piece(pages, |piece| {
            let Some(seen) = self.platform_work(&piece, change) else { return Ok(()) };
            let Some(run) = seen.run(&piece) else { return Ok(()) };
            let reserved = self.platform.reserve(seen.guest, run, op);
            reserved.map_err(|fault| at(piece.pages.first)(fault.kind))
        })
    }

    /// Hardware entries that reach beyond `pages` and have to change are split.
    pub(super) fn split_reaching(
        &self,
        pages: FilePages,
        claimed: FilePages,
        which: impl Fn(&Piece) -> bool,
    ) -> Result<(), Error> {
        if claimed == pages {
            return Ok(());
        }
        for page in [pages.first, pages.end() - 1] {
            let state = self.lock();
            let (entry, piece) = (state.whole_entry(page), state.piece(FilePages::one(page)));
            drop(state);
            let reaches = entry.first < pages.first || entry.end() > pages.end();
            if !reaches || !which(&piece) {
                continue;
            }
            self.each_piece(entry, |piece| {
                let Some(seen) = piece.guest else { return Ok(()) };
                // A guest must not go on with a large translation over small entries.
                self.zap(seen, &piece);
                self.env.flush_guests();
                self.split(piece, seen).map_err(|fault| fault.kind)
            })?;
        }
        Ok(())
    }

    /// No process can touch `pages` any more, or the first frame that somebody holds on to is named.
    fn cut_host_off(&self, pages: FilePages) -> Result<(), Located<Error>> {
        self.env.zap_host(self.id, pages);
        self.env.drain_references();
        self.each_piece(pages, |piece| {
            let shared = piece.visibility == Visibility::Shared;
            match piece.frames().filter(|_| shared).and_then(|frames| self.env.first_held(frames)) {
                None => Ok(()),
                Some(held) => Err(at(piece.pages.first + held.min(piece.pages.count - 1))(Error::Busy)),
            }
        })
    }

    /// No guest can touch what changes in `pages` any more.
    fn cut_guests_off(&self, pages: FilePages, to: Visibility) {
        let _: Result<(), ()> = self.each_change(pages, to, |stretch| {
            self.each_binding(stretch, |guest, gfns| self.env.zap_guest(guest, gfns));
            Ok(())
        });
        self.env.flush_guests();
        if to == Visibility::Shared {
            self.detach_all(pages, |piece| piece.visibility == Visibility::Private);
        }
    }

    /// Detaches the assigned pieces that `which` picks, with one fence for each guest. Pages of a guest whose fence
    /// fails are withdrawn: nobody can vouch for them.
    pub(super) fn detach_all(&self, pages: FilePages, which: impl Fn(&Piece) -> bool) {
        if !self.platform.detaches() {
            return;
        }
        let mut guests: heapless::Vec<VmHandle, 8> = heapless::Vec::new();
        let fence = |guests: &mut heapless::Vec<VmHandle, 8>| {
            for guest in core::mem::take(guests) {
                if let Err(why) = self.platform.fence(guest) {
                    let _: Result<(), ()> = self.each_piece(pages, |piece| {
                        if which(&piece) && piece.assigned() && piece.guest.is_some_and(|seen| seen.guest == guest) {
                            self.withdraw(piece.pages, why);
                        }
                        Ok(())
                    });
                }
            }
        };
        let _: Result<(), ()> = self.each_piece(pages, |piece| {
            if let Some(seen) = piece.guest.filter(|_| which(&piece) && piece.assigned()) {
                if !guests.contains(&seen.guest) && guests.push(seen.guest).is_err() {
                    fence(&mut guests);
                    let _ = guests.push(seen.guest);
                }
                self.detach(piece, seen);
            }
            Ok(())
        });
        fence(&mut guests);
    }

    /// The hardware's entries and the contents.
    fn transfer(&self, pages: FilePages, change: Change) {
        let content = match change.mode {
            ContentMode::Unspecified => Content::Leave,
            ContentMode::Zero => Content::Zero,
            ContentMode::Preserve => Content::InPlace,
        };
        match change.to {
            Visibility::Private => self.give(pages, change, content),
            Visibility::Shared => self.take(pages, change, content),
        }
    }

    /// To the guest.
    fn give(&self, pages: FilePages, change: Change, content: Content) {
        let per_page = change.rule == Rule::PerPage;
        let mut ledger = Ledger::EMPTY;
        let _: Result<(), ()> = self.each_piece(pages, |piece| {
            let work = self.platform_work(&piece, change);
            if per_page && (work.is_none() || content == Content::Leave) {
                self.content_only(&piece, change.to, content);
            }
            if let Some(seen) = work {
                // What the platform refuses now, the first use asks for again.
                let _ = self.assign_noting(piece, seen, Op::ToPrivate, content, &mut ledger);
            }
            Ok(())
        });
        self.settle_up(&mut ledger);
    }

    /// From the guest.
    fn take(&self, pages: FilePages, change: Change, content: Content) {
        let per_page = change.rule == Rule::PerPage;
        let mut ledger = Ledger::EMPTY;
        let _: Result<(), ()> = self.each_piece(pages, |piece| {
            if let Some(seen) = self.platform_work(&piece, change) {
                let leave = if piece.workable() { content } else { Content::Leave };
                self.unassign(piece, seen, Op::ToShared, leave, &mut ledger);
                if per_page && content == Content::Leave {
                    self.scramble_left(piece.pages);
                }
            } else if per_page {
                self.content_only(&piece, change.to, content);
            }
            Ok(())
        });
        self.settle_up(&mut ledger);
    }

    /// The content of a piece that the platform has no work with.
    fn content_only(&self, piece: &Piece, to: Visibility, content: Content) {
        if content == Content::Leave {
            return self.scramble(piece);
        }
        match piece.frames().filter(|_| content == Content::Zero && piece.workable()) {
            // Its zeroes come with the first use, from whoever makes it the guest's.
            Some(_) if to == Visibility::Private && !piece.assigned() => {
                self.note(piece.pages, |entry| entry.without(Facts::INITIALISED));
            }
            Some(frames) => self.env.zero(frames),
            None => {}
        }
    }

    /// Bytes that nobody can have a use for, where there are any.
    fn scramble(&self, piece: &Piece) {
        if let Some(frames) = piece.frames().filter(|_| piece.workable()) {
            self.env.scramble(frames);
        }
    }

    /// The same for what is left of `pages`: what could not be taken from the guest is no longer there.
    fn scramble_left(&self, pages: FilePages) {
        let _: Result<(), ()> = self.each_piece(pages, |piece| {
            self.scramble(&piece);
            Ok(())
        });
    }

    /// For whom the platform has to do something with `piece`: give it, or take it.
    fn platform_work(&self, piece: &Piece, change: Change) -> Option<Seen> {
        let seen = piece.guest.filter(|_| piece.visibility != change.to)?;
        piece.entry?;
        let work = match change.to {
            Visibility::Shared => piece.assigned(),
            Visibility::Private => {
                let now = self.platform.capabilities().assigns_on_conversion && seen.phase == Phase::Running;
                now && piece.workable() && !piece.assigned()
            }
        };
        work.then_some(seen)
    }

    /// Calls `each` with every stretch of `pages` that is not `to` yet.
    fn each_change<R>(
        &self,
        pages: FilePages,
        to: Visibility,
        mut each: impl FnMut(FilePages) -> Result<(), R>,
    ) -> Result<(), R> {
        let mut page = pages.first;
        while let Some(rest) = FilePages::between(page, pages.end()) {
            let state = self.lock();
            let (visibility, count) = state.store.run(&state.nodes, page);
            drop(state);
            let count = count.clamp(1, rest.count);
            if visibility != to {
                each(FilePages { first: page, count })?;
            }
            page += count;
        }
        Ok(())
    }

    /// The guest's mappings of a piece are removed.
    pub(super) fn zap(&self, seen: Seen, piece: &Piece) {
        if let Ok(gfns) = FrameRange::new(seen.gfn, piece.pages.count, tenure_abi::AddressWidth::MAX) {
            self.env.zap_guest(seen.guest, gfns);
        }
    }
}

/// What was asked for.
#[derive(Clone, Copy)]
struct Change {
    to: Visibility,
    mode: ContentMode,
    rule: Rule,
}

impl Seen {
    /// The piece as a run in entries of 4 KiB.
    pub(super) fn run(self, piece: &Piece) -> Option<tenure_abi::Run> {
        let hw = piece.entry?.hw();
        tenure_abi::Run::new(piece.frames()?, self.gfn, tenure_abi::AddressWidth::MAX, hw).ok()
    }
}
