//! Random changes, each compared with a `BTreeMap` of pages.

use super::bench::{Bench, RWX, gfn, gfns, pfns};
use crate::stage2::{Lookup, Note};
use core::sync::atomic::Ordering::Relaxed;
use std::collections::BTreeMap;
use tenure_abi::{Error, PageSize, Place};

/// Changes of a walk; under Miri a sample.
const STEPS: u32 = if cfg!(miri) { 8 } else { 1500 };
/// Of how many pages one is looked at after each change.
const LOOK: usize = if cfg!(miri) { 61 } else { 1 };

/// xorshift64*: the same walk on every machine.
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) % n
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Page {
    At(u64),
    Noted(Note),
}

type Model = BTreeMap<u64, Page>;

fn seen(bench: &Bench, number: u64) -> Option<Page> {
    match bench.map.lookup(gfn(number)) {
        Lookup::Leaf(leaf) => Some(Page::At(leaf.pfn.number())),
        Lookup::Note(note) => Some(Page::Noted(note)),
        Lookup::Empty => None,
        Lookup::Damaged => panic!("damaged at {number:#x}"),
    }
}

fn first_bad(model: &Model, start: u64, count: u64, bad: impl Fn(Page) -> Option<Error>) -> Option<(u64, Error)> {
    model.range(start..start + count).find_map(|(&n, &page)| Some((n, bad(page)?)))
}

fn expect(result: Result<(), tenure_abi::Located<Error>>, bad: Option<(u64, Error)>) {
    match (result, bad) {
        (Ok(()), None) => {}
        (Err(e), Some((n, error))) => assert_eq!((e.at, e.error), (Place::Gfn(gfn(n)), error)),
        (result, bad) => panic!("{result:?}, the model says {bad:?}"),
    }
}

/// Ranges of this walk lie in 4 blocks around `origin`: small enough to collide all the time.
fn random_walk(bits: u8, origin: u64, seed: u64, steps: u32) {
    const SPAN: u64 = 4 * 512;
    let mut bench = Bench::new(bits, 40);
    let mut random = Random(seed);
    let mut model = Model::new();
    for step in 0..steps {
        let start = origin
            + match random.below(3) {
                0 => random.below(4) * 512,
                _ => random.below(SPAN),
            };
        let longest = origin + SPAN - start;
        let count = match random.below(4) {
            0 => 512.min(longest),
            1 => 1,
            _ => 1 + random.below(longest),
        };
        match random.below(8) {
            0..=2 => {
                // Aligned like the guest side half of the time, so that blocks come about.
                let pfn = 0x10_0000 + (start & 511) + random.below(2) * random.below(512);
                let largest = if random.below(4) == 0 { PageSize::Size4K } else { PageSize::Size2M };
                let bad = first_bad(&model, start, count, |page| match page {
                    Page::At(_) => Some(Error::Exists),
                    Page::Noted(_) => Some(Error::Denied),
                });
                let needed = bench.map.tables_needed(gfn(start), pfns(pfn, count), largest);
                let before = bench.supply.out.len();
                let result = bench.map.map(gfn(start), pfns(pfn, count), RWX, largest, &bench.tlb, &mut bench.supply);
                expect(result, bad);
                if bad.is_none() {
                    model.extend((0..count).map(|i| (start + i, Page::At(pfn + i))));
                    assert_eq!(needed, Ok((bench.supply.out.len() - before) as u64), "step {step}");
                } else {
                    assert_eq!(bench.supply.out.len(), before);
                }
            }
            3 | 4 => {
                let mapped = model.range(start..start + count).filter(|(_, p)| matches!(p, Page::At(_))).count();
                bench.tlb.take();
                let account = bench.map.unmap(gfns(start, count), &bench.tlb, &mut bench.supply).unwrap();
                assert_eq!(account.frames, mapped as u64);
                model.retain(|&n, page| !(start..start + count).contains(&n) || matches!(page, Page::Noted(_)));
                let ops = bench.tlb.take();
                let invalidates = ops.iter().filter(|op| matches!(op, super::bench::Op::Invalidate(..)));
                assert_eq!(invalidates.count(), usize::from(mapped != 0));
            }
            5 => {
                let note = Note::ALL[random.below(2) as usize];
                let count = count.min(1 + random.below(40));
                let bad = first_bad(&model, start, count, |page| match page {
                    Page::At(_) => None,
                    Page::Noted(Note::Poisoned) => Some(Error::Poisoned),
                    Page::Noted(Note::MmioGuard) => Some(Error::Exists),
                });
                let result = bench.map.annotate(gfns(start, count), note, &bench.tlb, &mut bench.supply);
                expect(result.map(|_| ()), bad);
                if bad.is_none() {
                    model.extend((0..count).map(|i| (start + i, Page::Noted(note))));
                }
            }
            6 => {
                for note in Note::ALL {
                    for n in start..start + count {
                        let there = model.get(&n) == Some(&Page::Noted(note));
                        assert_eq!(bench.map.clear_note(gfn(n), note).is_ok(), there);
                    }
                }
                model.retain(|&n, page| !(start..start + count).contains(&n) || matches!(page, Page::At(_)));
            }
            _ => {
                // Resizing changes no page, whatever it answers.
                let _ = bench.map.split(gfn(start), &bench.tlb, &mut bench.supply);
                let _ = bench.map.merge(gfn(start ^ 512), &bench.tlb, &mut bench.supply);
            }
        }
        bench.supply.restock();
        for n in (origin..origin + SPAN).step_by(LOOK) {
            assert_eq!(seen(&bench, n), model.get(&n).copied(), "step {step}, gfn {n:#x}");
        }
        if step % 16 == 0 {
            bench.check_tables();
        }
    }
    assert_eq!(bench.tlb.too_early.load(Relaxed), 0);
    bench.check_tables();
}

#[test]
fn random_changes_agree_with_the_model_at_start_level_0() {
    random_walk(48, 0x8_0000_0000 - 1024, 0x1234_5678, STEPS);
}

#[test]
fn random_changes_agree_with_the_model_at_start_level_1() {
    random_walk(39, 0x4_0000, 0x9e37_79b9, STEPS);
}

#[test]
fn random_changes_agree_with_the_model_across_two_root_tables() {
    // 40 bits: the second root table begins at 512 GiB.
    random_walk(40, (1 << 27) - 1024, 0xdead_beef, STEPS);
}

#[test]
fn random_changes_agree_with_the_model_at_start_level_2() {
    random_walk(34, (1 << 18) - 1024, 0xfeed_f00d, STEPS);
}
