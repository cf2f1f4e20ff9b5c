//! Driving the platform over a piece: the largest entries that fit, bounded retries, and what becomes of a failure.
//!
//! | the platform stopped at an entry that is | giving pages to a guest | taking them from it |
//! |---|---|---|
//! | as before | left for the first use to assign | withdrawn |
//! | rewritten by firmware | uninitialised again, left for the first use | withdrawn |
//! | detached, or nobody can say | withdrawn | withdrawn |
//!
//! A withdrawn frame is the integrator's to keep from everybody; its offset is unbacked and reads as zeroes again.

use super::claim::SIZES;
use super::entry::{Entry, Facts};
use super::ledger::{Fate, Ledger};
use super::nodes::Nodes;
use super::pieces::{Piece, Seen};
use super::{Env, File, FilePages};
use crate::platform::{Content, Fault, Here, Op, Platform, Progress, Retry, Sizes};
use tenure_abi::{AddressWidth, Error, FrameRange, PageSize, Pfn, Run, VmHandle};

/// Where a platform came to a stop for good.
struct Stuck {
    done: u64,
    here: Here,
    why: Fault,
}

impl<E: Env, P: Platform, N: Nodes, const BINDINGS: usize> File<'_, E, P, N, BINDINGS> {
    /// Gives the backed, unassigned pages of `piece` to the guest `seen`, as far as the platform lets it.
    ///
    /// # Errors
    /// The first failure; what lies behind the entry that failed was tried all the same.
    pub(super) fn assign(&self, piece: Piece, seen: Seen, op: Op, content: Content) -> Result<(), Fault> {
        let mut ledger = Ledger::EMPTY;
        let result = self.assign_noting(piece, seen, op, content, &mut ledger);
        self.settle_up(&mut ledger);
        result
    }

    /// The same, with what went well in the ledger: the caller settles up.
    pub(super) fn assign_noting(
        &self,
        piece: Piece,
        seen: Seen,
        op: Op,
        content: Content,
        ledger: &mut Ledger,
    ) -> Result<(), Fault> {
        let capabilities = self.platform.capabilities();
        let sizes = if matches!(op, Op::Populate(_)) { capabilities.populate_sizes } else { capabilities.sizes };
        let mut result = Ok(());
        let mut done = 0;
        while done < piece.pages.count
            && let Some((run, pages)) = next_run(piece, seen, done, sizes)
        {
            let carry = |rest: Run, at: u64| self.platform.transfer(seen.guest, rest, op, ahead(content, done + at));
            let fate = Fate::given(seen.guest, run.hw(), op, content);
            let Some(stuck) = self.drive(seen.guest, run, carry) else {
                self.enter(ledger, pages, fate);
                done += pages.count;
                continue;
            };
            self.settle_up(ledger);
            let part = self.part(pages, run.hw(), Some(&stuck));
            done = part.end - piece.pages.first;
            if self.given_in_part(&part, &stuck, fate, op, content) {
                result = result.and(Err(stuck.why));
            }
        }
        result
    }

    /// What became of pages that were given only in part; whether one was not.
    #[cold]
    fn given_in_part(&self, part: &Part, stuck: &Stuck, fate: Fate, op: Op, content: Content) -> bool {
        if let Some(good) = part.good {
            self.note(good, |entry| fate.of(entry));
        }
        let Some(failed) = part.failed else { return false };
        match stuck.here {
            _ if !part.alone => self.withdraw(failed, stuck.why),
            Here::AsBefore if op == Op::ToPrivate => {
                self.lock().counts.deferred += failed.count;
                if content == Content::Zero {
                    // The zeroes that were promised come with the first use.
                    self.note(failed, |entry| entry.without(Facts::INITIALISED));
                }
            }
            Here::AsBefore => {}
            // Firmware's corrections to a page of the guest being built are for its maker to read.
            Here::Rewritten if matches!(op, Op::Populate(_)) => {
                self.note(failed, |entry| entry.with(Facts::INITIALISED));
            }
            Here::Rewritten => {
                self.note(failed, |entry| entry.without(Facts::INITIALISED));
                self.lock().counts.rewritten += failed.count;
            }
            Here::Detached | Here::Unknown => self.withdraw(failed, stuck.why),
        }
        true
    }

    /// Takes the detached and fenced pages of `piece` from their guest; the caller settles the ledger up. What does not come is
    /// withdrawn.
    #[inline]
    pub(super) fn unassign(&self, piece: Piece, seen: Seen, op: Op, content: Content, ledger: &mut Ledger) {
        let Some(entry) = piece.entry else { return };
        let mut done = 0;
        while let Some(rest) = rest_of(piece, seen, done, entry.hw()) {
            let carry = |rest: Run, _| self.platform.transfer(seen.guest, rest, op, content);
            let stuck = self.drive(seen.guest, rest, carry);
            let pages = FilePages { first: piece.pages.first + done, count: rest.frames().count() };
            let Some(stuck) = stuck else { return self.enter(ledger, pages, Fate::TAKEN) };
            self.settle_up(ledger);
            done = self.taken_in_part(pages, entry.hw(), &stuck) - piece.pages.first;
        }
    }

    /// What became of pages that were taken only in part; where to go on.
    #[cold]
    fn taken_in_part(&self, pages: FilePages, hw: PageSize, stuck: &Stuck) -> u64 {
        let part = self.part(pages, hw, Some(stuck));
        if let Some(good) = part.good {
            self.note(good, Entry::unassigned);
        }
        if let Some(failed) = part.failed {
            self.withdraw(failed, stuck.why);
        }
        part.end
    }

    /// Takes every piece that `which` picks, detached and fenced, from its guest; contents as the platform leaves them.
    pub(super) fn unassign_all(&self, pages: FilePages, which: impl Fn(&Piece) -> bool, op: Op) {
        let mut ledger = Ledger::EMPTY;
        let _: Result<(), ()> = self.each_piece(pages, |piece| {
            match piece.guest.filter(|_| which(&piece)) {
                Some(seen) => self.unassign(piece, seen, op, Content::Leave, &mut ledger),
                // Nobody knows for whom: it must not come back into use.
                None if which(&piece) => self.withdraw(piece.pages, Fault::of(Error::Internal)),
                None => {}
            }
            Ok(())
        });
        self.settle_up(&mut ledger);
    }

    /// Cuts the guest off from the assigned pages of `piece`; effective after the platform's fence. What cannot be
    /// cut off is withdrawn.
    pub(super) fn detach(&self, piece: Piece, seen: Seen) {
        let Some(entry) = piece.entry else { return };
        let mut done = 0;
        while let Some(rest) = rest_of(piece, seen, done, entry.hw()) {
            let Some(stuck) = self.drive(seen.guest, rest, |rest, _| self.platform.detach(seen.guest, rest)) else {
                return;
            };
            let pages = FilePages { first: piece.pages.first + done, count: rest.frames().count() };
            let part = self.part(pages, entry.hw(), Some(&stuck));
            done = part.end - piece.pages.first;
            if let Some(failed) = part.failed {
                self.withdraw(failed, stuck.why);
            }
        }
    }

    /// Splits the hardware's entries of `piece` into entries of 4 KiB.
    ///
    /// # Errors
    /// Why the platform does not; entries already split stay so, which changes nobody's rights.
    pub(super) fn split(&self, piece: Piece, seen: Seen) -> Result<(), Fault> {
        let Some(entry) = piece.entry else { return Ok(()) };
        let Some(run) = rest_of(piece, seen, 0, entry.hw()) else { return Ok(()) };
        let stuck = self.drive(seen.guest, run, |rest, _| self.platform.resize(seen.guest, rest, PageSize::Size4K));
        let part = self.part(piece.pages, entry.hw(), stuck.as_ref());
        if let Some(good) = part.good {
            self.note(good, |entry| entry.with_hw(PageSize::Size4K));
        }
        let Some(stuck) = stuck else { return Ok(()) };
        if let Some(failed) = part.failed.filter(|_| stuck.here != Here::AsBefore || !part.alone) {
            self.withdraw(failed, stuck.why);
        }
        Err(stuck.why)
    }

    /// What became of `pages`, a run in entries of size `hw`: those that went well, and the entry that did not.
    ///
    /// Where there is no node to tell that entry apart from the rest of a large frame, the whole frame shares its fate:
    /// nothing may be on record that is not so.
    fn part(&self, pages: FilePages, hw: PageSize, stuck: Option<&Stuck>) -> Part {
        let Some(stuck) = stuck else {
            return Part { good: Some(pages), failed: None, alone: true, end: pages.end() };
        };
        let first = pages.first + stuck.done;
        let failed = FilePages { first, count: hw.frames().min(pages.end() - first) };
        let mut state = self.lock();
        let alone = state.prepare(failed).is_ok();
        let failed = if alone { failed } else { state.whole_backings(failed) };
        let good = FilePages::between(pages.first, failed.first);
        Part { good, failed: Some(failed), alone, end: failed.end() }
    }

    /// Repeats `step` on what is left of `run` while that can help; where it came to a stop for good, if it did.
    #[inline]
    fn drive(&self, guest: VmHandle, run: Run, step: impl Fn(Run, u64) -> Progress) -> Option<Stuck> {
        let progress = step(run, 0);
        if progress == Progress::Done { None } else { self.drive_on(guest, run, progress, step) }
    }

    /// The same after a first step that did not do it.
    #[cold]
    fn drive_on(
        &self,
        guest: VmHandle,
        run: Run,
        mut progress: Progress,
        step: impl Fn(Run, u64) -> Progress,
    ) -> Option<Stuck> {
        let (mut rest, mut done, mut attempt, mut stands) = (run, 0, 0, Here::AsBefore);
        loop {
            let Progress::Stopped { done: now, here, why } = progress else { return None };
            // A platform that claims to have done more than it was asked for has done all.
            done += now.min(rest.frames().count());
            if now != 0 {
                (attempt, stands) = (0, Here::AsBefore);
            }
            stands = worse(stands, here);
            if done == run.frames().count() {
                return None;
            }
            let settled = match why.retry {
                Retry::No => false,
                Retry::Again => true,
                Retry::AfterKick => {
                    self.env.flush_guests();
                    true
                }
                Retry::Owed => self.platform.settle(guest).is_ok(),
            };
            // What firmware wrote over is not asked for again: the bytes that were meant are gone.
            let lost = matches!(stands, Here::Unknown | Here::Rewritten);
            if lost || !settled || !self.env.pause(attempt) {
                return Some(Stuck { done, here: stands, why });
            }
            attempt += 1;
            rest = later(run, done)?;
            progress = step(rest, done);
        }
    }

    /// Records new facts of claimed and prepared pages.
    pub(super) fn note(&self, pages: FilePages, change: impl Fn(Entry) -> Entry) {
        let mut state = self.lock();
        let super::State { nodes, index, .. } = &mut *state;
        index.update(nodes, pages.first, pages.count, |_, entry| change(entry));
    }

    /// Takes claimed and prepared pages out of use: frames to the integrator, offsets unbacked.
    pub(super) fn withdraw(&self, pages: FilePages, why: Fault) {
        // A guest that is being built can have them mapped.
        self.each_binding(pages, |guest, gfns| self.env.zap_guest(guest, gfns));
        self.env.flush_guests();
        self.take_out(pages, |pfn, size| {
            self.env.withdraw(pfn, size, why);
            self.lock().counts.withdrawn += size.frames();
        });
    }

    /// Makes claimed and prepared pages unbacked; `to` gets each frame, without the lock.
    pub(super) fn take_out(&self, pages: FilePages, to: impl Fn(Pfn, PageSize)) {
        let mut page = pages.first;
        while let Some(rest) = FilePages::between(page, pages.end()) {
            let mut state = self.lock();
            let super::State { nodes, index, .. } = &mut *state;
            match index.get(nodes, page) {
                None => page += index.run(nodes, page, rest.count).1.max(1),
                Some((_, size)) => {
                    let mut taken = None;
                    let count = size.frames().min(rest.count);
                    index.remove(nodes, page, count, |entry, size| taken = Some((entry, size)));
                    drop(state);
                    if let Some((entry, size)) = taken {
                        to(entry.pfn(), size);
                    }
                    page += count;
                }
            }
        }
    }
}

/// A run, told apart by what became of it.
struct Part {
    good: Option<FilePages>,
    failed: Option<FilePages>,
    /// Nothing but the entry that failed is in `failed`.
    alone: bool,
    /// Where to go on.
    end: u64,
}

/// How an entry stands after a step that says `now`, where one before had left it as `before`: "as before" speaks of that step.
fn worse(before: Here, now: Here) -> Here {
    match (before, now) {
        (Here::Unknown, _) | (_, Here::Unknown) => Here::Unknown,
        (Here::Detached, _) | (_, Here::Detached) => Here::Detached,
        (Here::Rewritten, _) | (_, Here::Rewritten) => Here::Rewritten,
        (Here::AsBefore, Here::AsBefore) => Here::AsBefore,
    }
}

/// The content of the pages from `done` on.
#[inline]
fn ahead(content: Content, done: u64) -> Content {
    match content {
        Content::From(pfn) => pfn.checked_add(done).map_or(Content::Zero, Content::From),
        other => other,
    }
}

/// What is left of `run` after `done` pages.
#[inline]
fn later(run: Run, done: u64) -> Option<Run> {
    let gfn = run.gfn().checked_add(done)?;
    Run::new(run.frames().rest(done)?, gfn, AddressWidth::MAX, run.hw()).ok()
}

/// The pages of `piece` from `done` on as one run, whose entries have size `hw`.
#[inline]
fn rest_of(piece: Piece, seen: Seen, done: u64, hw: PageSize) -> Option<Run> {
    let frames = piece.frames()?.rest(done)?;
    Run::new(frames, seen.gfn.checked_add(done)?, AddressWidth::MAX, hw).ok()
}

/// The pages of `piece` from `done` on that take entries of one size: the largest that fits the first of them.
#[inline]
fn next_run(piece: Piece, seen: Seen, done: u64, sizes: Sizes) -> Option<(Run, FilePages)> {
    if piece.pages.count == 1 {
        let frames = FrameRange::single(piece.entry?.pfn());
        let run = Run::new(frames, seen.gfn, AddressWidth::MAX, PageSize::Size4K).ok()?;
        return Some((run, piece.pages));
    }
    let frames = piece.frames()?.rest(done)?;
    let gfn = seen.gfn.checked_add(done)?;
    let (pfn, left) = (frames.first().number(), frames.count());
    let fits = |size: PageSize| (pfn | gfn.number()).is_multiple_of(size.frames()) && left >= size.frames();
    let hw = SIZES.into_iter().find(|&size| sizes.has(size) && fits(size)).unwrap_or(PageSize::Size4K);
    // A larger entry may fit from its next boundary on.
    let limit = SIZES
        .into_iter()
        .filter(|&size| size > hw && sizes.has(size))
        .filter(|size| (pfn ^ gfn.number()).is_multiple_of(size.frames()))
        .map(|size| size.frames() - pfn % size.frames())
        .filter(|&to_boundary| left >= to_boundary)
        .min();
    let count = limit.unwrap_or(left).min(left) / hw.frames() * hw.frames();
    let frames: FrameRange<Pfn> = frames.prefix(count)?;
    let run = Run::new(frames, gfn, AddressWidth::MAX, hw).ok()?;
    Some((run, FilePages { first: piece.pages.first + done, count }))
}
