//! What is refused, and that it changes nothing.

use super::bench::{Bench, Op, RWX, gfn, gfns, pfns};
use crate::stage2::{Lookup, Note};
use tenure_abi::{Error, Located, PageSize};

const AT: u64 = 0x4_0000;

fn map(bench: &mut Bench, first: u64, pfn: u64, count: u64) -> Result<(), Located<Error>> {
    bench.map.map(gfn(first), pfns(pfn, count), RWX, PageSize::Size2M, &bench.tlb, &mut bench.supply)
}

#[test]
fn a_refused_map_names_the_first_page_and_changes_nothing() {
    let mut bench = Bench::new(40, 20);
    map(&mut bench, AT + 700, 0x900, 1).unwrap();
    bench.map.annotate(gfns(AT + 900, 1), Note::Poisoned, &bench.tlb, &mut bench.supply).unwrap();
    let (before, out) = (bench.image(gfns(AT, 2048)), bench.supply.out.len());
    bench.tlb.take();
    assert_eq!(map(&mut bench, AT, 0, 2048), Err(Located::gfn(Error::Exists, gfn(AT + 700))));
    assert_eq!(map(&mut bench, AT + 701, 0, 1000), Err(Located::gfn(Error::Denied, gfn(AT + 900))));
    assert_eq!(map(&mut bench, AT + 900, 0, 1), Err(Located::gfn(Error::Denied, gfn(AT + 900))));
    assert_eq!(map(&mut bench, AT + 700, 0, 1), Err(Located::gfn(Error::Exists, gfn(AT + 700))));
    assert_eq!((bench.image(gfns(AT, 2048)), bench.supply.out.len()), (before, out));
    assert_eq!(bench.tlb.take(), []);
    bench.check_tables();
}

#[test]
fn a_map_with_one_page_too_few_changes_nothing() {
    // Into an empty 40-bit map: a level-2 table, and a level-3 table at each ragged end.
    for available in 0..3 {
        let mut bench = Bench::new(40, available);
        let needed = bench.map.tables_needed(gfn(AT + 1), pfns(1, 1024), PageSize::Size2M);
        assert_eq!(needed, Ok(3));
        assert_eq!(map(&mut bench, AT + 1, 1, 1024), Err(Located::call(Error::NoMemory)));
        assert!(bench.supply.out.is_empty());
        assert!(bench.image(gfns(AT, 2048)).iter().all(|&l| l == Lookup::Empty));
    }
    map(&mut Bench::new(40, 3), AT + 1, 1, 1024).unwrap();
}

#[test]
fn an_unmap_that_cannot_split_changes_nothing() {
    let mut bench = Bench::new(40, 2);
    map(&mut bench, AT, 0, 1024).unwrap();
    bench.tlb.take();
    let before = bench.image(gfns(AT, 1024));
    // Two blocks are partly covered, one page is left.
    let range = gfns(AT + 511, 2);
    assert_eq!(bench.map.unmap(range, &bench.tlb, &mut bench.supply), Err(Located::call(Error::NoMemory)));
    assert_eq!((bench.image(gfns(AT, 1024)), bench.tlb.take()), (before, std::vec![]));
    assert_eq!(bench.supply.out.len(), 1);
}

#[test]
fn an_annotation_without_table_pages_changes_nothing() {
    let mut bench = Bench::new(40, 1);
    let refused = bench.map.annotate(gfns(AT, 1), Note::MmioGuard, &bench.tlb, &mut bench.supply);
    assert_eq!(refused, Err(Located::call(Error::NoMemory)));
    assert!(bench.supply.out.is_empty());
    assert_eq!(bench.map.lookup(gfn(AT)), Lookup::Empty);
}

#[test]
fn addresses_beyond_the_map_are_refused_and_empty() {
    let mut bench = Bench::new(40, 20);
    let end = 1 << 28;
    assert_eq!(map(&mut bench, end, 0, 1), Err(Located::gfn(Error::Invalid, gfn(end))));
    assert_eq!(map(&mut bench, end - 1, 0, 2), Err(Located::gfn(Error::Invalid, gfn(end - 1))));
    assert_eq!(
        bench.map.unmap(gfns(end - 1, 2), &bench.tlb, &mut bench.supply),
        Err(Located::gfn(Error::Invalid, gfn(end - 1)))
    );
    assert_eq!(bench.map.lookup(gfn(end)), Lookup::Empty);
    assert_eq!(bench.map.lookup(gfn((1 << 40) - 1)), Lookup::Empty);
    // No address wraps round to the first root table.
    map(&mut bench, 0, 7, 1).unwrap();
    assert_eq!(bench.map.lookup(gfn(end)), Lookup::Empty);
    map(&mut bench, end - 1, 0, 1).unwrap();
    assert!(matches!(bench.map.lookup(gfn(end - 1)), Lookup::Leaf(_)));
}

#[test]
fn frames_beyond_48_bits_are_refused() {
    let mut bench = Bench::new(40, 20);
    let end = 1 << 36;
    assert_eq!(map(&mut bench, AT, end - 1, 2), Err(Located::pfn(Error::Invalid, pfns(end - 1, 1).first())));
    map(&mut bench, AT, end - 1, 1).unwrap();
}

#[test]
fn a_poisoned_page_stays_poisoned() {
    let mut bench = Bench::new(40, 20);
    map(&mut bench, AT, 0, 512).unwrap();
    let account = bench.map.annotate(gfns(AT + 7, 1), Note::Poisoned, &bench.tlb, &mut bench.supply).unwrap();
    assert_eq!(account.frames, 1);
    let again = bench.map.annotate(gfns(AT + 7, 1), Note::Poisoned, &bench.tlb, &mut bench.supply);
    assert_eq!(again, Err(Located::gfn(Error::Poisoned, gfn(AT + 7))));
    assert_eq!(bench.map.unmap(gfns(AT, 512), &bench.tlb, &mut bench.supply).unwrap().frames, 511);
    assert_eq!(bench.map.lookup(gfn(AT + 7)), Lookup::Note(Note::Poisoned));
    assert_eq!(bench.map.clear_note(gfn(AT + 7), Note::MmioGuard), Err(Located::gfn(Error::NotFound, gfn(AT + 7))));
}

#[test]
fn unmapping_nothing_invalidates_nothing() {
    let mut bench = Bench::new(40, 20);
    map(&mut bench, AT, 0, 1).unwrap();
    bench.tlb.take();
    for range in [gfns(AT + 1, 1), gfns(AT + 1, 511), gfns(0, 5000)] {
        assert_eq!(bench.map.unmap(range, &bench.tlb, &mut bench.supply).unwrap().frames, 0);
    }
    assert_eq!(bench.tlb.take(), std::vec![]);
}

#[test]
fn one_page_costs_one_publish_and_one_invalidate() {
    let mut bench = Bench::new(40, 20);
    map(&mut bench, AT, 0, 1).unwrap();
    bench.map.unmap(gfns(AT, 1), &bench.tlb, &mut bench.supply).unwrap();
    assert_eq!(bench.tlb.take(), [Op::Publish, Op::Invalidate(AT, 1)]);
}
