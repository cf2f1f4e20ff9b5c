//! One page of stage-2 descriptors.
//!
//! The CPUs' walkers read a table at any moment, so its entries are atomics. Software accesses are
//! relaxed: among CPUs an entry is guarded by the lock of whoever owns the map, whose acquire and
//! release order them; towards the walkers what orders a change is DSB and TLBI
//! ([`crate::tlb::Stage2Tlb`]), which no atomic ordering replaces. The one exception is
//! [`Table::link`]: a walker that sees the link must also see the table behind it.

use core::sync::atomic::{AtomicU64, Ordering};

/// Entries of a 4 KiB table.
pub const ENTRIES: usize = 512;

/// A page of 512 descriptors. Every bit pattern is valid; all zeroes is an empty table.
#[repr(C, align(4096))]
pub struct Table([AtomicU64; ENTRIES]);

const _: () = assert!(size_of::<Table>() == 4096);

impl Default for Table {
    fn default() -> Self {
        Self::new()
    }
}

impl Table {
    /// An empty table.
    pub const fn new() -> Self {
        Self([const { AtomicU64::new(0) }; ENTRIES])
    }

    /// The entry at `index` modulo 512: the modulo is the bounds check, and cannot be mispredicted.
    #[inline]
    fn entry(&self, index: usize) -> &AtomicU64 {
        &self.0[index % ENTRIES]
    }

    /// The descriptor at `index` modulo 512.
    #[inline]
    pub fn load(&self, index: usize) -> u64 {
        self.entry(index).load(Ordering::Relaxed)
    }

    /// Writes the descriptor at `index` modulo 512.
    #[inline]
    pub fn store(&self, index: usize, raw: u64) {
        self.entry(index).store(raw, Ordering::Relaxed);
    }

    /// Writes a table descriptor at `index` modulo 512.
    ///
    /// The release orders the filling of the new table before its link; a walker's read of the new
    /// table depends on its read of the link.
    #[inline]
    pub fn link(&self, index: usize, raw: u64) {
        self.entry(index).store(raw, Ordering::Release);
    }

    /// Writes the same descriptor to all 512 entries.
    pub fn fill(&self, raw: u64) {
        for entry in &self.0 {
            entry.store(raw, Ordering::Relaxed);
        }
    }

    /// All descriptors, in order.
    pub fn iter(&self) -> impl Iterator<Item = u64> + '_ {
        self.0.iter().map(|entry| entry.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_table_is_empty_and_an_index_wraps() {
        let table = Table::new();
        assert!(table.iter().all(|raw| raw == 0));
        table.store(513, 7);
        assert_eq!((table.load(1), table.iter().filter(|&raw| raw != 0).count()), (7, 1));
    }
}
