//! The atomics of the tracker: the one place where they come from.
//!
//! | built with (and the feature of that name) | atomics | geometry |
//! |---|---|---|
//! | nothing | `core`'s | 512 pages a region, 512 regions a chunk |
//! | `--cfg loom` | loom's: every order of two threads, and every stale value that the orderings allow | 4 and 4; 2 regions a lock word |
//! | `--cfg shuttle` | shuttle's: a switch before each access, schedules drawn by chance | as without |
//!
//! loom creates an object for each atomic and remembers the stores to it, so a model has small regions; nothing in the tracker
//! depends on their size but its speed. The `el2` feature is not built under loom: stage-2 tables have 512 entries.

#[cfg(any(all(loom, not(feature = "loom")), all(shuttle, not(feature = "shuttle"))))]
compile_error!("`--cfg loom` and `--cfg shuttle` need the feature of the same name");
#[cfg(all(loom, feature = "el2"))]
compile_error!("loom models the tracker alone: build without the feature `el2`");

#[cfg(not(any(loom, shuttle)))]
pub(crate) use core::{hint::spin_loop, sync::atomic::AtomicU64};
#[cfg(loom)]
pub(crate) use loom::{hint::spin_loop, sync::atomic::AtomicU64};
#[cfg(shuttle)]
pub(crate) use shuttle::{hint::spin_loop, sync::atomic::AtomicU64};

/// Cells of a block, and so pages of a region.
pub(crate) const BLOCK_CELLS: usize = if cfg!(loom) { 4 } else { 512 };
/// Cells of a chunk: its regions.
pub(crate) const CHUNK_CELLS: usize = if cfg!(loom) { 4 } else { 512 };

/// Zeroed cells, for static memory.
#[cfg(not(loom))]
pub(crate) const fn zeroed<const N: usize>() -> [AtomicU64; N] {
    [const { AtomicU64::new(0) }; N]
}

/// Zeroed cells. loom registers each with the model that runs, so they cannot be static.
#[cfg(loom)]
pub(crate) fn zeroed<const N: usize>() -> [AtomicU64; N] {
    core::array::from_fn(|_| AtomicU64::new(0))
}
