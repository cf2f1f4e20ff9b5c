//! Copies `tenure-arch`: table entries become words of the hosted machine, table pages may be refused, and a bug of `planted`
//! can be switched on.

#[path = "../copy.rs"]
mod copy;

use copy::Change;

/// What is different in the copy.
const CHANGES: &[Change] = &[
    Change {
        file: "stage2/table.rs",
        old: "use core::sync::atomic::{AtomicU64, Ordering};",
        new: "use {core::sync::atomic::Ordering, tenure_machine::atomic::AtomicU64};",
    },
    // Where a supply that is too small is found out before anything changed; leaves are reserved by their caller.
    Change {
        file: "stage2/plan.rs",
        old: "        if tables > pages.available() as u64 {\n",
        new: "        let leaves = matches!(want, Want::Leaves(..) | Want::Prepared);\n        \
              if tables > 0 && !leaves && tenure_machine::step::fails(tenure_machine::step::Seam::TablePage)\n            \
              || tables > pages.available() as u64\n        {\n",
    },
    Change {
        file: "stage2/change.rs",
        old: "        broken.invalidate(self, tlb);\n",
        new: "        if !broken.splits || !crate::planted::is(crate::planted::Bug::MakeBeforeBreak) {\n            \
              broken.invalidate(self, tlb);\n        }\n",
    },
    Change {
        file: "stage2/forget.rs",
        old: "        tlb.invalidate(self.context, first, super::plan::BLOCK);\n",
        new: "        if !crate::planted::is(crate::planted::Bug::TableReusedEarly) {\n            \
              tlb.invalidate(self.context, first, super::plan::BLOCK);\n        }\n",
    },
];

fn main() {
    println!("cargo::rustc-check-cfg=cfg(feature, values(\"guest\"))");
    copy::copy("../../../arch", CHANGES);
}
