//! Nodes for the trees of a file or of a VM's attributes: as many as it takes, up to a bound.

use tenure_host::gmem::{Node, NodeIndex, Nodes};

/// Nodes that one tree or file may have: 64 MiB.
const MOST: usize = 1 << 14;

/// A growing pool.
#[derive(Default)]
pub(super) struct Pool {
    nodes: Vec<Option<Box<Node>>>,
    free: Vec<u32>,
}

impl Pool {
    fn at(node: NodeIndex) -> usize {
        node.number() as usize
    }
}

impl Nodes for Pool {
    fn take(&mut self) -> Option<NodeIndex> {
        // Nothing may count on zeroes.
        let fresh = Some(Box::new(Node([u64::MAX; Node::WORDS])));
        if let Some(number) = self.free.pop() {
            self.nodes[number as usize] = fresh;
            return Some(NodeIndex::new(number));
        }
        if self.nodes.len() == MOST {
            return None;
        }
        self.nodes.push(fresh);
        u32::try_from(self.nodes.len() - 1).ok().map(NodeIndex::new)
    }

    fn give_back(&mut self, node: NodeIndex) {
        let lent = self.nodes.get_mut(Self::at(node)).and_then(Option::take);
        assert!(lent.is_some(), "{node:?} was not lent");
        self.free.push(node.number());
    }

    fn node(&self, node: NodeIndex) -> Option<&Node> {
        self.nodes.get(Self::at(node))?.as_deref()
    }

    fn node_mut(&mut self, node: NodeIndex) -> Option<&mut Node> {
        self.nodes.get_mut(Self::at(node))?.as_deref_mut()
    }
}
