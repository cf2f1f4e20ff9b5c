//! Pages on their way back from a guest to the host.

use super::{Answer, Done, Span, Spec, guest_must, page_must};
use std::collections::BTreeMap;
use tenure_abi::{Error, Gfn, Located, Owner, PageState, Pfn, VmSlot};

impl Spec {
    /// PK-14: the host takes back what a dying guest owns, scrubbed unless the guest had shared it.
    ///
    /// A range may mix shared and unshared pages. A burnt address has been reclaimed before and counts as done.
    ///
    /// # Errors
    /// `NotFound` where nothing is mapped, `Denied` where the page is not the guest's.
    pub fn reclaim(&mut self, vm: VmSlot, span: Span) -> Answer {
        let gfns = self.guest_frames(span)?;
        let mut pairs = Vec::new();
        for &gfn in gfns.iter().filter(|&&gfn| !self.poisoned.contains(&(vm, gfn))) {
            let pfn = self.mapped(vm, gfn)?;
            guest_must(self.owner.get(&pfn) == Some(&Owner::Guest(vm)), Error::Denied, gfn)?;
            pairs.push((pfn, gfn));
        }
        let mut done = Done { pages: span.count, ..Done::default() };
        for (pfn, gfn) in pairs {
            if !self.lent_to_host.contains(&pfn) {
                done.scrubbed.insert(pfn);
            }
            self.back_to_host(pfn, vm, gfn);
        }
        Ok(done)
    }

    /// PK-15: the host takes pages of guests back, scrubbed, and their guest addresses are burnt.
    ///
    /// # Errors
    /// `Fault` for a range that is not memory, `Retry` for a page that the host may touch already, its own or one
    /// that a guest shares with it (as the real kernel answers), `Denied` for one that is the hypervisor's.
    pub fn force_reclaim(&mut self, span: Span) -> Answer {
        let pages = self.host_frames(span, Error::Fault)?;
        let mut seen = BTreeMap::new();
        for (&(vm, gfn), &pfn) in &self.guest_map {
            seen.insert(pfn, (vm, gfn));
        }
        let mut found = Vec::new();
        for &pfn in &pages {
            page_must(!self.lent_to_host.contains(&pfn), Error::Retry, pfn)?;
            page_must(self.owner.get(&pfn) != Some(&Owner::Host), Error::Retry, pfn)?;
            // What is left is one guest's own, or the hypervisor's, which no guest sees.
            let &(vm, gfn) = seen.get(&pfn).ok_or(Located::pfn(Error::Denied, pfn))?;
            found.push((pfn, vm, gfn));
        }
        for &(pfn, vm, gfn) in &found {
            self.back_to_host(pfn, vm, gfn);
            self.poisoned.insert((vm, gfn));
        }
        Ok(Done { pages: span.count, scrubbed: pages.into_iter().collect() })
    }

    /// PK-25: a guest gives pages back by itself, scrubbed. Where nothing is mapped there is nothing to give,
    /// and the call succeeds.
    ///
    /// # Errors
    /// `Poisoned` at a burnt address, as all guest calls; `Denied` for a page that the guest does not have to itself.
    pub fn relinquish(&mut self, vm: VmSlot, span: Span) -> Answer {
        let mut pairs = Vec::new();
        for gfn in self.guest_frames(span)? {
            guest_must(!self.poisoned.contains(&(vm, gfn)), Error::Poisoned, gfn)?;
            if let Some(&pfn) = self.guest_map.get(&(vm, gfn)) {
                guest_must(self.page(pfn) == PageState::Exclusive(Owner::Guest(vm)), Error::Denied, gfn)?;
                pairs.push((pfn, gfn));
            }
        }
        for &(pfn, gfn) in &pairs {
            self.back_to_host(pfn, vm, gfn);
        }
        Ok(Done { pages: span.count, scrubbed: pairs.into_iter().map(|pair| pair.0).collect() })
    }

    /// PK-25 by a guest that owns nothing.
    ///
    /// # Errors
    /// `Invalid` for a malformed range.
    pub fn relinquish_nothing(&self, span: Span) -> Answer {
        let gfns = self.guest_frames(span)?;
        Ok(super::done(gfns.len()))
    }

    fn back_to_host(&mut self, pfn: Pfn, vm: VmSlot, gfn: Gfn) {
        self.owner.insert(pfn, Owner::Host);
        self.lent_to_host.remove(&pfn);
        self.guest_map.remove(&(vm, gfn));
    }
}
