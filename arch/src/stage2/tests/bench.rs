//! What the tests stand on: an arena of table pages, a page supply that counts, and a TLB that checks.

use crate::pages::{TablePages, TableStack};
use crate::stage2::table::ENTRIES;
use crate::stage2::{Attributes, Descriptor, Geometry, Lookup, Stage2, Table, descriptor_frame};
use crate::tlb::{Stage2Tlb, Vttbr};
use crate::window::Window;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::boxed::Box;
use std::sync::Mutex;
use std::vec::Vec;
use tenure_abi::{AddressWidth, FrameRange, Gfn, Pfn};

pub(super) const PAGES: usize = 64;
/// Of how many entries of a fresh page one is dirty.
const EVERY: usize = if cfg!(miri) { 61 } else { 1 };
/// An arena on the heap, page by page: Miri looks at all that a reference spans whenever one is made.
pub(super) struct Pages(Vec<Table>);

// SAFETY: the pages are part of the value and never move, and a `Table` can only be accessed atomically.
unsafe impl Window for Pages {
    fn table(&self, pfn: Pfn) -> Option<&Table> {
        self.0.get(usize::try_from(pfn.number().checked_sub(BASE)?).ok()?)
    }
}

pub(super) const RWX: Attributes = Attributes::NORMAL_RWX;
/// Frame of the arena's first page.
const BASE: u64 = 0x4_0000;

pub(super) fn gfn(number: u64) -> Gfn {
    Gfn::new(number).unwrap()
}

pub(super) fn gfns(first: u64, count: u64) -> FrameRange<Gfn> {
    FrameRange::new(gfn(first), count, AddressWidth::MAX).unwrap()
}

pub(super) fn pfns(first: u64, count: u64) -> FrameRange<Pfn> {
    FrameRange::new(Pfn::new(first).unwrap(), count, AddressWidth::MAX).unwrap()
}

/// A page supply of which the tests know what is out.
pub(super) struct Supply<'w> {
    stack: TableStack<'w, Pages>,
    /// Pages in use by the map.
    pub(super) out: Vec<Pfn>,
    /// Given back since the last [`Supply::restock`]: reuse is not what these tests look for.
    pub(super) back: Vec<Pfn>,
}

impl TablePages for Supply<'_> {
    fn available(&self) -> usize {
        self.stack.available()
    }

    fn take(&mut self) -> Option<Pfn> {
        let page = self.stack.take()?;
        self.out.push(page);
        Some(page)
    }

    fn give_back(&mut self, page: Pfn) {
        let place = self.out.iter().position(|&p| p == page).expect("given back, but not in use");
        self.out.swap_remove(place);
        self.back.push(page);
    }
}

impl Supply<'_> {
    pub(super) fn restock(&mut self) {
        while let Some(page) = self.back.pop() {
            self.stack.push(page).unwrap();
        }
    }
}

/// One recorded maintenance call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Op {
    Publish,
    Invalidate(u64, u64),
    InvalidateVm,
}

/// A TLB that remembers what walkers may have cached and checks break before make.
pub(super) struct RecordingTlb<'w> {
    pub(super) pages: &'w Pages,
    root: FrameRange<Pfn>,
    geometry: Geometry,
    pub(super) ops: Mutex<Vec<Op>>,
    /// How often an invalidation found an entry of its frames still valid.
    pub(super) too_early: AtomicU64,
}

impl RecordingTlb<'_> {
    pub(super) fn take(&self) -> Vec<Op> {
        core::mem::take(&mut self.ops.lock().unwrap())
    }

    /// Whether a walk for `number` ends at memory: written apart from the walk under test.
    fn is_mapped(&self, number: u64) -> bool {
        let start = self.geometry.start_level();
        let mut index = number >> (9 * (3 - start));
        let mut page = self.root.first().checked_add(index / 512).unwrap();
        for level in start..=3 {
            let raw = self.pages.table(page).unwrap().load(index as usize);
            match Descriptor::decode(raw, level) {
                Descriptor::Table(_) => page = descriptor_frame(raw),
                Descriptor::Leaf { .. } => return true,
                _ => return false,
            }
            index = number >> (9 * (3 - level).saturating_sub(1));
        }
        false
    }
}

impl Stage2Tlb for RecordingTlb<'_> {
    fn publish(&self) {
        self.ops.lock().unwrap().push(Op::Publish);
    }

    fn invalidate(&self, context: Vttbr, first_frame: u64, frames: u64) {
        assert_eq!(context.root(), self.root.first());
        if frames == 1 && self.is_mapped(first_frame) {
            self.too_early.fetch_add(1, Relaxed);
        }
        self.ops.lock().unwrap().push(Op::Invalidate(first_frame, frames));
    }

    fn invalidate_vm(&self, context: Vttbr) {
        assert_eq!(context.root(), self.root.first());
        self.ops.lock().unwrap().push(Op::InvalidateVm);
    }
}

/// A map of `bits` with everything around it.
pub(super) struct Bench {
    pub(super) map: Stage2<'static, Pages>,
    pub(super) tlb: RecordingTlb<'static>,
    pub(super) supply: Supply<'static>,
}

impl Bench {
    /// With `pages` pages in the supply.
    pub(super) fn new(bits: u8, pages: usize) -> Self {
        let arena: &'static Pages = Box::leak(Box::new(Pages((0..PAGES).map(|_| Table::new()).collect())));
        let geometry = Geometry::new(AddressWidth::new(bits).unwrap()).unwrap();
        let root = pfns(BASE, geometry.root_tables());
        let mut stack = TableStack::new(arena);
        for i in 0..pages {
            let page = root.first().checked_add(root.count() + i as u64).unwrap();
            // Dirty on purpose: whoever takes a page zeroes it.
            let dirty = arena.table(page).unwrap();
            (0..ENTRIES).step_by(EVERY).for_each(|i| dirty.store(i, u64::MAX));
            stack.push(page).unwrap();
        }
        // SAFETY: the arena is new, and single-threaded tests make one call at a time.
        let map = unsafe { Stage2::new(root, geometry, 5, arena) }.unwrap();
        let tlb = RecordingTlb { pages: arena, root, geometry, ops: Mutex::default(), too_early: AtomicU64::new(0) };
        Self { map, tlb, supply: Supply { stack, out: Vec::new(), back: Vec::new() } }
    }

    /// Overwrites the entry for `number` in the table `page`.
    pub(super) fn damage(&self, page: Pfn, number: u64, raw: u64) {
        self.tlb.pages.table(page).unwrap().store(number as usize, raw);
    }

    /// What stands at each gfn of `range`.
    pub(super) fn image(&self, range: FrameRange<Gfn>) -> Vec<Lookup> {
        (range.first().number()..range.end()).map(|n| self.map.lookup(gfn(n))).collect()
    }

    /// The tables the map has are exactly those taken from the supply.
    pub(super) fn check_tables(&self) {
        let mut found = Vec::new();
        self.map.for_each_table(&mut |page| found.push(page)).unwrap();
        let mut out = self.supply.out.clone();
        found.sort();
        out.sort();
        assert_eq!(found, out);
    }
}
