//! Copies `tenure-hyp`: its records become words of the hosted machine, requests for blocks and region locks may be refused,
//! and the ordering bugs of `planted` can be switched on. With none planted the copy does what the product does.

#[path = "../copy.rs"]
mod copy;

use copy::Change;

/// What makes the machine's primitives of the tracker's.
const PRIMITIVES: &[Change] = &[
    Change {
        file: "sync.rs",
        old: "pub(crate) use core::{hint::spin_loop, sync::atomic::AtomicU64};",
        new: "pub(crate) use tenure_machine::{atomic::AtomicU64, step::wait as spin_loop};",
    },
    // Fewer tries, so that giving up is met too.
    Change { file: "tracker/lock.rs", old: "if cfg!(loom) { 2 } else { 4096 };", new: "48;" },
    Change {
        file: "tracker/lock.rs",
        old: "pub(crate) fn take(lock: &AtomicU64, bits: u64) -> Result<(), Error> {\n",
        new: "pub(crate) fn take(lock: &AtomicU64, bits: u64) -> Result<(), Error> {\n    \
              if tenure_machine::step::fails(tenure_machine::step::Seam::Lock) { return Err(Error::Retry); }\n",
    },
    Change {
        file: "tracker/block.rs",
        old: "    fn take(&self, region: u64, _: Option<VmSlot>) -> Option<BlockIndex> {\n",
        new: "    fn take(&self, region: u64, _: Option<VmSlot>) -> Option<BlockIndex> {\n        \
              if tenure_machine::step::fails(tenure_machine::step::Seam::Block) { return None; }\n",
    },
    Change {
        file: "el2/guest_memory.rs",
        old: "        match needed <= self.pages.available() as u64 {\n",
        new: "        let refused = needed > 0 && tenure_machine::step::fails(tenure_machine::step::Seam::TablePage);\n        \
              match !refused && needed <= self.pages.available() as u64 {\n",
    },
    Change {
        file: "el2/host_map.rs",
        old: "        let mut tables = self.tables.lock();\n",
        new: "        if tenure_machine::step::fails(tenure_machine::step::Seam::TablePage) { return Err(Error::NoMemory); }\n        \
              let mut tables = self.tables.lock();\n",
    },
];

/// The bugs, each behind its switch.
const BUGS: &[Change] = &[
    Change {
        file: "tracker/claim.rs",
        old: "        claim.grow(frames).map(|()| claim)\n",
        new: "        let held = claim.grow(frames);\n        \
              if held.is_ok() && crate::planted::is(crate::planted::Bug::LockDroppedEarly) {\n            \
              claim.spans().for_each(Span::unlock);\n        }\n        \
              held.map(|()| claim)\n",
    },
    Change {
        file: "tracker/lock.rs",
        old: "    if held == bits(0, LOCK_REGIONS - 1) {\n",
        new: "    if held == bits(0, LOCK_REGIONS - 1) || crate::planted::is(crate::planted::Bug::LockWordCleared) {\n",
    },
    Change {
        file: "el2/guest_call.rs",
        old: "            self.host.take(pfn.number(), pages, self.hw);\n            claim.commit();",
        new: "            if crate::planted::is(crate::planted::Bug::PublishBeforeTlbi) {\n                \
              claim.commit();\n                self.host.take(pfn.number(), pages, self.hw);\n            } else {\n            \
              self.host.take(pfn.number(), pages, self.hw);\n            claim.commit();\n            }",
    },
    Change {
        file: "el2/host_map.rs",
        old: "        match self.tracker.lock_region(pfn) {\n            Ok(mut guard) =>",
        new: "        match self.tracker.lock_region(pfn) {\n            \
              Ok(guard) if guard.uniform().is_none() && crate::planted::is(crate::planted::Bug::PteWithoutLock) => {\n                \
              let may = guard.entry(pfn).kind().is_some_and(crate::tracker::Kind::host_may_touch);\n                \
              drop(guard);\n                \
              match may {\n                    \
              true => { let _ = self.host.map_range(pfn, 1, self.hw); HostFault::Retry }\n                    \
              false => HostFault::Refused,\n                }\n            }\n            \
              Ok(mut guard) =>",
    },
    Change {
        file: "el2/reclaim.rs",
        old: "        let frame = FrameRange::single(pfn);\n",
        new: "        let frame = FrameRange::single(pfn);\n        \
              let burnt_at = gfn;\n        \
              let gfn = match crate::planted::is(crate::planted::Bug::GfnNotCompared) {\n            \
              true => self.owner_of(pfn)?.1,\n            false => gfn,\n        };\n",
    },
    Change {
        file: "el2/reclaim.rs",
        old: "        let burnt = vm.map.annotate(FrameRange::single(gfn),",
        new: "        let burnt = vm.map.annotate(FrameRange::single(burnt_at),",
    },
    Change {
        file: "tracker/publish.rs",
        old: "            part.cell.store(word.with_live(live).0, Release);\n",
        new: "            if crate::planted::is(crate::planted::Bug::CountAfterPublish) {\n                \
              part.cell.store(word.0, Release);\n                \
              let now = Word(part.cell.load(Relaxed));\n                \
              part.cell.store(now.with_live(live).0, Release);\n            } else {\n            \
              part.cell.store(word.with_live(live).0, Release);\n            }\n",
    },
    Change {
        file: "el2/reclaim.rs",
        old: "        if op != Transition::ReclaimShared {\n            claim.park();",
        new: "        if crate::planted::is(crate::planted::Bug::ScrubAfterPublish) && op != Transition::ReclaimShared {\n            \
              let (first, count) = (claim.first(), claim.count());\n            \
              claim.commit(PageSize::Size4K);\n            \
              (first..first + count).filter_map(|i| Pfn::new(i).ok()).for_each(|pfn| self.hw.scrub(pfn));\n            \
              return;\n        }\n        \
              if op != Transition::ReclaimShared {\n            claim.park();",
    },
];

fn main() {
    println!("cargo::rustc-check-cfg=cfg(loom, shuttle)");
    println!("cargo::rustc-check-cfg=cfg(feature, values(\"el2\", \"loom\", \"shuttle\"))");
    println!("cargo::rustc-cfg=feature=\"el2\"");
    let changes: Vec<Change> = [PRIMITIVES, BUGS].into_iter().flatten().map(|c| Change { ..*c }).collect();
    copy::copy("../../../hyp", &changes);
}
