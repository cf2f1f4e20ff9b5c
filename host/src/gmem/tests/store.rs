//! The store, fact by fact.

use super::{Failing, memory};
use crate::gmem::nodes::{Node, NodeIndex, Nodes};
use crate::gmem::store::Store;
use tenure_abi::Visibility::{Private, Shared};
use tenure_abi::{Error, PAGE_SHIFT, Visibility};

/// 1 TiB in pages.
const TEBIBYTE: u64 = 1 << (40 - PAGE_SHIFT);

fn idle(_: u64, _: u64) -> bool {
    false
}

/// A change with nothing else under way.
fn put(store: &mut Store, nodes: &mut Failing<'_>, first: u64, count: u64, all: Visibility) {
    store.prepare(nodes, first, count).unwrap();
    store.set(nodes, first, count, all);
    store.tidy(nodes, first, count, idle);
}

#[test]
fn a_file_has_at_least_one_page_and_at_most_two_to_the_51() {
    for pages in [0, (1 << 51) + 1, u64::MAX] {
        assert_eq!(Store::new(pages, Private).err(), Some(Error::Invalid));
    }
    assert!(Store::new(1, Private).is_ok() && Store::new(1 << 51, Shared).is_ok());
}

#[test]
fn a_uniform_tebibyte_is_one_word_and_no_node() {
    let mut memory = memory(0);
    let mut nodes = Failing::new(&mut memory);
    let mut store = Store::new(TEBIBYTE, Private).unwrap();
    store.prepare(&mut nodes, 0, TEBIBYTE).unwrap();
    store.set(&mut nodes, 0, TEBIBYTE, Shared);
    assert_eq!(store.run(&nodes, 5), (Shared, TEBIBYTE - 5));
    assert_eq!(nodes.lent(), 0);
    assert!(size_of::<Store>() <= 32);
}

#[test]
#[cfg_attr(miri, ignore = "33 MiB of nodes")]
fn a_tebibyte_at_its_worst_fits_in_33_mebibytes() {
    let mut memory = memory(8400);
    let mut nodes = Failing::new(&mut memory);
    let mut store = Store::new(TEBIBYTE, Private).unwrap();
    // Every node there can be: three changes are enough to have a node of bits.
    for page in (0..TEBIBYTE).step_by(1 << 15).flat_map(|leaf| [leaf + 1, leaf + 3]) {
        put(&mut store, &mut nodes, page, 1, Shared);
    }
    assert_eq!(nodes.lent(), 8192 + 16 + 1);
    assert!(nodes.lent() * size_of::<Node>() + size_of::<Store>() <= 33 << 20);
    // No range needs another.
    nodes.left = 0;
    for (first, count) in [(0, 1), (77, 1 << 20), (TEBIBYTE - 3, 2)] {
        store.prepare(&mut nodes, first, count).unwrap();
        store.set(&mut nodes, first, count, Shared);
    }
}

#[test]
fn a_refused_prepare_changes_nothing() {
    let mut memory = memory(8);
    let mut nodes = Failing::new(&mut memory);
    let mut store = Store::new(TEBIBYTE, Private).unwrap();
    let ends = [64, (1 << 27) - 64];
    put(&mut store, &mut nodes, ends[0], ends[1] - ends[0], Shared);
    assert_eq!(nodes.lent(), 0);
    // The root has both its cuts and so becomes a node, and the word below it that has 64; then both words at the ends of the
    // range have their second cut; then neither can have a third, and at its end that is so for two words, one below the other.
    for (takes, first, count) in [(2, 1 << 20, 7), (0, 70, (1 << 27) - 137), (3, 80, (1 << 27) - 157)] {
        let lent = nodes.lent();
        for takes in 0..takes {
            nodes.left = takes;
            assert_eq!(store.prepare(&mut nodes, first, count), Err(Error::NoMemory), "{takes}");
            assert_eq!((nodes.lent(), store.run(&nodes, 0)), (lent, (Private, 64)));
            assert_eq!(store.run(&nodes, 64), (Shared, ends[1] - ends[0]));
        }
        nodes.left = takes;
        assert_eq!(store.prepare(&mut nodes, first, count), Ok(()));
        assert_eq!((nodes.lent(), store.run(&nodes, 64)), (lent + takes as usize, (Shared, ends[1] - ends[0])));
    }
}

#[test]
fn a_given_up_prepare_leaves_no_node_once_tidied() {
    let mut memory = memory(8);
    let mut nodes = Failing::new(&mut memory);
    let mut store = Store::new(TEBIBYTE, Shared).unwrap();
    store.prepare(&mut nodes, 7, TEBIBYTE / 2).unwrap();
    store.tidy(&mut nodes, 7, TEBIBYTE / 2, idle);
    assert_eq!((store.run(&nodes, 0), nodes.lent()), ((Shared, TEBIBYTE), 0));
}

#[test]
fn one_stretch_needs_no_node() {
    let mut memory = memory(0);
    let mut nodes = Failing::new(&mut memory);
    let mut store = Store::new(TEBIBYTE, Private).unwrap();
    for (first, count) in [(512, 512), (1 << 14, 1 << 24), (64, TEBIBYTE - 128), (1 << 20, TEBIBYTE - (1 << 20))] {
        put(&mut store, &mut nodes, first, count, Shared);
        assert_eq!((store.run(&nodes, 0), store.run(&nodes, first)), ((Private, first), (Shared, count)));
        put(&mut store, &mut nodes, first, count, Private);
        assert_eq!(store.run(&nodes, 0), (Private, TEBIBYTE));
    }
}

#[test]
fn a_chunk_with_one_stretch_needs_no_node_of_its_own() {
    let mut memory = memory(1);
    let mut nodes = Failing::new(&mut memory);
    let mut store = Store::new(1 << 24, Private).unwrap();
    for chunk in 0..512 {
        put(&mut store, &mut nodes, (chunk << 15) + 77, chunk + 1, Shared);
    }
    assert_eq!(nodes.lent(), 1);
    for chunk in 0..512 {
        assert_eq!(store.run(&nodes, (chunk << 15) + 77), (Shared, chunk + 1));
        assert_eq!(store.get(&nodes, (chunk << 15) + 76), Private);
    }
}

#[test]
fn a_whole_chunk_gives_its_nodes_back() {
    let mut memory = memory(600);
    let mut nodes = Failing::new(&mut memory);
    let mut store = Store::new(TEBIBYTE, Private).unwrap();
    for leaf in 0..100 {
        put(&mut store, &mut nodes, (leaf << 15) + 50, 100, Shared);
        put(&mut store, &mut nodes, (leaf << 15) + 200, 100, Shared);
    }
    assert_eq!(nodes.lent(), 102);
    store.prepare(&mut nodes, 0, 1 << 24).unwrap();
    store.set(&mut nodes, 0, 1 << 24, Shared);
    assert_eq!(nodes.lent(), 1);
    assert_eq!(store.run(&nodes, 0), (Shared, 1 << 24));
}

#[test]
fn a_node_goes_when_few_enough_changes_are_left() {
    let mut memory = memory(8);
    let mut nodes = Failing::new(&mut memory);
    let mut store = Store::new(1 << 15, Private).unwrap();
    for (first, all, lent) in [(10, Shared, 0), (30, Shared, 1), (50, Shared, 1), (30, Private, 1), (50, Private, 0)] {
        put(&mut store, &mut nodes, first, 10, all);
        assert_eq!(nodes.lent(), lent, "{first}");
    }
    assert_eq!((store.run(&nodes, 0), store.run(&nodes, 10)), ((Private, 10), (Shared, 10)));
}

#[test]
fn a_cut_between_pages_that_are_alike_again_is_free_for_the_next() {
    let pieces = [(0, 10), (10, 10), (20, (1 << 15) - 20)];
    for kinds in
        [[Shared, Shared, Private], [Shared, Private, Private]].into_iter().flat_map(|[x, y, z]| [[x, y, z], [z, y, x]])
    {
        let mut memory = memory(0);
        let mut nodes = Failing::new(&mut memory);
        let mut store = Store::new(1 << 15, Private).unwrap();
        store.prepare(&mut nodes, 10, 10).unwrap();
        for ((first, count), all) in pieces.into_iter().zip(kinds) {
            store.set(&mut nodes, first, count, all);
        }
        assert_eq!(store.prepare(&mut nodes, 0, 30), Err(Error::NoMemory), "both cuts are in use");
        store.tidy(&mut nodes, 10, 10, idle);
        assert_eq!(store.prepare(&mut nodes, 0, 30), Ok(()), "{kinds:?}");
        for ((first, _), all) in pieces.into_iter().zip(kinds) {
            assert_eq!(store.get(&nodes, first), all);
        }
    }
}

#[test]
fn a_range_to_the_end_of_the_file_takes_one_cut() {
    let mut memory = memory(0);
    let mut nodes = Failing::new(&mut memory);
    let mut store = Store::new(300, Private).unwrap();
    for (first, count) in [(200, 100), (0, 100)] {
        assert_eq!(store.prepare(&mut nodes, first, count), Ok(()));
    }
}

#[test]
fn a_busy_node_is_not_joined() {
    let mut memory = memory(8);
    let mut nodes = Failing::new(&mut memory);
    let mut store = Store::new(1 << 20, Private).unwrap();
    store.prepare(&mut nodes, 10, 10).unwrap();
    store.prepare(&mut nodes, 40, 10).unwrap();
    assert_eq!(nodes.lent(), 2);
    let second = |first, count| first < 50 && 40 < first + count;
    store.tidy(&mut nodes, 10, 10, second);
    assert_eq!(nodes.lent(), 2);
    // What was prepared still works without another node.
    nodes.left = 0;
    store.set(&mut nodes, 40, 10, Shared);
    assert_eq!((store.run(&nodes, 0), store.run(&nodes, 40)), ((Private, 40), (Shared, 10)));
}

#[test]
fn busy_is_asked_about_pages_of_the_file_only() {
    let mut memory = memory(8);
    let mut nodes = Failing::new(&mut memory);
    let mut store = Store::new((1 << 15) + 9, Private).unwrap();
    // Three changes beside the one that is given up, so that there is a node of bits.
    for page in [1, 4, 6] {
        store.prepare(&mut nodes, (1 << 15) + page, 1).unwrap();
    }
    assert_eq!(nodes.lent(), 2);
    let asked = core::cell::RefCell::new(std::vec::Vec::new());
    store.tidy(&mut nodes, (1 << 15) + 3, 2, |first, count| {
        asked.borrow_mut().push((first, count));
        false
    });
    assert_eq!(asked.into_inner(), [(1 << 15, 9), (0, (1 << 15) + 9)]);
    assert_eq!(nodes.lent(), 0);
}

#[test]
fn a_file_that_ends_inside_a_word_becomes_uniform_again() {
    let mut memory = memory(8);
    let mut nodes = Failing::new(&mut memory);
    let mut store = Store::new(300, Private).unwrap();
    for (first, count, lent) in [(20, 10, 0), (50, 10, 1), (290, 10, 1), (30, 20, 1), (0, 20, 0), (60, 230, 0)] {
        put(&mut store, &mut nodes, first, count, Shared);
        assert_eq!(nodes.lent(), lent, "{first}");
    }
    assert_eq!(store.run(&nodes, 0), (Shared, 300));
}

#[test]
fn pages_past_the_end_are_private_and_cannot_be_changed() {
    let mut memory = memory(8);
    let mut nodes = Failing::new(&mut memory);
    let mut store = Store::new(300, Shared).unwrap();
    for first in [300, 301, 1 << 15, u64::MAX] {
        for count in [0, 1, u64::MAX] {
            store.prepare(&mut nodes, first, count).unwrap();
            store.set(&mut nodes, first, count, Private);
            store.tidy(&mut nodes, first, count, idle);
            assert!(store.is(&nodes, first, count, Private) && store.is(&nodes, first, count, Shared));
        }
        assert_eq!(store.run(&nodes, first), (Private, 0));
    }
    assert_eq!((store.run(&nodes, 0), nodes.lent()), ((Shared, 300), 0));
    store.prepare(&mut nodes, 200, u64::MAX).unwrap();
    store.set(&mut nodes, 200, u64::MAX, Private);
    assert_eq!((store.run(&nodes, 0), store.run(&nodes, 200)), ((Shared, 200), (Private, 100)));
}

#[test]
fn an_empty_range_does_nothing() {
    let mut memory = memory(8);
    let mut nodes = Failing::new(&mut memory);
    let mut store = Store::new(300, Shared).unwrap();
    store.prepare(&mut nodes, 7, 0).unwrap();
    store.set(&mut nodes, 7, 0, Private);
    store.tidy(&mut nodes, 7, 0, idle);
    assert!(store.is(&nodes, 7, 0, Private));
    assert_eq!((store.run(&nodes, 0), nodes.lent()), ((Shared, 300), 0));
}

/// A pool whose nodes are not there.
struct Broken;

impl Nodes for Broken {
    fn take(&mut self) -> Option<NodeIndex> {
        Some(NodeIndex::new(7))
    }
    fn give_back(&mut self, _: NodeIndex) {}
    fn node(&self, _: NodeIndex) -> Option<&Node> {
        None
    }
    fn node_mut(&mut self, _: NodeIndex) -> Option<&mut Node> {
        None
    }
}

#[test]
fn a_pool_that_lends_what_it_does_not_have_has_none() {
    let mut store = Store::new(TEBIBYTE, Shared).unwrap();
    assert_eq!(store.prepare(&mut Broken, 7, 7), Err(Error::NoMemory));
    assert_eq!(store.run(&Broken, 0), (Shared, TEBIBYTE));
}

#[test]
fn the_pool_of_another_file_is_no_panic() {
    let mut memory = memory(8);
    let mut nodes = Failing::new(&mut memory);
    let mut store = Store::new(TEBIBYTE, Shared).unwrap();
    store.prepare(&mut nodes, 7, 7).unwrap();
    store.set(&mut nodes, 7, 7, Private);
    assert_eq!(store.get(&Broken, 7), Private);
    assert_eq!(store.run(&Broken, 7).0, Private);
    store.set(&mut Broken, 0, TEBIBYTE, Shared);
    assert_eq!(store.run(&nodes, 0), (Shared, TEBIBYTE));
}
