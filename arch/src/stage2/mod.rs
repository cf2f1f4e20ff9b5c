//! Stage-2 translation: from a guest's physical addresses to the machine's.
//!
//! | file | what it holds |
//! |---|---|
//! | [`Descriptor`] (`descriptor`) | one entry: leaves, tables, notes |
//! | [`Table`] (`table`) | one page of entries, and why relaxed accesses are enough |
//! | [`Geometry`] (`geometry`) | the shape of a map and its `VTCR_EL2` |
//! | [`Stage2`] (`map`) | a whole map; finding what an address leads to |
//! | `plan` | what a change needs and what forbids it, before anything is touched |
//! | `change` | map, unmap, annotate |
//! | `forget` | drop leaves of a map that is only a cache |
//! | `resize` | split a block into pages, merge pages into a block |
//! | `teardown` | all tables of a map, and giving them back |
//!
//! Every change is all or nothing: it is planned against the whole range first, with the table pages
//! it needs counted, and refused with nothing changed. What is then done cannot fail, unless the map
//! itself or the page supply is damaged, which is answered with `Error::Internal`.
//!
//! Leaves are 4 KiB and 2 MiB. A level-3 table, once there, stays: mapping over it makes 4 KiB leaves,
//! and a 2 MiB leaf comes back by [`Stage2::merge`] only. `PageSize::Size1G` asks for 2 MiB.

mod change;
mod descriptor;
mod forget;
mod geometry;
mod map;
mod plan;
mod resize;
mod table;
mod teardown;
#[cfg(test)]
mod tests;

pub use change::Unmapped;
pub(crate) use descriptor::frame as descriptor_frame;
pub use descriptor::{Attributes, Descriptor, Memory, Note, leaf};
pub use geometry::Geometry;
pub use map::{Leaf, Lookup, Stage2};
pub use table::{ENTRIES, Table};

/// The fields of descriptors, named as in the Arm ARM.
pub mod bits {
    pub use super::descriptor::{ADDRESS, AF, S2AP_R, S2AP_W, SH_INNER, TABLE_OR_PAGE, VALID, XN};
}
