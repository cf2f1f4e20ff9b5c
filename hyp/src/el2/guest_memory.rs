//! Memory from the host to guests, and back from non-protected ones: rows PK-09 to PK-11.

use super::hyp_memory::pages;
use super::vm::{Life, Vm};
use super::{El2, Hardware, RESIDENCY_PAGES};
use crate::tracker::{Identity, Transition};
use tenure_abi::service::{Prot, VmKind};
use tenure_abi::{Error, FrameRange, Gfn, Located, PageSize, Pfn, VmHandle};
use tenure_arch::pages::TablePages;
use tenure_arch::stage2::{Attributes, Memory};

impl<H: Hardware> Vm<'_, H> {
    /// Makes sure that `frames`, all of one region, can be mapped at `gfn`. Returns the size of the leaves.
    ///
    /// # Errors
    /// [`Error::Denied`] if anything, memory or note, is there; [`Error::NoMemory`] if table pages are missing.
    fn reserve(&self, gfn: Gfn, frames: FrameRange<Pfn>) -> Result<PageSize, Located<Error>> {
        let needed = self.map.tables_needed(gfn, frames, PageSize::Size2M).map_err(|refused| match refused.error {
            Error::Exists => Located { error: Error::Denied, ..refused },
            _ => refused,
        })?;
        match needed <= self.pages.available() as u64 {
            true if self.map.maps_as_block(gfn, frames) => Ok(PageSize::Size2M),
            true => Ok(PageSize::Size4K),
            false => Err(Error::NoMemory.into()),
        }
    }
}

impl<'m, H: Hardware> El2<'m, H> {
    /// PK-11: host pages become the protected guest's at `gfn`; their content is its payload. Returns how many pages
    /// moved: up to the end of the first 2 MiB of host memory.
    ///
    /// # Errors
    /// The row's; [`Error::Invalid`] for a VM that is not live or not protected; [`Error::Denied`] if the guest has something
    /// at one of the addresses, or had it forced out; [`Error::NoMemory`] if table pages are missing.
    pub fn donate_guest(&self, handle: VmHandle, frames: FrameRange<Pfn>, gfn: Gfn) -> Result<u64, Located<Error>> {
        let mut place = self.vm(handle)?;
        let vm = place.in_life(Life::Live)?;
        if vm.kind != VmKind::Protected {
            return Err(Error::Invalid.into());
        }
        let mut claim = self.claim(Transition::HostDonateGuest, frames, vm.identity(gfn)?)?;
        let frames = held(frames, claim.count())?;
        let size = vm.reserve(gfn, frames)?;
        self.host.take(frames.first().number(), frames.count(), self.hw);
        claim.park();
        self.prepare(frames);
        claim.commit(size);
        vm.owned += frames.count();
        self.give(vm, gfn, frames, Attributes::NORMAL_RWX)
    }

    /// PK-09: maps host pages at `gfn` of a non-protected guest; the host keeps them. Returns how many, as
    /// [`El2::donate_guest`].
    ///
    /// # Errors
    /// As [`El2::donate_guest`]; [`Error::Invalid`] for a protected VM; [`Error::Saturated`] at `u32::MAX` mappings.
    pub fn share_guest(
        &self,
        handle: VmHandle,
        frames: FrameRange<Pfn>,
        gfn: Gfn,
        prot: Prot,
    ) -> Result<u64, Located<Error>> {
        let mut place = self.vm(handle)?;
        let vm = place.in_life(Life::Live)?;
        if vm.kind != VmKind::NonProtected || prot.is_empty() {
            return Err(Error::Invalid.into());
        }
        let mut claim = self.claim(Transition::HostShareGuest, frames, Identity::NONE)?;
        let frames = held(frames, claim.count())?;
        vm.reserve(gfn, frames)?;
        claim.park();
        self.prepare(frames);
        claim.commit(PageSize::Size4K);
        vm.mapped += frames.count();
        self.give(vm, gfn, frames, Attributes::new(Memory::Normal, prot))
    }

    /// PK-10: takes such mappings back, from the start of `range` as far as all goes well. Returns how many, at least 1.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a protected or free VM, [`Error::NotFound`] if the first page is not mapped,
    /// [`Error::NoMemory`] if a 2 MiB leaf must be split and no table page is there.
    pub fn unshare_guest(&self, handle: VmHandle, range: FrameRange<Gfn>) -> Result<u64, Located<Error>> {
        let mut place = self.vm(handle)?;
        let life = if place.life == Life::Dying { Life::Dying } else { Life::Live };
        let vm = place.in_life(life)?;
        if vm.kind != VmKind::NonProtected {
            return Err(Error::Invalid.into());
        }
        prefix(range, |part| {
            let run = vm.run(part).map_err(|error| Located::gfn(error, part.first()))?;
            let run = run.prefix(room_in_region(run.first())).unwrap_or(run);
            let claim = self.claim(Transition::HostUnshareGuest, run, Identity::NONE)?;
            vm.map.unmap(part.prefix(run.count()).unwrap_or(part), self.hw, &mut vm.pages)?;
            claim.commit(PageSize::Size4K);
            vm.mapped = vm.mapped.saturating_sub(run.count());
            Ok(run.count())
        })
    }

    fn prepare(&self, frames: FrameRange<Pfn>) {
        for (_, pfn) in pages(frames) {
            self.hw.prepare_for_guest(pfn);
        }
    }

    /// Maps pages that the entries already give to the guest. Reserved, so it cannot fail but for damaged tables.
    fn give(
        &self,
        vm: &mut Vm<'m, H>,
        gfn: Gfn,
        frames: FrameRange<Pfn>,
        attributes: Attributes,
    ) -> Result<u64, Located<Error>> {
        vm.map.map(gfn, frames, attributes, PageSize::Size2M, self.hw, &mut vm.pages)?;
        Ok(frames.count())
    }
}

/// The pages of `frames` that a claim holds.
pub(super) fn held(frames: FrameRange<Pfn>, count: u64) -> Result<FrameRange<Pfn>, Error> {
    frames.prefix(count).ok_or(Error::Internal)
}

/// How many pages there are from `pfn` to the end of its region.
pub(super) fn room_in_region(pfn: Pfn) -> u64 {
    let region = PageSize::Size2M.frames();
    region - (pfn.number() & (region - 1))
}

/// Works through `range` step by step: each step does some pages from the start of what is left. An error ends it, and is
/// the answer only if nothing was done before. So does having done [`RESIDENCY_PAGES`]; a single step may do more.
pub(super) fn prefix(
    range: FrameRange<Gfn>,
    mut step: impl FnMut(FrameRange<Gfn>) -> Result<u64, Located<Error>>,
) -> Result<u64, Located<Error>> {
    let mut done = 0;
    while let Some(rest) = range.rest(done).filter(|_| done < RESIDENCY_PAGES) {
        match step(rest) {
            Ok(0) => break,
            Ok(pages) => done += pages,
            Err(refused) if done == 0 => return Err(refused),
            Err(_) => break,
        }
    }
    Ok(done)
}
