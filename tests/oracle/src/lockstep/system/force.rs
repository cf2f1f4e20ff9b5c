//! Forced reclaim: the one call that takes pages from guests by host frame.

use super::{Leaf, System, range};
use crate::spec::{Answer, Done, Span};
use tenure_abi::{Error, FrameRange, Gfn, Owner, PageState, Pfn, VmSlot};
use tenure_hyp::tracker::{Identity, Transition};

impl System<'_> {
    /// Forced reclaim: who loses the pages is read from the tracker.
    pub(super) fn force_reclaim(&mut self, pages: Span) -> Answer {
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
}
