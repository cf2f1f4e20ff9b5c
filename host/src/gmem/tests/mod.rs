//! What the pool and both trees promise.

mod index;
mod index_model;
mod index_random;
mod nodes;
mod store;
mod store_model;
mod store_random;

use super::nodes::{Node, NodeIndex, Nodes, SliceNodes};
use std::vec::Vec;

/// Under Miri so many steps of a random walk, else `steps`.
const fn steps(steps: u32) -> u32 {
    if cfg!(miri) { 40 } else { steps }
}

/// Memory of a pool that lends `nodes` (up to 2^15), filled with what must never be read as content.
fn memory(nodes: usize) -> Vec<Node> {
    std::vec![Node([0xdead_beef_dead_beef; Node::WORDS]); nodes + 1]
}

/// A pool that refuses after so many takes.
struct Failing<'a> {
    pool: SliceNodes<'a>,
    left: u32,
}

impl<'a> Failing<'a> {
    fn new(memory: &'a mut [Node]) -> Self {
        Self { pool: SliceNodes::new(memory), left: u32::MAX }
    }

    fn lent(&self) -> usize {
        self.pool.lent()
    }

    /// Does `work` with a pool that refuses at the first take, then one that refuses at the second, until it succeeds.
    /// After every failure no node is missing, and `unchanged` may look for itself.
    fn until_it_works<T, E>(
        &mut self,
        mut work: impl FnMut(&mut Self) -> Result<T, E>,
        unchanged: impl Fn(&mut Self, E),
    ) -> T {
        let lent = self.lent();
        for takes in 0..=u32::MAX {
            self.left = takes;
            let done = work(self);
            self.left = u32::MAX;
            match done {
                Ok(done) => return done,
                Err(error) => {
                    assert_eq!(self.lent(), lent, "a refused call kept a node, or gave away one that was in use");
                    unchanged(self, error);
                }
            }
        }
        unreachable!("it never works")
    }
}

impl Nodes for Failing<'_> {
    fn take(&mut self) -> Option<NodeIndex> {
        self.left = self.left.checked_sub(1)?;
        self.pool.take()
    }

    fn give_back(&mut self, node: NodeIndex) {
        let lent = self.lent();
        self.pool.give_back(node);
        assert_eq!(self.lent(), lent - 1, "a node was given back twice");
    }

    fn node(&self, node: NodeIndex) -> Option<&Node> {
        self.pool.node(node)
    }

    fn node_mut(&mut self, node: NodeIndex) -> Option<&mut Node> {
        self.pool.node_mut(node)
    }
}

/// Numbers that look random and are the same in every run (splitmix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// A page of a file of `pages`: anywhere, or at or beside a border of a power of two.
    fn page(&mut self, pages: u64) -> u64 {
        let page = self.below(pages);
        let border = match self.below(6) {
            0 => return page,
            1 => 6,
            2 | 3 => 9,
            4 => 15,
            _ => 18,
        };
        let near = (page >> border << border) + self.below(3);
        near.saturating_sub(self.below(2)).min(pages - 1)
    }

    /// First page and count of a part of a file of `pages`, the whole file now and then.
    fn range(&mut self, pages: u64) -> (u64, u64) {
        if self.below(100) == 0 {
            return (0, pages);
        }
        let first = self.page(pages);
        let count = match self.below(5) {
            0 => 1,
            1 => 1 << self.below(20),
            2 => 1 + self.below(600),
            3 => pages - first,
            _ => self.page(pages).abs_diff(first) + 1,
        };
        (first, count.min(pages - first))
    }
}
