//! The tracker as a subject: what it is asked for, and what is compared beside the pages.

use super::{Leaf, System};
use crate::lockstep::LIMITS;
use crate::lockstep::subject::Subject;
use crate::op::Op;
use crate::spec::{Answer, Machine, Spec};
use crate::trace;
use std::collections::BTreeMap;
use tenure_abi::{Error, Gfn, PageState, Pfn, VmSlot};

/// Frames of a region of 2 MiB.
const REGION: u64 = 512;

impl Subject for System<'_> {
    fn machine(&self) -> Machine {
        trace::machine(LIMITS)
    }

    /// The VM table is not the tracker's: who may ask, and the life of VMs, is taken from the specification.
    fn takes(&self, op: Op, spec: &Spec) -> bool {
        !op.is_life() && !op.has_nothing_to_give(spec) && op.asked_by_the_right_one(spec).is_ok()
    }

    fn follows(&self, _: Op) -> bool {
        true
    }

    fn learn(&mut self, op: Op) {
        if let Op::VmFinishTeardown(vm) = op {
            self.tables.retain(|key, _| key.0 != vm);
        }
    }

    fn call(&mut self, op: Op, _: &Spec) -> Answer {
        self.make(op)
    }

    fn may_lack_memory(&self) -> bool {
        self.lender.0.is_small()
    }

    fn chooses(&self, _: Op, _: &Answer, _: &Answer) -> Option<&'static str> {
        None
    }

    fn state(&self, pfn: Pfn) -> Result<PageState, Error> {
        self.tracker.state(pfn)
    }

    fn seen_at(&self, pfn: Pfn) -> Option<(VmSlot, Gfn)> {
        self.entry(pfn).ok()?.guest()
    }

    fn host_touches(&self, _: Pfn) -> Option<bool> {
        None
    }

    fn audit(&self, spec: &Spec) -> Result<(), String> {
        if tables_of(spec) != self.tables {
            return Err("the guests' tables differ".to_string());
        }
        self.no_block_is_lost(spec)?;
        let audit = self.tracker.audit(Pfn::new(0).map_err(in_words)?, u64::MAX);
        let sum: u64 = audit.kinds.iter().sum();
        let sound = audit.faults == 0 && audit.busy == 0 && audit.next.is_none() && sum == audit.pages;
        match (sound, self.tracker.contradictions()) {
            (true, 0) => Ok(()),
            (_, contradictions) => Err(format!("{contradictions} contradictions, {audit:?}")),
        }
    }
}

impl System<'_> {
    /// Every block that is out belongs to a mixed region.
    fn no_block_is_lost(&self, spec: &Spec) -> Result<(), String> {
        let pool = self.lender.0;
        if let Some(misuse) = pool.misuse() {
            return Err(misuse);
        }
        let mut mixed = 0;
        let mut last = None;
        for &(first, end) in &spec.machine.ram {
            for region in first / REGION..end.div_ceil(REGION) {
                let guard = Pfn::new(region * REGION).and_then(|pfn| self.tracker.lock_region(pfn));
                if last != Some(region) && guard.map_err(in_words)?.uniform().is_none() {
                    mixed += 1;
                }
                last = Some(region);
            }
        }
        match pool.taken() {
            taken if taken == mixed => Ok(()),
            taken => Err(format!("{taken} blocks are out, {mixed} regions are mixed")),
        }
    }
}

fn tables_of(spec: &Spec) -> BTreeMap<(VmSlot, Gfn), Leaf> {
    let mapped = spec.guest_map.iter().map(|(&key, &pfn)| (key, Leaf::Page(pfn)));
    mapped.chain(spec.poisoned.iter().map(|&key| (key, Leaf::Burnt))).collect()
}

fn in_words(error: Error) -> String {
    format!("{error:?}")
}
