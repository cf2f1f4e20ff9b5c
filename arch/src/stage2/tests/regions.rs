//! Two regions with locks of their own, changed at the same time.

use super::bench::{Bench, RWX, gfn, gfns, pfns};
use crate::pages::TableStack;
use crate::stage2::Lookup;
use tenure_abi::PageSize;

const AT: u64 = 0x4_0000;
const ROUNDS: u32 = if cfg!(miri) { 2 } else { 200 };

#[test]
fn changes_in_different_regions_do_not_disturb_each_other() {
    let mut bench = Bench::new(40, 20);
    bench.map.prepare(gfns(AT, 1024), &mut bench.supply).unwrap();
    let Bench { map, tlb, .. } = &bench;
    let none = || TableStack::new(tlb.pages);
    std::thread::scope(|s| {
        for region in 0..2 {
            s.spawn(move || {
                let start = AT + region * 512;
                for _ in 0..ROUNDS {
                    let frames = pfns(0x1_0000 + region * 512, 512);
                    map.map(gfn(start), frames, RWX, PageSize::Size2M, tlb, &mut none()).unwrap();
                    let Lookup::Leaf(leaf) = map.lookup(gfn(start + 511)) else { panic!("not mapped") };
                    assert_eq!(leaf.pfn.number(), 0x1_0000 + region * 512 + 511);
                    assert_eq!(map.unmap(gfns(start, 512), tlb, &mut none()).unwrap().frames, 512);
                }
            });
        }
    });
    bench.check_tables();
}
