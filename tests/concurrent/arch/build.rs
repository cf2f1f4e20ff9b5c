//! Copies `tenure-arch`: table entries become words of the hosted machine, and table pages may be refused.

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
    Change {
        file: "pages.rs",
        old: "    fn available(&self) -> usize {\n        self.count\n",
        new: "    fn available(&self) -> usize {\n        \
              if tenure_machine::step::fails(tenure_machine::step::Seam::TablePage) { 0 } else { self.count }\n",
    },
];

fn main() {
    println!("cargo::rustc-check-cfg=cfg(feature, values(\"guest\"))");
    copy::copy("../../../arch", CHANGES);
}
