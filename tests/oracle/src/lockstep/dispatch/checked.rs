//! EL2 as a subject: what it is asked for, which differences are its choice, and what its tables must say.

use super::{Dispatch, FIRST, HOST_ROOT, MARK, PLENTY, SPACE, VMS, root_of};
use crate::lockstep::subject::Subject;
use crate::lockstep::walk::{self, Seen};
use crate::lockstep::{LIMITS, compare};
use crate::op::Op;
use crate::spec::{Answer, Done, Machine, Span, Spec, VmKind};
use std::collections::{BTreeMap, BTreeSet};
use tenure_abi::{Error, Gfn, Interface, Owner, PageState, Pfn, Place, VmSlot};
use tenure_hyp::el2::HostFault;
use tenure_test_board::{END, RAM};

impl Subject for Dispatch {
    fn machine(&self) -> Machine {
        Machine { ram: vec![(FIRST, END)], pfn_end: SPACE, gfn_end: SPACE, limits: LIMITS }
    }

    fn takes(&self, op: Op, spec: &Spec) -> bool {
        let beside = |pages: Span| pages.first >= FIRST || pages.first.saturating_add(pages.count) <= RAM;
        let runs = |vm| self.vms.get(&vm).is_some_and(|known: &super::Known| known.vcpu.is_some());
        match op {
            Op::HypGet(_) | Op::HypPut(_) => false,
            // What a non-protected guest is told when it shares is for its interface to say, not for these rows.
            Op::GuestShareHost { vm, .. } | Op::GuestUnshareHost { vm, .. } => {
                runs(vm) && spec.vms.get(&vm).is_some_and(|vm| vm.kind == VmKind::Protected)
            }
            Op::Relinquish { vm, .. } => runs(vm),
            Op::VmCreate { vm, .. } => !self.vms.contains_key(&vm) && self.vms.len() < VMS,
            _ => op.pages().is_none_or(beside),
        }
    }

    fn follows(&self, _: Op) -> bool {
        false
    }

    fn learn(&mut self, _: Op) {}

    fn call(&mut self, op: Op, spec: &Spec) -> Answer {
        let ram = |pfn: &Pfn| spec.owner.contains_key(pfn);
        let marked: Vec<Pfn> = op.named_pages(spec).into_iter().filter(ram).collect();
        for pfn in &marked {
            self.board.write(pfn.number(), 0, MARK ^ pfn.number() << 8);
        }
        let pages = self.ask(op)?;
        let mut scrubbed = BTreeSet::new();
        for &pfn in &marked {
            match self.board.read(pfn.number(), 0) {
                0 => drop(scrubbed.insert(pfn)),
                kept => assert_eq!(kept, MARK ^ pfn.number() << 8, "the content of {pfn:?} changed"),
            }
        }
        // PK-06 leaves the zeroing to its caller, which EL2 is itself.
        if matches!(op, Op::HypDonateHost(_)) {
            assert_eq!(scrubbed.len() as u64, pages, "pages of the hypervisor left it unscrubbed");
            scrubbed.clear();
        }
        Ok(Done { pages, scrubbed })
    }

    fn may_lack_memory(&self) -> bool {
        self.tables < PLENTY
    }

    fn chooses(&self, op: Op, spec: &Answer, subject: &Answer) -> Option<&'static str> {
        let (Err(spec), Err(subject)) = (spec, subject) else { return None };
        let guest = |error: Error| error.code(Interface::Guest);
        match op {
            Op::GuestShareHost { .. } if spec.error == Error::NotFound => None,
            Op::GuestShareHost { .. } | Op::GuestUnshareHost { .. } | Op::Relinquish { .. } => {
                let hidden = subject.error == Error::Invalid && guest(spec.error) == guest(Error::Invalid);
                hidden.then_some("a guest is told a code, not a place")
            }
            Op::Reclaim { .. } if (spec.error, subject.error) == (Error::NotFound, Error::Denied) => {
                Some("a non-protected VM has nothing to reclaim, mapped or not")
            }
            Op::HostShareGuest { .. } | Op::HostDonateGuest { .. } | Op::ForceReclaim(_)
                if spec.error == Error::Invalid && matches!(spec.at, Place::Pfn(_)) =>
            {
                Some("a call that may stop early looks no further than it gets")
            }
            Op::HostShareGuest { .. } | Op::HostDonateGuest { .. } if spec.error == subject.error => {
                Some("host pages are judged before guest addresses")
            }
            _ => None,
        }
    }

    fn state(&self, pfn: Pfn) -> Result<PageState, Error> {
        if (RAM..FIRST).contains(&pfn.number()) {
            return Ok(PageState::Absent);
        }
        let named = |owner| match owner {
            Owner::Guest(slot) => Owner::Guest(self.named(slot)),
            other => other,
        };
        Ok(match self.el2.tracker().state(pfn)? {
            PageState::Exclusive(owner) => PageState::Exclusive(named(owner)),
            PageState::Shared { owner, with } => PageState::Shared { owner: named(owner), with },
            other => other,
        })
    }

    fn seen_at(&self, pfn: Pfn) -> Option<(VmSlot, Gfn)> {
        let (slot, gfn) = self.el2.tracker().lock_region(pfn).ok()?.entry(pfn).guest()?;
        Some((self.named(slot), gfn))
    }

    /// By a leaf that is there, or else by a fault that puts one there.
    fn host_touches(&self, pfn: Pfn) -> Option<bool> {
        if !(FIRST..END).contains(&pfn.number()) {
            return None;
        }
        let leaf = matches!(walk::one(self.board, HOST_ROOT, pfn.number()), Some(Seen::Frame(_)));
        Some(leaf || self.el2.host_fault(pfn.address()) == HostFault::Retry)
    }

    fn audit(&self, spec: &Spec) -> Result<(), String> {
        for (&vm, known) in &self.vms {
            let said = spec.guest_map.iter().filter(|(key, _)| key.0 == vm);
            let said = said.map(|(key, pfn)| (key.1.number(), Seen::Frame(pfn.number())));
            let burnt = spec.poisoned.iter().filter(|key| key.0 == vm).map(|key| (key.1.number(), Seen::Note));
            let said: BTreeMap<u64, Seen> = said.chain(burnt).collect();
            let seen = walk::all(self.board, root_of(known.place));
            if seen != said {
                let odd = said.iter().find(|(gfn, what)| seen.get(gfn) != Some(what));
                let extra = seen.iter().find(|(gfn, _)| !said.contains_key(gfn));
                return Err(format!("{vm:?}: not in its table {odd:x?}, only there {extra:x?}"));
            }
        }
        for (frame, leaf) in walk::all(self.board, HOST_ROOT).range(FIRST..END) {
            let host = Pfn::new(*frame).is_ok_and(|pfn| compare::host_may_touch(spec, pfn));
            if !host || *leaf != Seen::Frame(*frame) {
                return Err(format!("the host's table maps {frame:#x} to {leaf:x?}"));
            }
        }
        let audit = self.el2.tracker().audit(Pfn::new(0).map_err(|e| format!("{e:?}"))?, u64::MAX);
        let sum: u64 = audit.kinds.iter().sum();
        let sound = audit.faults == 0 && audit.busy == 0 && audit.next.is_none() && sum == audit.pages;
        match (sound, self.el2.tracker().contradictions()) {
            (true, 0) => Ok(()),
            (_, contradictions) => Err(format!("{contradictions} contradictions, {audit:?}")),
        }
    }
}
