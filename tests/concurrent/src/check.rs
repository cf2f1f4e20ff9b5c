//! What must hold when all actors are done, on the machine and in the records.

use crate::world::{
    BLOCK, BLOCK_GFN, GFN, GFNS, OWN, PAGE, PAGES, RAM, RUN_PAGES, SECRET, World, gfn, gfns, pfn, pfns,
};
use tenure_abi::run::StopReason;
use tenure_abi::{Error, Owner, PageState, VmHandle};
use tenure_hyp::el2::Stop;
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
        for cached in self.hw.machine.cached() {
            for i in 0..cached.frames {
                let frame = pfn(cached.leads_to + i);
                self.allowed(cached.vmid, frame.number(), cached.first + i, "a TLB");
            }
            if cached.leaving {
                violation(format!("an invalidation was never completed: {cached:?}"));
            }
        }
        for frame in RAM..self.end {
            if let Ok(found) = self.hw.machine.walk(self.host, gfn(frame)) {
                if found.number() != frame {
                    violation(format!("the host's map of {frame:#x} leads to {found:?}"));
                }
                self.allowed(self.host.vmid(), found.number(), frame, "the host's map");
            }
        }
        self.lent();
        if !self.is_alive() {
            return;
        }
        for at in GFN..GFN + GFNS {
            if let Ok(found) = self.hw.machine.walk(self.guest, gfn(at)) {
                self.allowed(self.guest.vmid(), found.number(), at, "the guest's map");
            }
        }
        let block = if self.block { 512 } else { 0 };
        for at in BLOCK_GFN..BLOCK_GFN + block {
            if let Ok(found) = self.hw.machine.walk(self.guest, gfn(at)) {
                self.allowed(self.guest.vmid(), found.number(), at, "the guest's map");
            }
        }
        for page in (PAGE..PAGE + PAGES).chain(BLOCK..BLOCK + block) {
            let owner = self.entry(pfn(page)).and_then(tenure_hyp::tracker::Entry::guest);
            if let Some((_, at)) = owner
                && self.hw.machine.walk(self.guest, at) != Ok(pfn(page))
            {
                violation(format!("I6: {page:#x} is the guest's at {at:?}, its map says otherwise"));
            }
        }
    }

    /// I2 and I4: a page counts as many mappings as the borrower has of it.
    fn lent(&self) {
        let Ok((token, _)) = self.el2.vcpu_run(self.borrower, 0) else { return };
        self.el2.vcpu_stopped(token, Stop::plain(StopReason::SystemOff));
        for page in PAGE..PAGE + PAGES {
            let entry = self.entry(pfn(page)).filter(|entry| entry.kind() == Some(Kind::HostSharedGuests));
            let counted = entry.map_or(0, tenure_hyp::tracker::Entry::count) as usize;
            let mapped = (GFN..GFN + GFNS).filter(|&at| self.hw.machine.walk(self.borrowing, gfn(at)) == Ok(pfn(page)));
            let mapped = mapped.count();
            if mapped != counted {
                violation(format!(
                    "I4: {page:#x} is mapped {mapped} times by the borrower and counted {counted} times"
                ));
            }
        }
    }

    fn allowed(&self, vmid: u16, frame: u64, at: u64, who: &str) {
        let Some(entry) = self.entry(pfn(frame)) else { return };
        let fits = match vmid {
            _ if vmid == self.guest.vmid() => entry.guest() == Some((self.vm.slot(), gfn(at))),
            _ if vmid == self.borrowing.vmid() => entry.kind() == Some(Kind::HostSharedGuests),
            _ => entry.kind().is_some_and(Kind::host_may_touch),
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
                && !self.is_public(page)
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
        for vm in [self.vm, self.borrower] {
            self.end(vm);
        }
        for page in PAGE..PAGE + PAGES {
            // Where a scenario shared it.
            let _ = self.el2.unshare_hyp(pfns(page, 1));
        }
        if let Err(refused) = self.el2.unshare_hyp(pfns(RUN_PAGES, 3)) {
            violation(format!("I4: a run page is still pinned: {refused:?}"));
        }
        for frame in RAM + OWN..self.end {
            let state = self.el2.tracker().state(pfn(frame));
            if state != Ok(PageState::Exclusive(Owner::Host)) {
                violation(format!("I9: {frame:#x} did not come back: {state:?}"));
            }
        }
        if self.hw.attached() != 0 {
            violation(format!("{} pages are still mapped at EL2", self.hw.attached()));
        }
    }

    fn end(&self, vm: VmHandle) {
        let _ = self.el2.vm_start_teardown(vm);
        for at in GFN..GFN + GFNS {
            let answer = match vm == self.borrower {
                true => self.el2.unshare_guest(vm, gfns(at, 1)),
                false => self.el2.reclaim_guest(vm, gfns(at, 1)),
            };
            match answer {
                Ok(_) => {}
                Err(refused) if matches!(refused.error, Error::NotFound | Error::Invalid) => {}
                Err(refused) => violation(format!("{at:#x} cannot be taken back: {refused:?}")),
            }
        }
        let mut at = if vm == self.vm && self.block { 0 } else { 512 };
        while at < 512 {
            at += match self.el2.reclaim_guest(vm, gfns(BLOCK_GFN + at, 512 - at)) {
                Ok(pages) => pages,
                Err(refused) if matches!(refused.error, Error::NotFound | Error::Invalid) => 1,
                Err(refused) => return violation(format!("{at} of the block cannot be taken back: {refused:?}")),
            };
        }
        loop {
            match self.el2.vm_finish_teardown(vm) {
                Ok(0) => return,
                Ok(_) => {}
                Err(refused) if refused.error == Error::Invalid => return,
                Err(refused) => return violation(format!("I4: {vm:?} cannot be ended: {refused:?}")),
            }
        }
    }
}
