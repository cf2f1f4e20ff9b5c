//! Dropping leaves of a map that is only a cache: the host's.
//!
//! Nothing is split and nothing can fail: a 2 MiB leaf that is partly concerned goes as a whole, and its other pages come
//! back by faults.

use super::descriptor::{self, Descriptor};
use super::map::Stage2;
use super::plan::{BLOCK_LEVEL, chunks};
use crate::tlb::Stage2Tlb;
use crate::window::Window;
use tenure_abi::{FrameRange, Gfn, Pfn};

impl<W: Window> Stage2<'_, W> {
    /// Drops every leaf that maps a page of `range`, whole. Returns whether there was any; if not, no TLB is touched.
    ///
    /// When this returns no CPU can use the dropped leaves. Notes stay. Addresses beyond the map hold nothing.
    #[inline]
    pub fn forget(&self, range: FrameRange<Gfn>, tlb: &impl Stage2Tlb) -> bool {
        if range.count() == 1 {
            let number = range.first().number();
            let dropped = self.forget_in_chunk(number, 1);
            if dropped {
                tlb.invalidate(self.context, number, 1);
            }
            return dropped;
        }
        let dropped = chunks(range).fold(false, |any, chunk| self.forget_in_chunk(chunk.start, chunk.count) | any);
        if dropped {
            tlb.invalidate(self.context, range.first().number(), range.count());
        }
        dropped
    }

    /// As [`Stage2::forget`] within 2 MiB, without the invalidation.
    #[inline]
    fn forget_in_chunk(&self, start: u64, count: u64) -> bool {
        let Ok(entry) = self.walk(start, super::geometry::LAST_LEVEL) else { return false };
        let mut any = false;
        // Above level 3 the one entry that was found is all there is for this chunk.
        let entries = if entry.level() == super::geometry::LAST_LEVEL { count as usize } else { 1 };
        for i in entry.index..entry.index + entries {
            let raw = entry.table.load(i);
            if raw & descriptor::VALID != 0 {
                entry.table.store(i, 0);
                any = true;
            }
        }
        any
    }

    /// Takes the level-3 table of the 2 MiB around `gfn` out of the map, with all leaves in it; `None` if there is none.
    pub fn take_page_table(&self, gfn: Gfn, tlb: &impl Stage2Tlb) -> Option<Pfn> {
        let entry = self.walk(gfn.number(), BLOCK_LEVEL).ok()?;
        let Descriptor::Table(page) = Descriptor::decode(entry.raw, entry.level()) else { return None };
        if entry.level() != BLOCK_LEVEL {
            return None;
        }
        entry.table.store(entry.index, 0);
        let first = gfn.number() & !(super::plan::BLOCK - 1);
        tlb.invalidate(self.context, first, super::plan::BLOCK);
        Some(page)
    }
}
