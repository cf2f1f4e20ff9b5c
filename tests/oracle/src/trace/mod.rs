//! Random calls that mostly make sense.
//!
//! Calls chosen blindly are nearly all refused, and a tracker that only refuses is not tested. So a
//! trace looks at the specification's state, picks a call, and then pages in the state that the call
//! wants; some calls are spoilt on purpose (`spoil`). Moods alternate between filling and draining, so
//! that whole 2 MiB regions become uniform, break up and become uniform again.

mod pick;
mod spoil;

use crate::op::Op;
use crate::rng::Rng;
use crate::spec::{Limits, Machine, Span, Spec, Vm, VmKind};
use tenure_abi::{Borrower, Gfn, Owner, PageState, Pfn, VmSlot};

/// How many host frames the traces' machine can address: 48 bits.
const PFN_END: u64 = 1 << 36;
/// Guest frames that plausible calls use lie below this; the address width is 48 bits.
const GFN_USED: u64 = 0x2800;

/// RAM that is small and awkward: five regions of 2 MiB in a row, an unaligned piece, one that begins
/// aligned and ends not, one that fills the end of a GiB and goes on in the next, and a single page.
pub const RAM: [(u64, u64); 5] =
    [(0x4_0000, 0x4_0a00), (0x4_0c7f, 0x4_0d81), (0x8_0000, 0x8_0333), (0xb_fe00, 0xc_0300), (0x10_0001, 0x10_0002)];

/// The machine that traces run on.
pub fn machine(limits: Limits) -> Machine {
    Machine { ram: RAM.to_vec(), pfn_end: PFN_END, gfn_end: PFN_END, limits }
}

/// The VMs of a trace: the slots' ends, and one between.
const VMS: [(u16, VmKind); 3] = [(0, VmKind::Protected), (5, VmKind::NonProtected), (1023, VmKind::Protected)];

/// The calls that make the VMs.
///
/// # Panics
/// Never: the slots exist.
pub fn setup() -> Vec<Op> {
    let create = |(index, kind)| Op::VmCreate { vm: VmSlot::new(index).expect("the slots of a trace exist"), kind };
    VMS.into_iter().map(create).collect()
}

/// What a trace is up to. The order is that of a cycle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mood {
    /// Give pages away, many at a time.
    Fill,
    /// Give and take.
    Mixed,
    /// Take them back here and there.
    Drain,
    /// Take back everything, from the first page of RAM on.
    Sweep,
}

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

/// An endless trace.
#[derive(Clone, Debug)]
pub struct Trace {
    rng: Rng,
    mood: Mood,
    /// Calls until the mood changes.
    left: u64,
    /// How far a sweep has come.
    swept: Option<Pfn>,
    /// Whether hypervisor pages are referenced.
    references: bool,
}

impl Trace {
    /// The trace of `seed`.
    pub const fn new(seed: u64) -> Self {
        Self { rng: Rng::new(seed), mood: Mood::Fill, left: 200, swept: None, references: true }
    }

    /// The same without references to hypervisor pages, for implementations that have no call for them.
    #[must_use]
    pub const fn without_references(self) -> Self {
        Self { references: false, ..self }
    }

    /// The next call, for a machine in the state of `spec`. Never a mistake of the hypervisor itself.
    pub fn next_op(&mut self, spec: &Spec) -> Op {
        self.change_mood();
        let mut op = self.life(spec).or_else(|| self.bury(spec));
        if op.is_none() && self.mood == Mood::Sweep {
            op = self.sweep(spec);
        }
        if self.rng.percent(1) {
            op = Some(Op::Compact(self.host_span(|_| true)));
        }
        for _ in 0..8 {
            op = op.or_else(|| self.plausible(spec));
        }
        let harmless = Op::HostShareHyp(self.host_span(|_| true));
        let op = op.unwrap_or(harmless);
        let op = if self.rng.percent(8) { self.spoil(op) } else { op };
        // A spoilt call may end a use that never began: nobody outside can ask for that.
        if op.is_a_mistake_inside(spec) { harmless } else { op }
    }

    fn change_mood(&mut self) {
        if self.left == 0 {
            (self.mood, self.left) = match self.mood {
                Mood::Fill => (Mood::Mixed, 250),
                Mood::Mixed => (Mood::Drain, 100),
                Mood::Drain => (Mood::Sweep, 600),
                Mood::Sweep => (Mood::Fill, 100),
            };
            self.left = 1 + self.rng.below(self.left);
            self.swept = None;
        }
        self.left -= 1;
    }

    /// Now and then a step in the life of a VM.
    fn life(&mut self, spec: &Spec) -> Option<Op> {
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
    fn bury(&mut self, spec: &Spec) -> Option<Op> {
        let (&vm, found) = spec.vms.iter().find(|(_, vm)| vm.dying)?;
        if !self.rng.percent(50) {
            return None;
        }
        let gfns = self.guest_span(spec, vm, |_| true);
        if spec.sees_nothing(vm) {
            return Some(Op::VmFinishTeardown(vm));
        }
        Some(match found.kind {
            VmKind::Protected => Op::Reclaim { vm, gfns },
            VmKind::NonProtected => Op::HostUnshareGuest { vm, gfns },
        })
    }

    /// A step towards memory that is all the host's: undo what was done to the first pages touched.
    fn sweep(&mut self, spec: &Spec) -> Option<Op> {
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
    fn plausible(&mut self, spec: &Spec) -> Option<Op> {
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

    /// How many pages: often one, often a few, often about a region of 512, at most 1,030.
    fn length(&mut self) -> u64 {
        let (one, few) = if self.mood == Mood::Fill { (25, 50) } else { (50, 80) };
        match self.rng.below(100) {
            n if n < one => 1,
            n if n < few => 2 + self.rng.below(20),
            n if n < few + 12 => self.rng.one_of(&[511, 512, 512, 513, 1023, 1024, 1025, 1030]),
            _ => 1 + self.rng.below(1030),
        }
    }
}

/// `count` frames from `pfn`.
fn span_at(pfn: Pfn, count: u64) -> Span {
    Span { first: pfn.number(), count }
}

/// `count` frames from `gfn`.
fn guest_span_at(gfn: Gfn, count: u64) -> Span {
    Span { first: gfn.number(), count }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::invariants;
    use std::collections::BTreeMap;

    #[test]
    fn most_calls_of_every_kind_are_done_and_every_state_is_sound() {
        let mut spec = Spec::new(machine(Limits { pins: 5, mappings: 3, references: 5 }));
        let mut trace = Trace::new(7);
        let (mut done, mut refused) = (BTreeMap::new(), BTreeMap::new());
        let (mut ok, mut long) = (0, 0);
        let calls = 20_000;
        for n in 0..calls {
            let op = trace.next_op(&spec);
            let name = format!("{op:?}").split(['(', ' ']).next().unwrap_or_default().to_string();
            match op.apply(&mut spec) {
                Ok(answer) => {
                    *done.entry(name).or_insert(0) += 1;
                    ok += 1;
                    long += u32::from(answer.pages >= 512);
                }
                Err(e) => *refused.entry(e.error.errno().0).or_insert(0) += 1,
            }
            if n % 50 == 0 {
                assert_eq!(invariants::check(&spec), Ok(()), "after {op:?}");
            }
        }
        println!("{ok} done, {long} of 512 pages or more; {done:?}; refused by errno {refused:?}");
        assert_eq!(done.len(), 20, "a kind of call never succeeded: {done:?}");
        assert!(ok > calls / 2, "only {ok} of {calls} calls were done");
        assert!(long > calls / 200, "only {long} calls were long");
        assert!(done.values().all(|&n| n >= 20), "{done:?}");
    }
}
