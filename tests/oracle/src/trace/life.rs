//! The life of VMs, and the way back: steps that end what plausible calls began.

use super::{Trace, VMS, guest_span_at, span_at};
use crate::op::Op;
use crate::spec::{Spec, VmKind};
use tenure_abi::{Borrower, Gfn, Owner, PageState, Pfn, VmSlot};

impl Trace {
    /// Now and then a step in the life of a VM.
    pub(super) fn life(&mut self, spec: &Spec) -> Option<Op> {
        if !self.rng.percent(4) {
            return None;
        }
        let (index, kind) = self.rng.one_of(&VMS);
        let vm = VmSlot::new(index).ok()?;
        let Some(now) = spec.vms.get(&vm) else {
            return Some(Op::VmCreate { vm, kind });
        };
        let empty = spec.sees_nothing(vm);
        let likely = match (now.dying, empty) {
            (true, true) => 60,
            (true, false) => 5,
            (false, _) => 4,
        };
        if !self.rng.percent(likely) {
            return None;
        }
        Some(if now.dying { Op::VmFinishTeardown(vm) } else { Op::VmStartTeardown(vm) })
    }

    /// A step towards the end of a dying VM.
    pub(super) fn bury(&mut self, spec: &Spec) -> Option<Op> {
        let (&vm, found) = spec.vms.iter().find(|(_, vm)| vm.dying)?;
        if !self.rng.percent(50) {
            return None;
        }
        let gfns = self.guest_span(spec, vm, |_| true);
        // Now and then too early.
        if spec.sees_nothing(vm) || self.rng.percent(4) {
            return Some(Op::VmFinishTeardown(vm));
        }
        Some(match found.kind {
            VmKind::Protected => Op::Reclaim { vm, gfns },
            VmKind::NonProtected => Op::HostUnshareGuest { vm, gfns },
        })
    }

    /// A step towards memory that is all the host's: undo what was done to the first pages touched.
    pub(super) fn sweep(&mut self, spec: &Spec) -> Option<Op> {
        let from = self.swept.or(spec.owner.keys().next().copied())?;
        let touched = spec.owner.range(from..).find(|(pfn, _)| spec.page(**pfn) != PageState::Exclusive(Owner::Host));
        let Some((&pfn, &owner)) = touched else {
            self.left = 0;
            return None;
        };
        self.swept = Some(pfn);
        let like =
            |other: &Pfn| spec.page(*other) == spec.page(pfn) && spec.references_of(*other) == spec.references_of(pfn);
        let run = span_at(pfn, self.length().max(300)).frames().take_while(like).count() as u64;
        let pages = span_at(pfn, run);
        Some(match (owner, spec.page(pfn)) {
            (Owner::Hyp, _) if spec.references_of(pfn) > 0 => Op::HypPut(pages),
            (Owner::Hyp, _) => Op::HypDonateHost(pages),
            (Owner::Host, PageState::Shared { with: Borrower::Hyp { pins: 0 }, .. }) => Op::HostUnshareHyp(pages),
            (Owner::Host, PageState::Shared { with: Borrower::Hyp { .. }, .. }) => Op::HypUnpin(pages),
            (_, state) => {
                let (&(vm, gfn), _) = spec.guest_map.iter().find(|entry| *entry.1 == pfn)?;
                let alike = |gfn: &Gfn| spec.guest_map.get(&(vm, *gfn)).is_some_and(like);
                let count = guest_span_at(gfn, run).guest_frames().take_while(alike).count() as u64;
                let gfns = guest_span_at(gfn, count);
                let dying = spec.vms.get(&vm).is_some_and(|vm| vm.dying);
                match (owner, state) {
                    (Owner::Host, _) => Op::HostUnshareGuest { vm, gfns },
                    _ if dying => Op::Reclaim { vm, gfns },
                    (_, PageState::Shared { .. }) => Op::GuestUnshareHost { vm, gfns },
                    _ => Op::ForceReclaim(pages),
                }
            }
        })
    }
}
