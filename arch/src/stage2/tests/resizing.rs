//! Blocks: when they come about, how they split and merge, and that they break before they make.

use super::bench::{Bench, Op, RWX, gfn, gfns, pfns};
use crate::stage2::{Attributes, Lookup, Note};
use crate::tlb::{Stage2Tlb, Vttbr};
use core::cell::RefCell;
use std::vec::Vec;
use tenure_abi::{Error, Located, PageSize};

const AT: u64 = 0x4_0000;

fn map(bench: &mut Bench, first: u64, pfn: u64, count: u64) {
    bench.map.map(gfn(first), pfns(pfn, count), RWX, PageSize::Size2M, &bench.tlb, &mut bench.supply).unwrap();
}

fn sizes(bench: &Bench, first: u64, count: u64) -> (usize, usize) {
    let image = bench.image(gfns(first, count));
    let of = |size| image.iter().filter(|l| matches!(l, Lookup::Leaf(leaf) if leaf.size == size)).count();
    (of(PageSize::Size2M), of(PageSize::Size4K))
}

#[test]
fn blocks_need_both_alignments_the_length_and_leave() {
    // (first gfn, first pfn, pages, largest) and (pages in 2M leaves, pages in 4K leaves).
    let cases = [
        ((0, 0, 512, PageSize::Size2M), (512, 0)),
        ((0, 0, 512, PageSize::Size1G), (512, 0)),
        ((0, 0, 512, PageSize::Size4K), (0, 512)),
        ((0, 0, 511, PageSize::Size2M), (0, 511)),
        ((0, 1, 512, PageSize::Size2M), (0, 512)),
        ((1, 1, 512, PageSize::Size2M), (0, 512)),
        ((1, 1, 1023, PageSize::Size2M), (512, 511)),
        ((511, 511, 514, PageSize::Size2M), (512, 2)),
        ((511, 0, 514, PageSize::Size2M), (0, 514)),
    ];
    for ((first, pfn, count, largest), expected) in cases {
        let mut bench = Bench::new(40, 20);
        let result = bench.map.map(gfn(AT + first), pfns(pfn, count), RWX, largest, &bench.tlb, &mut bench.supply);
        assert_eq!(result, Ok(()));
        assert_eq!(sizes(&bench, AT + first, count), expected, "{first} {pfn} {count} {largest:?}");
    }
}

#[test]
fn a_standing_table_is_mapped_in_pages_and_merges_into_a_block() {
    let mut bench = Bench::new(40, 20);
    map(&mut bench, AT, 0x1000, 1);
    bench.map.unmap(gfns(AT, 1), &bench.tlb, &mut bench.supply).unwrap();
    map(&mut bench, AT, 0x1000, 512);
    assert_eq!(sizes(&bench, AT, 512), (0, 512));
    let before = bench.supply.out.len();
    bench.tlb.take();
    bench.map.merge(gfn(AT + 9), &bench.tlb, &mut bench.supply).unwrap();
    assert_eq!(sizes(&bench, AT, 512), (512, 0));
    assert_eq!(bench.supply.out.len(), before - 1);
    assert_eq!(bench.tlb.take(), [Op::Invalidate(AT, 512), Op::Publish]);
    bench.map.merge(gfn(AT), &bench.tlb, &mut bench.supply).unwrap();
    assert_eq!(bench.tlb.take(), []);
    bench.check_tables();
}

#[test]
fn a_block_split_and_merged_maps_what_it_mapped() {
    let mut bench = Bench::new(40, 20);
    map(&mut bench, AT, 0x1000, 512);
    let pages = |bench: &Bench| {
        bench
            .image(gfns(AT, 512))
            .iter()
            .map(|l| if let Lookup::Leaf(leaf) = l { leaf.pfn.number() } else { 0 })
            .collect::<Vec<_>>()
    };
    let before = pages(&bench);
    bench.tlb.take();
    bench.map.split(gfn(AT + 3), &bench.tlb, &mut bench.supply).unwrap();
    assert_eq!((sizes(&bench, AT, 512), pages(&bench)), ((0, 512), before.clone()));
    assert_eq!(bench.tlb.take(), [Op::Invalidate(AT + 3, 1), Op::Publish]);
    bench.map.split(gfn(AT), &bench.tlb, &mut bench.supply).unwrap();
    bench.map.merge(gfn(AT), &bench.tlb, &mut bench.supply).unwrap();
    assert_eq!((sizes(&bench, AT, 512), pages(&bench)), ((512, 0), before));
    bench.check_tables();
}

#[test]
fn one_frame_stands_for_a_whole_block() {
    let mut bench = Bench::new(40, 20);
    map(&mut bench, AT, 0x1000, 1024);
    bench.tlb.take();
    bench.map.unmap(gfns(AT, 512), &bench.tlb, &mut bench.supply).unwrap();
    assert_eq!(bench.tlb.take(), [Op::Invalidate(AT, 1)]);
    bench.map.unmap(gfns(AT + 600, 100), &bench.tlb, &mut bench.supply).unwrap();
    assert_eq!(bench.tlb.take(), [Op::Invalidate(AT + 600, 1), Op::Publish]);
}

#[test]
fn pages_that_differ_do_not_merge() {
    let refused = Err(Located::gfn(Error::Denied, gfn(AT)));
    let ro = Attributes::new(crate::stage2::Memory::Normal, tenure_abi::service::Prot::R);
    // One page missing, one elsewhere, one with other rights, all shifted by one, one with a note.
    for case in 0..5 {
        let mut bench = Bench::new(40, 20);
        let all = pfns(if case == 3 { 0x1001 } else { 0x1000 }, 512);
        bench.map.map(gfn(AT), all, RWX, PageSize::Size4K, &bench.tlb, &mut bench.supply).unwrap();
        if case != 3 {
            bench.map.unmap(gfns(AT + 511, 1), &bench.tlb, &mut bench.supply).unwrap();
        }
        let (pfn, attributes) = if case == 1 { (0x2000, RWX) } else { (0x11ff, ro) };
        if case == 1 || case == 2 {
            let last = pfns(pfn, 1);
            bench.map.map(gfn(AT + 511), last, attributes, PageSize::Size4K, &bench.tlb, &mut bench.supply).unwrap();
        }
        if case == 4 {
            bench.map.annotate(gfns(AT + 511, 1), Note::MmioGuard, &bench.tlb, &mut bench.supply).unwrap();
        }
        let before = bench.image(gfns(AT, 512));
        assert_eq!(bench.map.merge(gfn(AT), &bench.tlb, &mut bench.supply), refused, "case {case}");
        assert_eq!(bench.image(gfns(AT, 512)), before);
    }
}

#[test]
fn splitting_or_merging_nothing_is_refused() {
    let mut bench = Bench::new(40, 20);
    let refused = Err(Located::gfn(Error::NotFound, gfn(AT)));
    assert_eq!(bench.map.split(gfn(AT), &bench.tlb, &mut bench.supply), refused);
    assert_eq!(bench.map.merge(gfn(AT), &bench.tlb, &mut bench.supply), refused);
    let mut bench = Bench::new(40, 1);
    map(&mut bench, AT, 0, 512);
    assert_eq!(bench.map.split(gfn(AT), &bench.tlb, &mut bench.supply), Err(Located::call(Error::NoMemory)));
}

/// Looks at the map whenever it is told to invalidate.
struct Watcher<'a> {
    bench: &'a Bench,
    first: u64,
    count: u64,
    seen: RefCell<Vec<Lookup>>,
}

// SAFETY: these tests have one thread.
unsafe impl Sync for Watcher<'_> {}

impl Stage2Tlb for Watcher<'_> {
    fn publish(&self) {}
    fn invalidate(&self, _: Vttbr, _: u64, _: u64) {
        self.seen.borrow_mut().extend(self.bench.image(gfns(self.first, self.count)));
    }
    fn invalidate_vm(&self, _: Vttbr) {}
}

#[test]
fn blocks_are_invalid_while_they_are_invalidated() {
    let mut bench = Bench::new(40, 20);
    map(&mut bench, AT, 0, 2048);
    map(&mut bench, AT + 2048, 0x1800, 1);
    map(&mut bench, AT + 2049, 0x1801, 511);
    let mut supply = core::mem::replace(&mut bench.supply, Bench::new(40, 0).supply);
    let look = |first, count| Watcher { bench: &bench, first, count, seen: RefCell::default() };
    let mapped = |w: &Watcher<'_>| {
        let seen = w.seen.borrow();
        assert_eq!(seen.len() as u64, w.count, "exactly one invalidation");
        seen.iter().filter(|l| matches!(l, Lookup::Leaf(_))).count()
    };
    let w = look(AT, 512);
    bench.map.split(gfn(AT), &w, &mut supply).unwrap();
    assert_eq!(mapped(&w), 0);
    let w = look(AT, 512);
    bench.map.merge(gfn(AT), &w, &mut supply).unwrap();
    assert_eq!(mapped(&w), 0);
    // Unmapping from the middle of one block to the middle of the next but one: all three broken.
    let w = look(AT, 1536);
    let account = bench.map.unmap(gfns(AT + 100, 1200), &w, &mut supply).unwrap();
    assert_eq!((mapped(&w), account.frames), (0, 1200));
    assert_eq!(sizes(&bench, AT, 1536), (0, 336));
    // Pages of a table go one by one.
    let w = look(AT + 2048, 512);
    bench.map.unmap(gfns(AT + 2048, 10), &w, &mut supply).unwrap();
    assert_eq!(mapped(&w), 502);
    // A note on a whole block.
    let w = look(AT + 1536, 512);
    bench.map.annotate(gfns(AT + 1536, 512), Note::MmioGuard, &w, &mut supply).unwrap();
    assert_eq!(mapped(&w), 0);
    assert!(bench.image(gfns(AT + 1536, 512)).iter().all(|&l| l == Lookup::Note(Note::MmioGuard)));
}

#[test]
fn prepared_tables_let_blocks_and_pages_come_without_upper_tables() {
    let mut bench = Bench::new(48, 20);
    // Two level-1 and two level-2 tables: the range crosses 512 GiB.
    bench.map.prepare(gfns((1 << 27) - 512, 1024), &mut bench.supply).unwrap();
    assert_eq!(bench.supply.out.len(), 4);
    let needed = |largest| bench.map.tables_needed(gfn((1 << 27) - 512), pfns(0, 1024), largest).unwrap();
    assert_eq!((needed(PageSize::Size2M), needed(PageSize::Size4K)), (0, 2));
    bench.map.prepare(gfns((1 << 27) - 512, 1024), &mut bench.supply).unwrap();
    assert_eq!(bench.supply.out.len(), 4);
}

#[test]
fn teardown_is_refused_while_something_is_mapped_and_then_returns_every_table() {
    for bits in [34, 39, 40, 48] {
        let mut bench = Bench::new(bits, 20);
        map(&mut bench, AT + 5, 5, 1200);
        bench.map.annotate(gfns(0, 1), Note::Poisoned, &bench.tlb, &mut bench.supply).unwrap();
        let refused = bench.map.free_tables(&bench.tlb, &mut bench.supply);
        assert_eq!(refused, Err(Located::gfn(Error::Busy, gfn(AT + 5))));
        bench.check_tables();
        bench.map.unmap(gfns(AT, 2048), &bench.tlb, &mut bench.supply).unwrap();
        bench.tlb.take();
        bench.map.free_tables(&bench.tlb, &mut bench.supply).unwrap();
        assert_eq!((bench.supply.out.len(), bench.tlb.take()), (0, std::vec![Op::InvalidateVm]));
        bench.check_tables();
        assert_eq!(bench.map.lookup(gfn(0)), Lookup::Empty);
    }
}
