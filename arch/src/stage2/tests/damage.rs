//! Damaged tables and a page supply that lies: an answer, no panic, and never a stale mapping.

use super::bench::{Bench, RWX, gfn, gfns, pfns};
use crate::pages::TablePages;
use crate::stage2::{Lookup, Note};
use tenure_abi::{Error, Located, PageSize, Pfn};

const AT: u64 = 0x4_0000;

fn map(bench: &mut Bench, first: u64, pfn: u64, count: u64) -> Result<(), Located<Error>> {
    bench.map.map(gfn(first), pfns(pfn, count), RWX, PageSize::Size2M, &bench.tlb, &mut bench.supply)
}

#[test]
fn a_malformed_entry_is_reported_where_it_stands() {
    let mut bench = Bench::new(40, 20);
    map(&mut bench, AT, 0, 2).unwrap();
    let table = *bench.supply.out.last().unwrap();
    // A block in a level-3 table, an unknown type, a note with a stray bit.
    for raw in [0x1001, 3 << 1, Note::Poisoned.raw() | 1 << 20] {
        bench.damage(table, 1, raw);
        let internal = Err(Located::gfn(Error::Internal, gfn(AT + 1)));
        assert_eq!(bench.map.lookup(gfn(AT + 1)), Lookup::Damaged, "{raw:#x}");
        assert_eq!(map(&mut bench, AT + 1, 9, 1), internal);
        for count in [1, 3] {
            let range = gfns(AT + 1, count);
            assert_eq!(bench.map.unmap(range, &bench.tlb, &mut bench.supply).map(|_| ()), internal);
            let noted = bench.map.annotate(range, Note::Poisoned, &bench.tlb, &mut bench.supply);
            assert_eq!(noted.map(|_| ()), internal);
        }
        assert!(bench.map.merge(gfn(AT), &bench.tlb, &mut bench.supply).is_err());
        assert_eq!(bench.map.for_each_table(&mut |_| ()), Err(Located::gfn(Error::Internal, gfn(AT + 1))));
    }
}

#[test]
fn a_table_out_of_reach_is_reported_and_not_followed() {
    let mut bench = Bench::new(40, 20);
    map(&mut bench, AT, 0, 2).unwrap();
    // The level-2 table came first; its entry for AT leads outside of the window now.
    let level2 = bench.supply.out[0];
    bench.damage(level2, AT >> 9, 0x1_0003);
    assert_eq!(bench.map.lookup(gfn(AT)), Lookup::Damaged);
    let internal = Located::gfn(Error::Internal, gfn(AT));
    assert_eq!(map(&mut bench, AT, 0, 1), Err(internal));
    assert_eq!(bench.map.unmap(gfns(AT, 1), &bench.tlb, &mut bench.supply), Err(internal));
    assert_eq!(bench.map.free_tables(&bench.tlb, &mut bench.supply), Err(internal));
}

/// Promises pages and gives none, or one that the window does not reach.
struct Liar(Option<Pfn>);

impl TablePages for Liar {
    fn available(&self) -> usize {
        usize::MAX
    }
    fn take(&mut self) -> Option<Pfn> {
        self.0
    }
    fn give_back(&mut self, _: Pfn) {}
}

#[test]
fn a_supply_that_lies_leaves_no_block_broken_and_no_page_stale() {
    for page in [None, Pfn::new(1).ok(), Pfn::new(1 << 37).ok()] {
        let mut bench = Bench::new(40, 20);
        map(&mut bench, AT, 0, 1536).unwrap();
        let before = bench.image(gfns(AT, 1536));
        let internal = |number| Err(Located::gfn(Error::Internal, gfn(number)));
        let mut liar = Liar(page);
        assert_eq!(bench.map.split(gfn(AT), &bench.tlb, &mut liar), internal(AT));
        assert_eq!(bench.map.unmap(gfns(AT + 1, 1), &bench.tlb, &mut liar).map(|_| ()), internal(AT + 1));
        assert_eq!(bench.image(gfns(AT, 1536)), before);
        // The first block goes as a whole, the split of the second fails: what is gone is invalidated.
        bench.tlb.take();
        assert_eq!(bench.map.unmap(gfns(AT, 600), &bench.tlb, &mut liar).map(|_| ()), internal(AT + 512));
        assert_eq!(bench.tlb.take(), [super::bench::Op::Invalidate(AT, 1)]);
        assert_eq!(bench.image(gfns(AT + 512, 1024)), before[512..]);
        let far = AT + (1 << 18);
        let mapped = bench.map.map(gfn(far), pfns(0, 1), RWX, PageSize::Size4K, &bench.tlb, &mut liar);
        assert_eq!(mapped, internal(far));
    }
}
