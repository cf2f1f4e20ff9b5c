//! The tracker with what a hypervisor has around it.
//!
//! The tracker knows owners and the reverse map; which page a guest sees at which address stands in the
//! guests' tables. Here those are one map. A call by guest address is cut into runs that are contiguous
//! in guest and host frames, and each run is claimed for itself.

mod audit;
mod force;
mod give;
mod guest_frames;

use super::blocks::{Lender, Memory};
use crate::op::Op;
use crate::rng::Rng;
use crate::spec::{Answer, Done, Span};
use std::collections::BTreeMap;
use tenure_abi::{AddressWidth, Error, Frame, FrameRange, Gfn, Located, PageSize, Pfn, VmSlot};
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

    fn make(&mut self, op: Op) -> Answer {
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
            && let Some(claim) =
                self.tracker.claim_entry(transition, frames.first(), tenure_abi::PageSize::Size4K, identity)
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
