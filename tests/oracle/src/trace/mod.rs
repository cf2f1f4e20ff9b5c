//! Random calls that mostly make sense.
//!
//! Calls chosen blindly are nearly all refused, and a tracker that only refuses is not tested. So a
//! trace looks at the specification's state, picks a call, and then pages in the state that the call
//! wants; some calls are spoilt on purpose (`spoil`). Moods alternate between filling and draining, so
//! that whole 2 MiB regions become uniform, break up and become uniform again.

mod life;
mod pick;
mod plausible;
mod spoil;

use crate::op::Op;
use crate::rng::Rng;
use crate::spec::{Limits, Machine, Span, Spec, VmKind};
use tenure_abi::{Gfn, Pfn, VmSlot};

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

/// An endless trace.
#[derive(Clone, Debug)]
pub struct Trace {
    rng: Rng,
    machine: Machine,
    mood: Mood,
    /// Calls until the mood changes.
    left: u64,
    /// How far a sweep has come.
    swept: Option<Pfn>,
    /// Whether hypervisor pages are referenced.
    references: bool,
}

impl Trace {
    /// The trace of `seed` on `machine`.
    pub const fn new(seed: u64, machine: Machine) -> Self {
        Self { rng: Rng::new(seed), machine, mood: Mood::Fill, left: 200, swept: None, references: true }
    }

    /// The same without references to hypervisor pages, for implementations that have no call for them.
    #[must_use]
    pub fn without_references(self) -> Self {
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
        let mut trace = Trace::new(7, spec.machine.clone());
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
