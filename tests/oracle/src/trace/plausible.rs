//! Calls with pages in the state they want.

use super::{Mood, Trace};
use crate::op::Op;
use crate::spec::{Spec, Vm, VmKind};
use tenure_abi::{Borrower, Owner, PageState, Pfn, VmSlot};

/// The calls that have pages, and how likely each is when filling and when draining.
const CALLS: [(Call, u64, u64); 16] = [
    (Call::HostShareHyp, 8, 2),
    (Call::HostUnshareHyp, 2, 8),
    (Call::HypPin, 6, 2),
    (Call::HypUnpin, 3, 9),
    (Call::HostDonateHyp, 5, 1),
    (Call::HypDonateHost, 1, 6),
    (Call::HypGet, 3, 1),
    (Call::HypPut, 1, 4),
    (Call::HostShareGuest, 10, 3),
    (Call::HostUnshareGuest, 3, 10),
    (Call::HostDonateGuest, 12, 3),
    (Call::GuestShareHost, 9, 6),
    (Call::GuestUnshareHost, 7, 7),
    (Call::Reclaim, 3, 6),
    (Call::ForceReclaim, 1, 4),
    (Call::Relinquish, 1, 6),
];

#[derive(Clone, Copy, Debug)]
enum Call {
    HostShareHyp,
    HostUnshareHyp,
    HypPin,
    HypUnpin,
    HostDonateHyp,
    HypDonateHost,
    HypGet,
    HypPut,
    HostShareGuest,
    HostUnshareGuest,
    HostDonateGuest,
    GuestShareHost,
    GuestUnshareHost,
    Reclaim,
    ForceReclaim,
    Relinquish,
}

impl Trace {
    fn call(&mut self) -> Call {
        let weight = |&(_, fill, drain): &(Call, u64, u64)| match self.mood {
            Mood::Fill => fill,
            Mood::Drain => drain,
            Mood::Mixed | Mood::Sweep => fill + drain,
        };
        let mut ticket = self.rng.below(CALLS.iter().map(weight).sum());
        for entry in &CALLS {
            match ticket.checked_sub(weight(entry)) {
                Some(rest) => ticket = rest,
                None => return entry.0,
            }
        }
        Call::HostShareHyp
    }

    /// A VM that the call could be about, if there is one.
    fn vm(&mut self, spec: &Spec, kind: VmKind, dying: Option<bool>) -> Option<VmSlot> {
        let fits = |vm: &Vm| vm.kind == kind && dying.is_none_or(|dying| vm.dying == dying);
        let fitting: Vec<_> = spec.vms.iter().filter(|(_, vm)| fits(vm)).map(|(&slot, _)| slot).collect();
        (!fitting.is_empty()).then(|| self.rng.one_of(&fitting))
    }

    /// A call with pages in the state it wants, as far as there are any.
    pub(super) fn plausible(&mut self, spec: &Spec) -> Option<Op> {
        let own = |pfn: Pfn| spec.page(pfn) == PageState::Exclusive(Owner::Host);
        let hyps = |pfn: Pfn| spec.owner.get(&pfn) == Some(&Owner::Hyp);
        let lent = |pfn: Pfn| spec.lent_to_hyp.contains(&pfn);
        Some(match self.call() {
            Call::HostShareHyp => Op::HostShareHyp(self.host_span(own)),
            Call::HostDonateHyp => Op::HostDonateHyp(self.host_span(own)),
            Call::HostUnshareHyp => Op::HostUnshareHyp(self.host_span(|pfn| lent(pfn) && spec.pins_of(pfn) == 0)),
            Call::HypPin => Op::HypPin(self.host_span(lent)),
            Call::HypUnpin => Op::HypUnpin(self.held_span(&spec.pins)),
            Call::HypDonateHost => Op::HypDonateHost(self.host_span(|pfn| hyps(pfn) && spec.references_of(pfn) == 0)),
            Call::HypGet | Call::HypPut if !self.references => return None,
            Call::HypGet => Op::HypGet(self.host_span(hyps)),
            Call::HypPut => Op::HypPut(self.held_span(&spec.references)),
            Call::HostShareGuest => {
                let mapped = |pfn: Pfn| {
                    matches!(spec.page(pfn), PageState::Shared { owner: Owner::Host, with: Borrower::Guests { .. } })
                };
                let again = self.rng.percent(35);
                let pages = self.host_span(|pfn| if again { mapped(pfn) } else { own(pfn) });
                let vm = self.vm(spec, VmKind::NonProtected, Some(false))?;
                let (pages, gfn) = self.with_free_gfns(spec, vm, pages);
                Op::HostShareGuest { vm, pages, gfn }
            }
            Call::HostDonateGuest => {
                let pages = self.host_span(own);
                let vm = self.vm(spec, VmKind::Protected, Some(false))?;
                let (pages, gfn) = self.with_free_gfns(spec, vm, pages);
                Op::HostDonateGuest { vm, pages, gfn }
            }
            Call::HostUnshareGuest => {
                let vm = self.vm(spec, VmKind::NonProtected, None)?;
                Op::HostUnshareGuest { vm, gfns: self.guest_span(spec, vm, |_| true) }
            }
            Call::GuestShareHost => {
                let vm = self.vm(spec, VmKind::Protected, Some(false))?;
                let gfns = self.guest_span(spec, vm, |pfn| !spec.lent_to_host.contains(&pfn));
                Op::GuestShareHost { vm, gfns }
            }
            Call::GuestUnshareHost => {
                let vm = self.vm(spec, VmKind::Protected, Some(false))?;
                Op::GuestUnshareHost { vm, gfns: self.guest_span(spec, vm, |pfn| spec.lent_to_host.contains(&pfn)) }
            }
            Call::Reclaim => {
                let vm = self.vm(spec, VmKind::Protected, Some(true))?;
                Op::Reclaim { vm, gfns: self.guest_span(spec, vm, |_| true) }
            }
            Call::Relinquish => {
                let vm = self.vm(spec, VmKind::Protected, Some(false))?;
                let gfns = self.guest_span(spec, vm, |pfn| !spec.lent_to_host.contains(&pfn));
                Op::Relinquish { vm, gfns }
            }
            Call::ForceReclaim => {
                let owned = |pfn| matches!(spec.page(pfn), PageState::Exclusive(Owner::Guest(_)));
                Op::ForceReclaim(self.host_span(owned))
            }
        })
    }
}
