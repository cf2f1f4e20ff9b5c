//! The index and its entries, fact by fact.

use super::{Failing, memory};
use crate::gmem::entry::{Entry, Facts};
use crate::gmem::index::Index;
use std::vec::Vec;
use tenure_abi::PageSize::{self, Size1G, Size2M, Size4K};
use tenure_abi::{Error, Pfn};

const SIZES: [PageSize; 3] = [Size4K, Size2M, Size1G];
/// Pages of 2M and 1G.
const M2: u64 = 512;
const G1: u64 = M2 * M2;

fn idle(_: u64, _: u64) -> bool {
    false
}

fn entry(pfn: u64) -> Entry {
    Entry::new(Pfn::new(pfn).unwrap(), Facts::empty(), Size4K)
}

#[test]
fn an_entry_says_what_was_put_in() {
    for pfn in [0, 1, (1 << 40) - 1] {
        for bits in 0..32 {
            for hw in SIZES {
                let facts = Facts::from_bits(bits << 4).unwrap();
                let pfn = Pfn::new(pfn).unwrap();
                let entry = Entry::new(pfn, facts, hw);
                assert_eq!((entry.pfn(), entry.facts(), entry.hw()), (pfn, facts, hw));
                assert_eq!(Entry::from_word(entry.word()), Some(entry));
                assert_ne!(entry.word(), 0, "it would look as if nothing were backed");
                assert_eq!(entry.with_facts(!facts), Entry::new(pfn, !facts, hw));
                assert_eq!(entry.with_hw(Size2M), Entry::new(pfn, facts, Size2M));
            }
        }
    }
}

#[test]
fn bits_that_are_no_fact_do_not_get_into_an_entry() {
    let plain = entry(5);
    assert_eq!(Entry::new(plain.pfn(), Facts::from_bits_retain(!Facts::all().bits()), Size4K), plain);
    assert_eq!(plain.with_facts(Facts::from_bits_retain(!Facts::all().bits())), plain);
    assert_eq!(Entry::from_word(0), None);
}

#[test]
fn a_file_has_at_least_one_page_and_at_most_two_to_the_51() {
    for pages in [0, (1 << 51) + 1, u64::MAX] {
        assert_eq!(Index::new(pages).err(), Some(Error::Invalid));
    }
    assert!(Index::new(1).is_ok() && Index::new(1 << 51).is_ok());
}

#[test]
fn a_page_of_a_large_backing_has_its_own_frame() {
    let mut memory = memory(8);
    let mut nodes = Failing::new(&mut memory);
    let mut index = Index::new(4 * G1).unwrap();
    index.fill(&mut nodes, G1, Size1G, entry(8 * G1)).unwrap();
    index.fill(&mut nodes, M2, Size2M, entry(3 * M2)).unwrap();
    index.fill(&mut nodes, 1, Size4K, entry(77)).unwrap();
    assert_eq!(index.get(&nodes, G1 + 12345), Some((entry(8 * G1 + 12345), Size1G)));
    assert_eq!(index.get(&nodes, M2 + 511), Some((entry(3 * M2 + 511), Size2M)));
    assert_eq!(index.get(&nodes, 1), Some((entry(77), Size4K)));
    for unbacked in [0, 2, 2 * M2, 2 * G1, 4 * G1, u64::MAX] {
        assert_eq!(index.get(&nodes, unbacked), None);
    }
}

#[test]
fn a_backing_is_aligned_and_ends_in_the_file() {
    let mut memory = memory(8);
    let mut nodes = Failing::new(&mut memory);
    let mut index = Index::new(G1 - 1).unwrap();
    for (page, size, pfn) in [
        (1, Size2M, 0),
        (M2, Size2M, 1),
        (M2, Size2M, M2 / 2),
        (0, Size1G, 0),
        (G1 - M2, Size2M, 0),
        (G1 - 1, Size4K, 0),
        (u64::MAX, Size4K, 0),
        (u64::MAX << 9, Size2M, 0),
    ] {
        assert_eq!(index.fill(&mut nodes, page, size, entry(pfn)), Err(Error::Invalid), "{size:?} at {page}");
    }
    assert_eq!(nodes.lent(), 0);
}

#[test]
fn what_is_backed_is_not_backed_again() {
    let mut memory = memory(8);
    let mut nodes = Failing::new(&mut memory);
    let mut index = Index::new(2 * G1).unwrap();
    index.fill(&mut nodes, 5, Size4K, entry(77)).unwrap();
    index.fill(&mut nodes, M2, Size2M, entry(M2)).unwrap();
    index.fill(&mut nodes, G1, Size1G, entry(G1)).unwrap();
    let lent = nodes.lent();
    for (page, size) in [
        (5, Size4K),
        (0, Size2M),
        (0, Size1G),
        (M2, Size4K),
        (M2 + 1, Size4K),
        (M2, Size2M),
        (G1 + 7, Size4K),
        (G1 + M2, Size2M),
        (G1, Size1G),
    ] {
        assert_eq!(index.fill(&mut nodes, page, size, entry(0)), Err(Error::Exists), "{size:?} at {page}");
    }
    assert_eq!(nodes.lent(), lent);
    assert_eq!(index.get(&nodes, 5), Some((entry(77), Size4K)));
}

#[test]
fn a_refused_fill_or_prepare_changes_nothing() {
    let mut memory = memory(8);
    let mut nodes = Failing::new(&mut memory);
    let mut index = Index::new(1 << 28).unwrap();
    for takes in 0..4 {
        nodes.left = takes;
        assert_eq!(index.fill(&mut nodes, 5, Size4K, entry(77)), Err(Error::NoMemory));
        assert_eq!((index.run(&nodes, 0, u64::MAX), nodes.lent()), ((None, 1 << 28), 0));
    }
    nodes.left = u32::MAX;
    index.fill(&mut nodes, 0, Size1G, entry(0)).unwrap();
    let lent = nodes.lent();
    for takes in 0..3 {
        nodes.left = takes;
        // One node for the GiB, one for each end.
        assert_eq!(index.prepare(&mut nodes, 7, 5000), Err(Error::NoMemory));
        assert_eq!((index.get(&nodes, 7), nodes.lent()), (Some((entry(7), Size1G)), lent));
    }
    nodes.left = 3;
    assert_eq!(index.prepare(&mut nodes, 7, 5000), Ok(()));
    assert_eq!(index.run(&nodes, 0, u64::MAX), (Some(entry(0)), G1));
}

#[test]
fn a_part_of_a_large_backing_changes_alone_and_is_joined_again() {
    let mut memory = memory(8);
    let mut nodes = Failing::new(&mut memory);
    let mut index = Index::new(2 * G1).unwrap();
    index.fill(&mut nodes, 0, Size1G, entry(G1)).unwrap();
    let lent = nodes.lent();
    index.prepare(&mut nodes, 2 * M2 + 1, 2 * M2).unwrap();
    let mut calls = Vec::new();
    index.update(&mut nodes, 2 * M2 + 1, 2 * M2, |page, entry| {
        calls.push(page);
        entry.with_facts(Facts::MAPPED)
    });
    // 511 pages, one backing of 2M as one, and one page.
    assert_eq!((calls.len(), calls[511], calls[512]), (513, 3 * M2, 4 * M2));
    assert_eq!(index.run(&nodes, 0, u64::MAX), (Some(entry(G1)), 2 * M2 + 1));
    assert_eq!(index.run(&nodes, 2 * M2 + 1, 700).1, 700);
    assert_eq!(index.run(&nodes, 2 * M2 + 1, u64::MAX).1, 2 * M2);
    index.tidy(&mut nodes, 0, G1, idle);
    assert_eq!(index.get(&nodes, 3 * M2 + 5).map(|found| found.1), Some(Size2M));
    assert_eq!(index.get(&nodes, 2 * M2 + 5).map(|found| found.1), Some(Size4K));
    index.update(&mut nodes, 2 * M2 + 1, 2 * M2, |_, entry| entry.with_facts(Facts::empty()));
    index.tidy(&mut nodes, 2 * M2 + 1, 2 * M2, idle);
    assert_eq!((index.get(&nodes, 5), nodes.lent()), (Some((entry(G1 + 5), Size1G)), lent));
}

#[test]
fn pages_are_joined_only_where_the_frame_allows_it() {
    let mut memory = memory(8);
    let mut nodes = Failing::new(&mut memory);
    let mut index = Index::new(2 * M2).unwrap();
    for page in 0..M2 {
        index.fill(&mut nodes, page, Size4K, entry(page + 1)).unwrap();
        index.fill(&mut nodes, M2 + page, Size4K, entry(M2 + page)).unwrap();
    }
    index.tidy(&mut nodes, 0, 2 * M2, idle);
    assert_eq!((index.get(&nodes, 0), index.get(&nodes, M2)), (Some((entry(1), Size4K)), Some((entry(M2), Size2M))));
}

#[test]
fn a_busy_backing_is_not_joined() {
    let mut memory = memory(8);
    let mut nodes = Failing::new(&mut memory);
    let mut index = Index::new(4 * M2).unwrap();
    index.fill(&mut nodes, 0, Size2M, entry(0)).unwrap();
    index.prepare(&mut nodes, 100, 1).unwrap();
    index.tidy(&mut nodes, 300, 1, |first, count| first <= 100 && 100 < first + count);
    let mut calls = 0;
    index.update(&mut nodes, 100, 1, |_, entry| {
        calls += 1;
        entry.with_facts(Facts::POISONED)
    });
    assert_eq!((calls, index.run(&nodes, 100, 9).1), (1, 1));
}

#[test]
fn removing_tells_each_backing_with_its_size() {
    let mut memory = memory(16);
    let mut nodes = Failing::new(&mut memory);
    let mut index = Index::new(3 * G1).unwrap();
    index.fill(&mut nodes, 0, Size2M, entry(4 * M2)).unwrap();
    index.fill(&mut nodes, M2 + 3, Size4K, entry(1)).unwrap();
    index.fill(&mut nodes, G1, Size1G, entry(0)).unwrap();
    index.prepare(&mut nodes, 510, 2 * G1 - 510).unwrap();
    let mut removed = Vec::new();
    index.remove(&mut nodes, 510, 2 * G1 - 510, |entry, size| removed.push((entry, size)));
    let expected =
        [(entry(4 * M2 + 510), Size4K), (entry(4 * M2 + 511), Size4K), (entry(1), Size4K), (entry(0), Size1G)];
    assert_eq!(removed, expected);
    assert_eq!(index.run(&nodes, 510, u64::MAX), (None, 3 * G1 - 510));
    assert_eq!(index.run(&nodes, 0, u64::MAX), (Some(entry(4 * M2)), 510));
    index.remove(&mut nodes, 0, u64::MAX, |_, _| ());
    assert_eq!(nodes.lent(), 0);
}

#[test]
fn the_frame_stays_whatever_an_update_says() {
    let mut memory = memory(8);
    let mut nodes = Failing::new(&mut memory);
    let mut index = Index::new(M2).unwrap();
    index.fill(&mut nodes, 0, Size2M, entry(M2)).unwrap();
    index.update(&mut nodes, 0, M2, |_, _| entry(3).with_facts(Facts::INITIALISED));
    assert_eq!(index.get(&nodes, 1), Some((entry(M2 + 1).with_facts(Facts::INITIALISED), Size2M)));
}

#[test]
fn runs_skip_what_is_not_backed_and_end_where_anything_differs() {
    let mut memory = memory(16);
    let mut nodes = Failing::new(&mut memory);
    let mut index = Index::new(1 << 36).unwrap();
    let assigned = |pfn, hw| entry(pfn).with_facts(Facts::ASSIGNED).with_hw(hw);
    index.fill(&mut nodes, 1 << 35, Size4K, assigned(10, Size4K)).unwrap();
    index.fill(&mut nodes, (1 << 35) + 1, Size4K, assigned(11, Size2M)).unwrap();
    index.fill(&mut nodes, (1 << 35) + 2, Size4K, assigned(13, Size2M)).unwrap();
    index.fill(&mut nodes, (1 << 35) + 3, Size4K, entry(14)).unwrap();
    assert_eq!(index.run(&nodes, 3, u64::MAX), (None, (1 << 35) - 3));
    assert_eq!(index.run(&nodes, 3, 5), (None, 5));
    let mut seen = Vec::new();
    index.each(&nodes, 0, u64::MAX, |page, entry, pages| seen.push((page - (1 << 35), entry.pfn().number(), pages)));
    assert_eq!(seen, [(0, 10, 1), (1, 11, 1), (2, 13, 1), (3, 14, 1)]);
    assert_eq!(index.run(&nodes, (1 << 35) + 4, u64::MAX), (None, (1 << 35) - 4));
    assert_eq!(index.run(&nodes, 1 << 36, 7), (None, 0));
}

#[test]
fn no_frame_follows_the_last() {
    let mut memory = memory(1);
    let mut nodes = Failing::new(&mut memory);
    let mut index = Index::new(2).unwrap();
    let slot = |number| tenure_abi::VmSlot::new(number).unwrap();
    let last = entry((1 << 40) - 1).assigned_to(slot(0), Size4K);
    for after in [entry(0).assigned_to(slot(0), Size4K), entry(0).assigned_to(slot(1), Size4K)] {
        index.fill(&mut nodes, 0, Size4K, last).unwrap();
        index.fill(&mut nodes, 1, Size4K, after).unwrap();
        assert_eq!(index.run(&nodes, 0, 2), (Some(last), 1));
        let mut runs = heapless::Vec::<_, 2>::new();
        index.runs(&nodes, 0, 2, &mut runs);
        assert_eq!((runs[0].entry(), runs[0].end), (Some(last), 1));
        index.remove(&mut nodes, 0, 2, |_, _| ());
    }
}

#[test]
fn what_lies_past_the_end_is_ignored() {
    let mut memory = memory(8);
    let mut nodes = Failing::new(&mut memory);
    let mut index = Index::new(300).unwrap();
    index.fill(&mut nodes, 299, Size4K, entry(1)).unwrap();
    for first in [300, u64::MAX] {
        index.prepare(&mut nodes, first, u64::MAX).unwrap();
        index.update(&mut nodes, first, u64::MAX, |_, _| unreachable!("there is no page"));
        index.remove(&mut nodes, first, u64::MAX, |_, _| unreachable!("there is no page"));
        index.tidy(&mut nodes, first, u64::MAX, idle);
        index.each(&nodes, first, u64::MAX, |_, _, _| unreachable!("there is no page"));
    }
    index.update(&mut nodes, 299, 0, |_, _| unreachable!("the range is empty"));
    assert_eq!(index.run(&nodes, 299, u64::MAX), (Some(entry(1)), 1));
}

#[test]
fn both_trees_of_a_file_draw_from_one_pool() {
    let mut memory = memory(8);
    let mut nodes = Failing::new(&mut memory);
    let mut index = Index::new(1000).unwrap();
    let mut store = crate::gmem::store::Store::new(1000, tenure_abi::Visibility::Private).unwrap();
    index.fill(&mut nodes, 7, Size4K, entry(7)).unwrap();
    // Two stretches take a node.
    for page in [7, 9] {
        store.prepare(&mut nodes, page, 1).unwrap();
        store.set(&mut nodes, page, 1, tenure_abi::Visibility::Shared);
    }
    assert_eq!(nodes.lent(), 3);
    store.set(&mut nodes, 0, 1000, tenure_abi::Visibility::Private);
    assert_eq!((nodes.lent(), index.get(&nodes, 7)), (2, Some((entry(7), Size4K))));
}
