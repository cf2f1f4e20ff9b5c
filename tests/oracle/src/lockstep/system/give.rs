//! Host pages on their way into a guest's table.

use super::{Leaf, System, range};
use crate::spec::{Answer, Done, Span};
use tenure_abi::{Error, FrameRange, Gfn, Located, Pfn, Place, VmSlot};
use tenure_hyp::tracker::{Identity, Transition};

impl System<'_> {
    /// Puts host pages into a guest's table from `gfn` on: claim after claim, up to the first refusal.
    pub(super) fn give_guest(&mut self, transition: Transition, vm: VmSlot, pages: Span, gfn: u64) -> Answer {
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
}
