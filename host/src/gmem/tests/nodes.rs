//! The pool over a slice.

use super::memory;
use crate::gmem::nodes::{Node, NodeIndex, Nodes, SliceNodes};
use std::collections::BTreeSet;
use std::vec::Vec;

#[test]
fn every_node_is_lent_once_and_then_none() {
    let mut memory = memory(130);
    let mut pool = SliceNodes::new(&mut memory);
    let lent: BTreeSet<u32> = core::iter::from_fn(|| pool.take()).map(NodeIndex::number).collect();
    assert_eq!((lent.len(), pool.lent(), pool.capacity()), (130, 130, 130));
    assert!(lent.iter().all(|number| pool.node(NodeIndex::new(*number)).is_some()));
}

#[test]
fn a_node_given_back_is_lent_again() {
    let mut memory = memory(70);
    let mut pool = SliceNodes::new(&mut memory);
    let lent: Vec<NodeIndex> = core::iter::from_fn(|| pool.take()).collect();
    for one in [69, 3, 64] {
        pool.give_back(lent[one]);
        assert_eq!(pool.lent(), 69);
        assert_eq!(pool.take(), Some(lent[one]));
        assert_eq!(pool.take(), None);
    }
}

#[test]
fn giving_back_twice_or_what_was_never_lent_changes_nothing() {
    let mut memory = memory(8);
    let mut pool = SliceNodes::new(&mut memory);
    let (a, b) = (pool.take().unwrap(), pool.take().unwrap());
    pool.give_back(a);
    for foreign in [a.number(), 5, 8, 9, 64, 1 << 15, u32::MAX] {
        pool.give_back(NodeIndex::new(foreign));
        assert_eq!(pool.lent(), 1, "{foreign}");
    }
    let rest: BTreeSet<u32> = core::iter::from_fn(|| pool.take()).map(NodeIndex::number).collect();
    assert_eq!(rest.len(), 7);
    assert!(!rest.contains(&b.number()), "a node was lent to two");
}

#[test]
fn an_index_that_names_no_node_names_nothing() {
    let mut memory = memory(2);
    let mut pool = SliceNodes::new(&mut memory);
    for number in [2, 3, u32::MAX] {
        assert!(pool.node(NodeIndex::new(number)).is_none());
        assert!(pool.node_mut(NodeIndex::new(number)).is_none());
    }
}

#[test]
fn what_a_late_writer_leaves_in_a_free_node_does_not_reach_the_record() {
    let mut memory = memory(3);
    let mut pool = SliceNodes::new(&mut memory);
    let late = pool.take().unwrap();
    pool.give_back(late);
    pool.node_mut(late).unwrap().0.fill(u64::MAX);
    assert_eq!(core::iter::from_fn(|| pool.take()).count(), 3);
}

#[test]
fn a_slice_too_small_for_a_node_lends_none() {
    for nodes in 0..2 {
        let mut memory = std::vec![Node::ZERO; nodes];
        let mut pool = SliceNodes::new(&mut memory);
        assert_eq!((pool.capacity(), pool.take()), (0, None));
        pool.give_back(NodeIndex::new(0));
        assert_eq!(pool.lent(), 0);
    }
}

#[test]
#[cfg_attr(miri, ignore = "128 MiB of nodes")]
fn one_node_in_32769_is_the_record() {
    let mut memory = std::vec![Node::ZERO; (1 << 15) + 1];
    assert_eq!(SliceNodes::new(&mut memory).capacity(), 1 << 15);
    memory.push(Node::ZERO);
    memory.push(Node::ZERO);
    let mut pool = SliceNodes::new(&mut memory);
    assert_eq!(pool.capacity(), (1 << 15) + 1);
    let lent: BTreeSet<u32> = core::iter::from_fn(|| pool.take()).map(NodeIndex::number).collect();
    assert_eq!(lent.len(), (1 << 15) + 1);
}
