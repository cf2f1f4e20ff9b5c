//! Nodes that run out when the plan says so, and count how often they are read.

use crate::plan::Step;
use crate::world::World;
use std::cell::Cell;
use tenure_host::gmem::{Node, NodeIndex, Nodes};

/// A pool of `count` nodes that forgets nothing: a node that is given back twice is an error of the test.
pub(crate) struct Pool<'w> {
    world: &'w World,
    nodes: Vec<Node>,
    lent: Vec<bool>,
    reads: &'w Cell<u64>,
}

impl<'w> Pool<'w> {
    pub(crate) fn new(world: &'w World, count: usize, reads: &'w Cell<u64>) -> Self {
        let junk = Node([0xdead_beef_dead_beef; Node::WORDS]);
        Self { world, nodes: vec![junk; count], lent: vec![false; count], reads }
    }
}

impl Nodes for Pool<'_> {
    fn take(&mut self) -> Option<NodeIndex> {
        if self.world.step(Step::Node).is_some() {
            return None;
        }
        let free = self.lent.iter().position(|lent| !lent)?;
        self.lent[free] = true;
        self.world.node_lent(1);
        Some(NodeIndex::new(u32::try_from(free).unwrap()))
    }

    fn give_back(&mut self, node: NodeIndex) {
        let number = node.number() as usize;
        assert!(self.lent[number], "node {number} comes back twice");
        self.lent[number] = false;
        self.world.node_lent(-1);
    }

    fn node(&self, node: NodeIndex) -> Option<&Node> {
        assert!(self.lent[node.number() as usize], "node {node:?} is read after it came back");
        self.reads.set(self.reads.get() + 1);
        self.nodes.get(node.number() as usize)
    }

    fn node_mut(&mut self, node: NodeIndex) -> Option<&mut Node> {
        assert!(self.lent[node.number() as usize], "node {node:?} is written after it came back");
        self.nodes.get_mut(node.number() as usize)
    }
}
