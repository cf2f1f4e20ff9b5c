//! The tracker with what a hypervisor has around it.
//!
//! The tracker knows owners and the reverse map; which page a guest sees at which address stands in the
//! guests' tables. Here those are one map. A call by guest address is cut into runs that are contiguous
//! in guest and host frames, and each run is claimed for itself.

use super::blocks::{Lender, Memory};
use crate::op::Op;
use crate::rng::Rng;
use crate::spec::{Answer, Done, Span};
use std::collections::BTreeMap;
use tenure_abi::{
    AddressWidth, Error, Frame, FrameRange, Gfn, Located, Owner, PageSize, PageState, Pfn, Place, VmSlot,
};
use tenure_hyp::tracker::rules::{Content, Extent};
use tenure_hyp::tracker::{Entry, Identity, Tracker, Transition};

/// What a guest's table says of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leaf {
    /// This page is there.
    Page(Pfn),
    /// A forced reclaim burnt it.
    Burnt,
}

/// Tracker and guest tables.
pub struct System<'m> {
    /// The tracker under test.
    pub tracker: Tracker<'m, Lender<'m>>,
    /// The pool it takes its blocks from.
    pub(super) lender: Lender<'m>,
    /// All guests' tables.
    pub tables: BTreeMap<(VmSlot, Gfn), Leaf>,
    ram: &'m [FrameRange<Pfn>],
    /// Decides where a resumable claim stops.
    rng: Rng,
}

impl<'m> System<'m> {
    /// A tracker in `memory` and no guest.
    ///
    /// # Errors
    /// What the tracker has against the machine.
    pub fn new(memory: &'m mut Memory) -> Result<Self, Located<Error>> {
        let Memory { directory, chunks, ram, pool } = memory;
        let lender = Lender(pool);
        let tracker = Tracker::new(directory, chunks, ram, lender)?;
        Ok(Self { tracker, lender, tables: BTreeMap::new(), ram, rng: Rng::new(1) })
    }

    /// A VM is gone: so is its table.
    pub fn forget(&mut self, vm: VmSlot) {
        self.tables.retain(|key, _| key.0 != vm);
    }

    /// Whether a call may be refused for want of a block.
    pub fn may_run_out_of_blocks(&self) -> bool {
        self.lender.0.is_small()
    }

    /// Makes a call.
    ///
    /// # Errors
    /// The tracker's, or that of the guest's table.
    pub fn call(&mut self, op: Op) -> Answer {
        use Transition as T;
        match op {
            Op::HostShareHyp(pages) => self.by_page(T::HostShareHyp, pages),
            Op::HostUnshareHyp(pages) => self.by_page(T::HostUnshareHyp, pages),
            Op::HypPin(pages) => self.by_page(T::HypPin, pages),
            Op::HypUnpin(pages) => self.by_page(T::HypUnpin, pages),
            Op::HostDonateHyp(pages) => self.by_page(T::HostDonateHyp, pages),
            Op::HypDonateHost(pages) => self.by_page(T::HypDonateHost, pages),
            Op::HostShareGuest { vm, pages, gfn } => self.give_guest(T::HostShareGuest, vm, pages, gfn),
            Op::HostDonateGuest { vm, pages, gfn } => self.give_guest(T::HostDonateGuest, vm, pages, gfn),
            Op::ForceReclaim(pages) => self.force_reclaim(pages),
            Op::HostUnshareGuest { vm, gfns }
            | Op::GuestShareHost { vm, gfns }
            | Op::GuestUnshareHost { vm, gfns }
            | Op::Reclaim { vm, gfns }
            | Op::Relinquish { vm, gfns } => self.by_guest_frame(op, vm, gfns),
            Op::Compact(pages) => {
                let first = Pfn::new(pages.first)?;
                self.tracker.compact(first, pages.count);
                Ok(Done { pages: pages.count, ..Done::default() })
            }
            Op::HypGet(_) | Op::HypPut(_) => Err(Located::call(Error::NotSupported)),
            Op::VmCreate { .. } | Op::VmStartTeardown(_) | Op::VmFinishTeardown(_) => Ok(Done::default()),
        }
    }

    fn by_page(&mut self, transition: Transition, pages: Span) -> Answer {
        self.claim(transition, range::<Pfn>(pages)?, Identity::NONE)
    }

    /// Claims and commits: all of `frames`, or a prefix where the row says so.
    fn claim(&mut self, transition: Transition, frames: FrameRange<Pfn>, identity: Identity) -> Answer {
        if frames.count() == 1
            && let Some(claim) = self.tracker.claim_page(transition, frames.first(), identity)
        {
            claim.commit();
            return Ok(Done { pages: 1, ..Done::default() });
        }
        let mut claim = self.tracker.claim(transition, frames, identity)?;
        let held = claim.count();
        let size = if held.is_multiple_of(512) { PageSize::Size2M } else { PageSize::Size4K };
        let mut done = Done { pages: held, ..Done::default() };
        let (content, extent) = (claim.row().content, claim.row().extent);
        if extent == Extent::Resumable {
            claim.park();
            assert_eq!(self.tracker.state(frames.first()), Err(Error::Retry), "a parked page was given out");
            if self.rng.percent(25) {
                done.pages = 1 + self.rng.below(held);
            }
            claim.settle(done.pages, None, size)?;
        } else {
            claim.commit(size);
        }
        if content == Content::Scrub {
            let pages = Span { first: frames.first().number(), count: done.pages };
            done.scrubbed.extend(pages.frames());
        }
        Ok(done)
    }

    /// Puts host pages into a guest's table from `gfn` on: claim after claim, up to the first refusal.
    fn give_guest(&mut self, transition: Transition, vm: VmSlot, pages: Span, gfn: u64) -> Answer {
        let frames = range::<Pfn>(pages)?;
        range::<Gfn>(Span { first: gfn, count: pages.count })?;
        self.one_piece_of_ram(frames, Error::NotMemory)?;
        let mut all = Done::default();
        while all.pages < pages.count {
            let rest = Span { first: pages.first + all.pages, count: pages.count - all.pages };
            match self.give_piece(transition, vm, range(rest)?, Gfn::new(gfn + all.pages)?) {
                Ok(done) => all.pages += done.pages,
                Err(refused) if all.pages == 0 => return Err(refused),
                Err(_) => return Ok(all),
            }
        }
        Ok(all)
    }

    /// As much of `frames` as one claim takes. The guest's table may refuse as well; who refuses at the first
    /// page is heard, and at the same page the row decides.
    fn give_piece(&mut self, transition: Transition, vm: VmSlot, frames: FrameRange<Pfn>, gfn: Gfn) -> Answer {
        let identity = Identity::guest(vm, gfn)?;
        let gfns = Span { first: gfn.number(), count: frames.count() };
        let occupied = gfns.guest_frames().zip(0..).find(|&(gfn, _)| self.tables.contains_key(&(vm, gfn)));
        if let Some((here, place)) = occupied {
            let by_table = Located::gfn(Error::Denied, here);
            let table_first = transition == Transition::HostShareGuest;
            match self.tracker.claim(transition, frames, identity) {
                Ok(claim) if place < claim.count() => return Err(by_table),
                Ok(_) => {}
                Err(refused) => {
                    let page = match refused.at {
                        Place::Pfn(pfn) => pfn.number().wrapping_sub(frames.first().number()),
                        _ => 0,
                    };
                    let tracker_first = page < place || page == place && !table_first;
                    return Err(if tracker_first { refused } else { by_table });
                }
            }
        }
        let done = self.claim(transition, frames, identity)?;
        let pages = Span { first: frames.first().number(), count: done.pages };
        for (pfn, gfn) in pages.frames().zip(gfns.guest_frames()) {
            self.tables.insert((vm, gfn), Leaf::Page(pfn));
        }
        Ok(done)
    }

    /// Calls that name pages by guest frame: run after run, up to the first refusal.
    fn by_guest_frame(&mut self, op: Op, vm: VmSlot, gfns: Span) -> Answer {
        range::<Gfn>(gfns)?;
        let mut all = Done::default();
        while all.pages < gfns.count {
            let at = Gfn::new(gfns.first + all.pages)?;
            match self.run(op, vm, at, gfns.count - all.pages) {
                Ok(done) => {
                    all.pages += done.pages;
                    all.scrubbed.extend(done.scrubbed);
                }
                Err(refused) if all.pages == 0 => return Err(refused),
                Err(_) => return Ok(all),
            }
        }
        Ok(all)
    }

    /// The run that begins at `at`.
    fn run(&mut self, op: Op, vm: VmSlot, at: Gfn, most: u64) -> Answer {
        let skip = Ok(Done { pages: 1, ..Done::default() });
        let pfn = match (self.tables.get(&(vm, at)), op) {
            (Some(&Leaf::Page(pfn)), _) => pfn,
            (_, Op::Relinquish { .. }) | (Some(Leaf::Burnt), Op::Reclaim { .. }) => return skip,
            (Some(Leaf::Burnt), Op::GuestShareHost { .. } | Op::GuestUnshareHost { .. }) => {
                return Err(Located::gfn(Error::Poisoned, at));
            }
            _ => return Err(Located::gfn(Error::NotFound, at)),
        };
        let lent = |pfn| matches!(self.tracker.state(pfn), Ok(PageState::Shared { .. }));
        let transition = match op {
            Op::HostUnshareGuest { .. } => Transition::HostUnshareGuest,
            Op::GuestShareHost { .. } => Transition::GuestShareHost,
            Op::GuestUnshareHost { .. } => Transition::GuestUnshareHost,
            Op::Relinquish { .. } => Transition::GuestRelinquish,
            _ if lent(pfn) => Transition::ReclaimShared,
            _ => Transition::ReclaimOwned,
        };
        let by_state = matches!(op, Op::Reclaim { .. });
        let pairs = Span { first: pfn.number(), count: most };
        let gfns = Span { first: at.number(), count: most };
        let run = pairs.frames().zip(gfns.guest_frames()).take_while(|&(page, gfn)| {
            self.tables.get(&(vm, gfn)) == Some(&Leaf::Page(page)) && (!by_state || lent(page) == lent(pfn))
        });
        let frames = FrameRange::new(pfn, run.count() as u64, AddressWidth::MAX)?;
        let identity = Identity::guest(vm, at)?;
        let done = self.claim(transition, frames, identity).map_err(|refused| in_guest_frames(refused, pfn, at))?;
        if matches!(op, Op::HostUnshareGuest { .. } | Op::Reclaim { .. } | Op::Relinquish { .. }) {
            for gfn in (Span { count: done.pages, ..gfns }).guest_frames() {
                self.tables.remove(&(vm, gfn));
            }
        }
        Ok(done)
    }

    /// Forced reclaim: who loses the pages is read from the tracker.
    fn force_reclaim(&mut self, pages: Span) -> Answer {
        let frames = range::<Pfn>(pages)?;
        self.one_piece_of_ram(frames, Error::Fault)?;
        let mut all = Done::default();
        while let Some(rest) = frames.rest(all.pages).or((all.pages == 0).then_some(frames)) {
            let loser = self.entry(rest.first())?.guest();
            let identity = loser.map_or(Ok(Identity::NONE), |(vm, gfn)| Identity::guest(vm, gfn))?;
            let run = loser.map_or(1, |(vm, gfn)| self.run_length(rest, vm, gfn));
            let held = match self.claim(Transition::ForceReclaim, rest.prefix(run).unwrap_or(rest), identity) {
                Ok(done) => done,
                Err(refused) if all.pages == 0 => return Err(refused),
                Err(_) => return Ok(all),
            };
            if let Some((vm, gfn)) = loser {
                let burnt = Span { first: gfn.number(), count: held.pages };
                self.tables.extend(burnt.guest_frames().map(|gfn| ((vm, gfn), Leaf::Burnt)));
            }
            all.pages += held.pages;
            all.scrubbed.extend(held.scrubbed);
        }
        Ok(all)
    }

    /// How many pages from the first of `frames` on a guest has at consecutive addresses from `gfn` on.
    fn run_length(&self, frames: FrameRange<Pfn>, vm: VmSlot, gfn: Gfn) -> u64 {
        let mine = PageState::Exclusive(Owner::Guest(vm));
        let pages = Span { first: frames.first().number(), count: frames.count() };
        let expected = Span { first: gfn.number(), count: frames.count() };
        let run = pages.frames().zip(expected.guest_frames()).take_while(|&(pfn, gfn)| {
            self.entry(pfn).is_ok_and(|entry| entry.state() == mine && entry.guest() == Some((vm, gfn)))
        });
        run.count().max(1) as u64
    }

    /// A resumable claim looks at one region at a time; that the whole range is memory is its caller's to see.
    fn one_piece_of_ram(&self, frames: FrameRange<Pfn>, not_memory: Error) -> Result<(), Located<Error>> {
        let touches = |r: &&FrameRange<Pfn>| r.first().number() < frames.end() && frames.first().number() < r.end();
        let Some(piece) = self.ram.iter().find(touches) else {
            return Err(Located::pfn(not_memory, frames.first()));
        };
        if !piece.contains(frames.first()) {
            return Err(Located::pfn(Error::Invalid, frames.first()));
        }
        if frames.end() > piece.end() {
            return Err(Located::pfn(Error::Invalid, Pfn::new(piece.end())?));
        }
        Ok(())
    }

    /// The tracker's entry of a page.
    ///
    /// # Errors
    /// The tracker's.
    pub fn entry(&self, pfn: Pfn) -> Result<Entry, Error> {
        Ok(self.tracker.lock_region(pfn)?.entry(pfn))
    }
}

/// A range of well-formed frames: the machine's and the guests' addresses have 48 bits.
fn range<F: Frame>(span: Span) -> Result<FrameRange<F>, Error> {
    FrameRange::new(F::new(span.first)?, span.count, AddressWidth::GUEST_MAX)
}

/// A refusal at a page of the run that begins at `pfn` and is seen from `gfn` on, as its guest sees it.
fn in_guest_frames(refused: Located<Error>, pfn: Pfn, gfn: Gfn) -> Located<Error> {
    match refused.at {
        Place::Pfn(page) => {
            let at = gfn.checked_add(page.number().wrapping_sub(pfn.number()));
            at.map_or(refused, |at| Located::gfn(refused.error, at))
        }
        _ => refused,
    }
}
