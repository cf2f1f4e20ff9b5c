//! The store, fact by fact.

use super::{Failing, memory};
use crate::gmem::nodes::{Node, NodeIndex, Nodes};
use crate::gmem::store::Store;
use tenure_abi::Visibility::{Private, Shared};
use tenure_abi::{Error, PAGE_SHIFT};

/// 1 TiB in pages.
const TEBIBYTE: u64 = 1 << (40 - PAGE_SHIFT);

fn idle(_: u64, _: u64) -> bool {
    false
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
fn a_tebibyte_of_alternating_pages_fits_in_33_mebibytes() {
    let mut memory = memory(8400);
    let mut nodes = Failing::new(&mut memory);
    let mut store = Store::new(TEBIBYTE, Private).unwrap();
    // Every node there can be: one page is enough to have a node of bits.
    for first in (0..TEBIBYTE).step_by(1 << 15) {
        store.prepare(&mut nodes, first + 1, 1).unwrap();
        store.set(&mut nodes, first + 1, 1, Shared);
        store.tidy(&mut nodes, first + 1, 1, idle);
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
    for takes in 0..5 {
        nodes.left = takes;
        // Both ends inside words of their own: 1 + 2 + 2 nodes.
        assert_eq!(store.prepare(&mut nodes, 7, TEBIBYTE / 2), Err(Error::NoMemory), "{takes}");
        assert_eq!((store.run(&nodes, 0), nodes.lent()), ((Private, TEBIBYTE), 0));
    }
    nodes.left = 5;
    assert_eq!(store.prepare(&mut nodes, 7, TEBIBYTE / 2), Ok(()));
    assert_eq!((store.run(&nodes, 0), nodes.lent()), ((Private, TEBIBYTE), 5));
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
fn a_range_that_covers_words_needs_no_node_below_them() {
    let mut memory = memory(8);
    let mut nodes = Failing::new(&mut memory);
    let mut store = Store::new(TEBIBYTE, Private).unwrap();
    for (chunk, count, lent) in [(1 << 24, 3 << 24, 1), (1 << 15, 1 << 15, 2), (64, 64, 3)] {
        store.prepare(&mut nodes, chunk, count).unwrap();
        store.set(&mut nodes, chunk, count, Shared);
        assert_eq!(nodes.lent(), lent, "{chunk}");
    }
}

#[test]
fn a_whole_chunk_gives_its_nodes_back() {
    let mut memory = memory(600);
    let mut nodes = Failing::new(&mut memory);
    let mut store = Store::new(TEBIBYTE, Private).unwrap();
    for leaf in 0..100 {
        store.prepare(&mut nodes, leaf << 15, 100).unwrap();
        store.set(&mut nodes, leaf << 15, 100, Shared);
    }
    assert_eq!(nodes.lent(), 102);
    store.prepare(&mut nodes, 0, 1 << 24).unwrap();
    store.set(&mut nodes, 0, 1 << 24, Shared);
    assert_eq!(nodes.lent(), 1);
    assert_eq!(store.run(&nodes, 0), (Shared, 1 << 24));
}

#[test]
fn a_busy_node_is_not_joined() {
    let mut memory = memory(8);
    let mut nodes = Failing::new(&mut memory);
    let mut store = Store::new(1 << 20, Private).unwrap();
    store.prepare(&mut nodes, 10, 10).unwrap();
    store.prepare(&mut nodes, 40, 10).unwrap();
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
    store.prepare(&mut nodes, (1 << 15) + 3, 2).unwrap();
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
    for (first, count, lent) in [(0, 100, 1), (100, 200, 0)] {
        store.prepare(&mut nodes, first, count).unwrap();
        store.set(&mut nodes, first, count, Shared);
        store.tidy(&mut nodes, first, count, idle);
        assert_eq!(nodes.lent(), lent);
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
