//! Spoiling a call: bad ranges, bad places, the wrong VM.

use super::{GFN_USED, Trace, VMS};
use crate::op::Op;
use crate::spec::Span;
use tenure_abi::VmSlot;

impl Trace {
    /// `op` with something wrong about it, or at least something else.
    pub(super) fn spoil(&mut self, op: Op) -> Op {
        let wrong_vm = self.rng.percent(30);
        let other = self.any_vm();
        let slot = |vm: VmSlot| if wrong_vm { other } else { vm };
        let pages = self.bad_pages();
        let gfns = self.bad_gfns();
        match op {
            Op::HostShareHyp(_) => Op::HostShareHyp(pages),
            Op::HostUnshareHyp(_) => Op::HostUnshareHyp(pages),
            Op::HypPin(_) => Op::HypPin(pages),
            Op::HypUnpin(_) => Op::HypUnpin(pages),
            Op::HostDonateHyp(_) => Op::HostDonateHyp(pages),
            Op::HypDonateHost(_) => Op::HypDonateHost(pages),
            Op::HypGet(_) => Op::HypGet(pages),
            Op::HypPut(_) => Op::HypPut(pages),
            Op::ForceReclaim(_) => Op::ForceReclaim(pages),
            Op::Compact(pages) => Op::Compact(pages),
            Op::HostShareGuest { vm, pages: good, gfn } => {
                let (pages, gfn) = self.bad_pair(good, gfn, pages, gfns);
                Op::HostShareGuest { vm: slot(vm), pages, gfn }
            }
            Op::HostDonateGuest { vm, pages: good, gfn } => {
                let (pages, gfn) = self.bad_pair(good, gfn, pages, gfns);
                Op::HostDonateGuest { vm: slot(vm), pages, gfn }
            }
            Op::HostUnshareGuest { vm, gfns: good } => {
                Op::HostUnshareGuest { vm: slot(vm), gfns: if wrong_vm { good } else { gfns } }
            }
            Op::GuestShareHost { vm, gfns: good } => {
                Op::GuestShareHost { vm: slot(vm), gfns: if wrong_vm { good } else { gfns } }
            }
            Op::GuestUnshareHost { vm, gfns: good } => {
                Op::GuestUnshareHost { vm: slot(vm), gfns: if wrong_vm { good } else { gfns } }
            }
            Op::Reclaim { vm, gfns: good } => Op::Reclaim { vm: slot(vm), gfns: if wrong_vm { good } else { gfns } },
            // The call gives one page at a time; only its place is spoilt.
            Op::Relinquish { vm, .. } => {
                Op::Relinquish { vm: slot(vm), gfns: Span { count: gfns.count.min(8), ..gfns } }
            }
            Op::VmCreate { kind, .. } => Op::VmCreate { vm: other, kind },
            // A VM must not die of a spoilt call too often: only calls that are refused are added.
            Op::VmStartTeardown(vm) | Op::VmFinishTeardown(vm) => Op::VmFinishTeardown(vm),
        }
    }

    /// One of the VMs, or a slot that no VM ever has.
    fn any_vm(&mut self) -> VmSlot {
        let known = self.rng.one_of(&VMS).0;
        let index = if self.rng.percent(30) { 77 } else { known };
        VmSlot::new(index).expect("the slots of a trace exist")
    }

    /// Host ranges that are malformed, cross an edge, or are not memory.
    fn bad_pages(&mut self) -> Span {
        let (first, end) = self.rng.one_of(&self.machine.ram);
        let space = self.machine.pfn_end;
        let some = 1 + self.rng.below(600);
        match self.rng.below(9) {
            0 => Span { first, count: 0 },
            1 => Span { first: first + 1, count: u64::MAX - self.rng.below(4) },
            2 => Span { first: space - self.rng.below(3), count: 1 + self.rng.below(5) },
            3 => Span { first: self.rng.any(), count: some },
            4 => Span { first: end - 1, count: 1 + some },
            5 => Span { first: first - 1, count: 1 + some },
            6 => Span { first: end, count: 1 },
            7 => Span { first: end, count: 1 << 20 },
            _ => Span { first, count: end - first },
        }
    }

    /// Guest ranges that are malformed or where nothing is.
    fn bad_gfns(&mut self) -> Span {
        let first = self.rng.below(GFN_USED);
        let space = self.machine.gfn_end;
        match self.rng.below(7) {
            0 => Span { first, count: 0 },
            1 => Span { first, count: u64::MAX - self.rng.below(4) },
            2 => Span { first: space - self.rng.below(3), count: 1 + self.rng.below(5) },
            3 => Span { first: self.rng.any(), count: 1 },
            4 => Span { first, count: 1 + self.rng.below(1030) },
            5 => Span { first: space << self.rng.below(20) | first, count: 1 },
            _ => Span { first: GFN_USED + first, count: 1 },
        }
    }

    /// Spoils one side of a call that has two.
    fn bad_pair(&mut self, good: Span, gfn: u64, pages: Span, gfns: Span) -> (Span, u64) {
        match self.rng.below(3) {
            0 => (pages, gfn),
            1 => (good, gfns.first),
            _ => (good, self.machine.gfn_end - self.rng.below(1 + good.count)),
        }
    }
}
