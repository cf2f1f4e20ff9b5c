//! Memory back from protected guests: by death (PK-14), by force (PK-15), by their own wish (PK-25).
//!
//! The page goes out of the guest's map, and out of every TLB, before anything else; it is scrubbed while nobody
//! can touch it and no lock is held; only then is it the host's.

use super::guest_memory::{prefix, room_in_region};
use super::hyp_memory::pages;
use super::vm::{Life, Vm};
use super::{El2, Hardware, RESIDENCY_PAGES};
use crate::tracker::{Claim, Identity, Kind, Transition};
use tenure_abi::service::VmKind;
use tenure_abi::{Error, FrameRange, Gfn, Located, PageSize, Pfn, QuarantineReason, VmHandle, VmSlot};
use tenure_arch::stage2::Note;

type Held<'t, 'm> = Claim<'t, crate::tracker::AllAtStart<'m>>;

impl<'m, H: Hardware> El2<'m, H> {
    /// PK-14: takes pages of a dying guest back, from the start of `range` as far as all goes well: scrubbed, except pages the
    /// guest had shared. Burnt addresses count as taken back already. At most 2 MiB per call. Returns how many, at least 1.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the VM is not dying, [`Error::NotFound`] if nothing is at the first address,
    /// [`Error::Denied`] for a non-protected VM, whose pages are the host's, [`Error::NoMemory`] if a 2 MiB leaf must be split,
    /// because a part of it was shared, and no table page is there: the VM can still be given some.
    pub fn reclaim_guest(&self, handle: VmHandle, range: FrameRange<Gfn>) -> Result<u64, Located<Error>> {
        prefix(range.prefix(RESIDENCY_PAGES).unwrap_or(range), |part| {
            let mut place = self.vm(handle)?;
            let vm = place.in_life(Life::Dying)?;
            if vm.kind != VmKind::Protected {
                return Err(Located::gfn(Error::Denied, part.first()));
            }
            let run = match vm.run(part) {
                Err(Error::Poisoned) => return Ok(1),
                run => run.map_err(|error| Located::gfn(error, part.first()))?,
            };
            let run = run.prefix(room_in_region(run.first())).unwrap_or(run);
            let (op, claim) = self.claim_alike(vm, part.first(), run)?;
            let count = claim.count();
            vm.map.unmap(part.prefix(count).unwrap_or(part), self.hw, &mut vm.pages)?;
            vm.owned = vm.owned.saturating_sub(count);
            drop(place);
            self.hand_back(op, claim);
            Ok(count)
        })
    }

    /// Claims the pages at the start of `run` that are all private or all shared.
    fn claim_alike(
        &self,
        vm: &Vm<'m, H>,
        gfn: Gfn,
        run: FrameRange<Pfn>,
    ) -> Result<(Transition, Held<'_, 'm>), Located<Error>> {
        let kind = |pfn| self.tracker.lock_region(pfn).map(|guard| guard.entry(pfn).kind());
        let first = kind(run.first())?;
        let op = match first {
            Some(Kind::GuestSharedHost) => Transition::ReclaimShared,
            _ => Transition::ReclaimOwned,
        };
        let alike = pages(run).take_while(|&(_, pfn)| kind(pfn) == Ok(first)).count() as u64;
        let run = run.prefix(alike.max(1)).unwrap_or(run);
        Ok((op, self.claim(op, run, vm.identity(gfn)?)?))
    }

    /// Scrubs what the row says and publishes that the host has the pages.
    fn hand_back(&self, op: Transition, mut claim: Held<'_, 'm>) {
        if op != Transition::ReclaimShared {
            claim.park();
            for index in 0..claim.count() {
                if let Ok(pfn) = Pfn::new(claim.first() + index) {
                    self.hw.scrub(pfn);
                }
            }
        }
        claim.commit(PageSize::Size4K);
    }

    /// PK-15: takes private pages of living guests back, scrubbed, and burns their guest addresses; from the start of
    /// `frames` as far as all goes well. At most 2 MiB per call. Returns how many, at least 1.
    ///
    /// # Errors
    /// For the first page: [`Error::Fault`] if it is not memory, [`Error::Retry`] if the host may touch it already or it is moving,
    /// [`Error::Denied`] if it is nobody's but the hypervisor's, [`Error::NoMemory`] if a 2 MiB leaf must be split and no table
    /// page is there.
    pub fn force_reclaim(&self, frames: FrameRange<Pfn>) -> Result<u64, Located<Error>> {
        let mut done = 0;
        for (_, pfn) in pages(frames).take(RESIDENCY_PAGES as usize) {
            match self.force_reclaim_page(pfn) {
                Ok(()) => done += 1,
                Err(error) if done == 0 => return Err(Located::pfn(error, pfn)),
                Err(_) => break,
            }
        }
        Ok(done)
    }

    fn force_reclaim_page(&self, pfn: Pfn) -> Result<(), Error> {
        // Whose it is stands in the entry, but VMs come before regions in the lock order: look, let go, take both, look again.
        let (slot, gfn) = self.owner_of(pfn)?;
        let mut place = self.place(slot).ok_or(Error::Internal)?;
        let vm = place.vm.as_mut().ok_or(Error::Retry)?;
        let frame = FrameRange::single(pfn);
        let claim = self.claim(Transition::ForceReclaim, frame, Identity::guest(slot, gfn)?).map_err(|r| r.error)?;
        if vm.leaf(gfn).map(|leaf| leaf.pfn) != Ok(pfn) {
            // The guest's map and the reverse map contradict each other: nobody gets the page.
            claim.settle(0, Some(QuarantineReason::ReverseMap), PageSize::Size4K)?;
            self.tracker.count_contradiction();
            self.cut_off(pfn);
            return Err(Error::Internal);
        }
        let burnt = vm.map.annotate(FrameRange::single(gfn), Note::Poisoned, self.hw, &mut vm.pages);
        burnt.map_err(|refused| refused.error)?;
        vm.owned = vm.owned.saturating_sub(1);
        drop(place);
        self.hand_back(Transition::ForceReclaim, claim);
        Ok(())
    }

    /// The guest that owns `pfn` privately, and its gfn.
    fn owner_of(&self, pfn: Pfn) -> Result<(VmSlot, Gfn), Error> {
        let guard = self.tracker.lock_region(pfn).map_err(|error| match error {
            Error::NotMemory => Error::Fault,
            error => error,
        })?;
        let entry = guard.entry(pfn);
        match entry.kind() {
            Some(Kind::GuestExclusive) => entry.guest().ok_or(Error::Internal),
            Some(Kind::Absent) => Err(Error::Fault),
            Some(kind) if kind.host_may_touch() => Err(Error::Retry),
            Some(Kind::Quarantined) => Err(Error::Quarantined),
            _ => Err(Error::Denied),
        }
    }

    /// PK-25: a guest gives the page at `gfn` back. `Ok(false)`: there was nothing to give, which is fine.
    ///
    /// # Errors
    /// [`Error::Denied`] for a shared page, [`Error::Busy`] for a pinned one, [`Error::Poisoned`] at a burnt address,
    /// [`Error::NoMemory`] if a 2 MiB leaf must be split and no table page is there.
    pub(super) fn relinquish(&self, slot: VmSlot, gfn: Gfn) -> Result<bool, Located<Error>> {
        let mut place = self.place(slot).ok_or(Error::Internal)?;
        let vm = place.in_life(Life::Live)?;
        let leaf = match vm.leaf(gfn) {
            _ if vm.kind == VmKind::NonProtected => return Ok(false),
            Err(Error::NotFound) => return Ok(false),
            leaf => leaf.map_err(|error| Located::gfn(error, gfn))?,
        };
        let claim = self.claim(Transition::GuestRelinquish, FrameRange::single(leaf.pfn), vm.identity(gfn)?)?;
        vm.map.unmap(FrameRange::single(gfn), self.hw, &mut vm.pages)?;
        vm.owned = vm.owned.saturating_sub(1);
        drop(place);
        self.hand_back(Transition::GuestRelinquish, claim);
        Ok(true)
    }
}
