//! Calls that name pages by guest frame.

use super::{Leaf, System, range};
use crate::op::Op;
use crate::spec::{Answer, Done, Span};
use tenure_abi::{AddressWidth, Error, FrameRange, Gfn, Located, PageState, Pfn, Place, VmSlot};
use tenure_hyp::tracker::{Identity, Transition};

impl System<'_> {
    /// Run after run, up to the first refusal.
    pub(super) fn by_guest_frame(&mut self, op: Op, vm: VmSlot, gfns: Span) -> Answer {
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
            (None, Op::Relinquish { .. }) | (Some(Leaf::Burnt), Op::Reclaim { .. }) => return skip,
            (Some(Leaf::Burnt), Op::GuestShareHost { .. } | Op::GuestUnshareHost { .. } | Op::Relinquish { .. }) => {
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
