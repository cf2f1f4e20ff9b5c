//! What must hold when all actors are done, on the machine and in the records.

use crate::world::{GFN, GFNS, OWN, PAGE, PAGES, RAM, REGIONS, RUN_PAGES, SECRET, World, gfn, gfns, pfn, pfns};
use std::sync::atomic::Ordering::SeqCst;
use tenure_abi::{Error, Owner, PageState};
use tenure_hyp::tracker::Kind;
use tenure_machine::step::violation;

impl World<'_> {
    /// Checks everything, then ends the guest and checks that everything came back.
    pub fn check(&self) {
        self.records();
        self.hardware();
        self.content();
        self.drain();
        self.records();
        self.hardware();
    }

    /// I9, and the tracker's own rules: live counts, formats, no region left locked or claimed.
    fn records(&self) {
        let tracker = self.el2.tracker();
        let audit = tracker.audit(pfn(0), u64::MAX);
        let sum: u64 = audit.kinds.iter().sum();
        if (audit.faults, audit.busy, tracker.contradictions()) != (0, 0, 0) || sum != audit.pages {
            violation(format!("I9: {} contradictions, {audit:?}", tracker.contradictions()));
        }
    }

    /// I1 to I3 and I6: whatever a walk or a TLB leads to is allowed by the entry.
    fn hardware(&self) {
        let guest_vmid = self.guest.vmid();
        for cached in self.hw.machine.cached() {
            for i in 0..cached.frames {
                let frame = pfn(cached.leads_to + i);
                self.allowed(cached.vmid == guest_vmid, frame.number(), cached.first + i, "a TLB");
            }
            if cached.leaving {
                violation(format!("an invalidation was never completed: {cached:?}"));
            }
        }
        for frame in RAM..RAM + REGIONS * 512 {
            if let Ok(found) = self.hw.machine.walk(self.host, gfn(frame)) {
                if found.number() != frame {
                    violation(format!("the host's map of {frame:#x} leads to {found:?}"));
                }
                self.allowed(false, found.number(), frame, "the host's map");
            }
        }
        if !self.is_alive() {
            return;
        }
        for at in GFN..GFN + GFNS {
            if let Ok(found) = self.hw.machine.walk(self.guest, gfn(at)) {
                self.allowed(true, found.number(), at, "the guest's map");
            }
        }
        for page in PAGE..PAGE + PAGES {
            let owner = self.entry(pfn(page)).and_then(tenure_hyp::tracker::Entry::guest);
            if let Some((_, at)) = owner
                && self.hw.machine.walk(self.guest, at) != Ok(pfn(page))
            {
                violation(format!("I6: {page:#x} is the guest's at {at:?}, its map says otherwise"));
            }
        }
    }

    fn allowed(&self, guest: bool, frame: u64, at: u64, who: &str) {
        let Some(entry) = self.entry(pfn(frame)) else { return };
        let fits = match guest {
            true => entry.guest() == Some((self.vm.slot(), gfn(at))),
            false => entry.kind().is_some_and(Kind::host_may_touch),
        };
        if !fits {
            violation(format!("I3: {who} leads {at:#x} to {frame:#x}, which is {entry:?}"));
        }
    }

    /// I5: what is the host's holds no secret that the guest did not give away.
    fn content(&self) {
        for page in 0..PAGES {
            let frame = pfn(PAGE + page);
            let hosts = self.entry(frame).is_some_and(|entry| entry.kind() == Some(Kind::HostExclusive));
            let Some(frame) = self.hw.machine.memory().frame(frame).filter(|_| hosts) else { continue };
            let secret = (0..tenure_machine::WORDS).map(|i| frame.peek(i)).find(|word| word >> 8 == SECRET >> 8);
            if let Some(value) = secret
                && self.public.load(SeqCst) >> page & 1 == 0
            {
                violation(format!("I5: page {page} came back with {value:#x}"));
            }
        }
    }

    /// Whether the guest's tables are still there: calls that could only fail say so by how they fail.
    fn is_alive(&self) -> bool {
        let dying = self.el2.reclaim_guest(self.vm, gfns(GFN + GFNS, 1)).is_err_and(|r| r.error == Error::NotFound);
        dying || self.el2.vm_topup(self.vm, pfns(RAM, 1)).is_err_and(|r| r.error == Error::Denied)
    }

    /// I4 and I9: the guest can be ended, which it can only if its counters say that it has nothing, and then every page but
    /// the hypervisor's own is the host's.
    fn drain(&self) {
        let _ = self.el2.vm_start_teardown(self.vm);
        for at in GFN..GFN + GFNS {
            match self.el2.reclaim_guest(self.vm, gfns(at, 1)) {
                Ok(_) => {}
                Err(refused) if matches!(refused.error, Error::NotFound | Error::Invalid) => {}
                Err(refused) => violation(format!("{at:#x} cannot be reclaimed: {refused:?}")),
            }
        }
        loop {
            match self.el2.vm_finish_teardown(self.vm) {
                Ok(0) => break,
                Ok(_) => {}
                Err(refused) if refused.error == Error::Invalid => break,
                Err(refused) => return violation(format!("I4: the guest cannot be ended: {refused:?}")),
            }
        }
        if let Err(refused) = self.el2.unshare_hyp(pfns(RUN_PAGES, 2)) {
            violation(format!("I4: a run page is still pinned: {refused:?}"));
        }
        for frame in RAM + OWN..RAM + REGIONS * 512 {
            let state = self.el2.tracker().state(pfn(frame));
            if state != Ok(PageState::Exclusive(Owner::Host)) {
                violation(format!("I9: {frame:#x} did not come back: {state:?}"));
            }
        }
        if self.hw.attached() != 0 {
            violation(format!("{} pages are still mapped at EL2", self.hw.attached()));
        }
    }
}
