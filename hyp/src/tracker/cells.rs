//! Whole stretches of page entries: compared and written under the lock of their region.
//!
//! Entries are atomics because the claim checker and other tools want to see every access; under the region's lock they are
//! plain data. Here, where hundreds are touched at once, they are accessed as such: pairs of words move with one
//! instruction, and nothing is done per page but what must be.

use super::entry::Entry;
use crate::sync::AtomicU64;

/// The place of the first entry that does not follow from `first`, each differing from the one before by `step`.
pub(super) fn first_difference(cells: &[AtomicU64], first: Entry, step: u64) -> Option<usize> {
    let at = |i: usize| first.bits().wrapping_add(step.wrapping_mul(i as u64));
    // The common answer, none, is found without a branch a page.
    let mut differences = 0;
    let mut expected = first.bits();
    let mut eights = cells.chunks_exact(8);
    for eight in &mut eights {
        let mut next = expected;
        for cell in eight {
            differences |= load(cell) ^ next;
            next = next.wrapping_add(step);
        }
        expected = next;
    }
    for cell in eights.remainder() {
        differences |= load(cell) ^ expected;
        expected = expected.wrapping_add(step);
    }
    if differences == 0 {
        return None;
    }
    cells.iter().enumerate().position(|(i, cell)| load(cell) != at(i))
}

/// Writes `first` and what follows from it.
pub(super) fn fill(cells: &[AtomicU64], first: Entry, step: u64) {
    let mut next = first.bits();
    let mut eights = cells.chunks_exact(8);
    for eight in &mut eights {
        for cell in eight {
            store(cell, next);
            next = next.wrapping_add(step);
        }
    }
    for cell in eights.remainder() {
        store(cell, next);
        next = next.wrapping_add(step);
    }
}

#[cfg(not(any(loom, shuttle)))]
#[inline]
#[allow(unsafe_code)]
fn load(cell: &AtomicU64) -> u64 {
    // SAFETY: the pointer is the atomic's own. Every caller holds the lock of the region whose block this is, or the
    // claim that parked it, and nobody else accesses the block's entries: the access cannot race.
    unsafe { *cell.as_ptr() }
}

#[cfg(not(any(loom, shuttle)))]
#[inline]
#[allow(unsafe_code)]
fn store(cell: &AtomicU64, value: u64) {
    // SAFETY: as in `load`; shared references to an atomic allow writing through it.
    unsafe { *cell.as_ptr() = value }
}

// The model checkers see these accesses too.
#[cfg(any(loom, shuttle))]
fn load(cell: &AtomicU64) -> u64 {
    cell.load(core::sync::atomic::Ordering::Relaxed)
}

#[cfg(any(loom, shuttle))]
fn store(cell: &AtomicU64, value: u64) {
    cell.store(value, core::sync::atomic::Ordering::Relaxed);
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::vec::Vec;

    #[test]
    fn what_was_filled_compares_equal_and_every_change_is_found() {
        // Under Miri, some changes.
        const EVERY: usize = if cfg!(miri) { 41 } else { 1 };
        for len in [0, 1, 7, 8, 9, 100, 512] {
            let cells: Vec<AtomicU64> = (0..len).map(|_| AtomicU64::new(0)).collect();
            let first = Entry::from_bits(0x1234_0040);
            fill(&cells, first, Entry::GFN_STEP);
            assert_eq!(first_difference(&cells, first, Entry::GFN_STEP), None);
            for i in (0..len).step_by(EVERY) {
                let old = load(&cells[i]);
                store(&cells[i], old ^ 1 << 40);
                assert_eq!(first_difference(&cells, first, Entry::GFN_STEP), Some(i));
                store(&cells[i], old);
            }
        }
    }
}
