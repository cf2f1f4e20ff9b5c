//! Nodes: the 4 KiB blocks that both trees of a file are built from, and where they come from.
//!
//! The provider allocates nothing. Whoever creates a file gives it a pool; both trees draw from it and give back what
//! they no longer need, so that a file's memory is what the pool has lent out.

/// 512 words. 4 KiB, so that a node is a page of its own.
#[derive(Clone)]
#[repr(C, align(4096))]
pub struct Node(pub [u64; Node::WORDS]);

impl Node {
    /// Words of a node.
    pub const WORDS: usize = 512;
    /// A node of zeroes.
    pub const ZERO: Self = Self([0; Self::WORDS]);
}

/// Names a node of a [`Nodes`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NodeIndex(u32);

impl NodeIndex {
    /// Node number `number`.
    pub const fn new(number: u32) -> Self {
        Self(number)
    }

    /// The number.
    pub const fn number(self) -> u32 {
        self.0
    }
}

/// A pool of nodes: one for each file, given by its creator.
pub trait Nodes {
    /// A node for the caller alone, whatever it holds; `None` if all are lent out.
    fn take(&mut self) -> Option<NodeIndex>;
    /// Takes a node back, whatever it holds. One that is not lent out stays as it is.
    fn give_back(&mut self, node: NodeIndex);
    /// The node behind an index; `None` if it names none.
    fn node(&self, node: NodeIndex) -> Option<&Node>;
    /// The same, to write to.
    fn node_mut(&mut self, node: NodeIndex) -> Option<&mut Node>;
}

/// Bits of a word.
const BITS: usize = u64::BITS as usize;
/// How many nodes one node of the record speaks for.
const RECORDED: usize = Node::WORDS * BITS;

/// A pool over a slice of the caller's memory. Its first node, and one more for each 2^15, is the record of which of the
/// others are lent out; a pool of `n + 1` nodes therefore lends `n`, up to 2^15.
///
/// The record is apart from the nodes, so that nothing a tree or a late writer leaves in a node can make it look free.
pub struct SliceNodes<'a> {
    record: &'a mut [Node],
    nodes: &'a mut [Node],
    lent: usize,
    /// No word of the record before this one has a free node.
    hint: usize,
}

impl<'a> SliceNodes<'a> {
    /// A pool with every node free, whatever `nodes` holds.
    pub fn new(nodes: &'a mut [Node]) -> Self {
        let (record, nodes) = nodes.split_at_mut(nodes.len().div_ceil(RECORDED + 1));
        record.fill(Node::ZERO);
        Self { record, nodes, lent: 0, hint: 0 }
    }

    /// How many nodes it can lend in all.
    pub fn capacity(&self) -> usize {
        self.nodes.len()
    }

    /// How many are lent out.
    pub fn lent(&self) -> usize {
        self.lent
    }

    /// The word of the record that speaks for node `number`, and its bit there.
    fn bit(&mut self, number: usize) -> Option<(&mut u64, u64)> {
        let word = self.record.get_mut(number / RECORDED)?.0.get_mut(number % RECORDED / BITS)?;
        Some((word, 1 << (number % BITS)))
    }
}

impl Nodes for SliceNodes<'_> {
    fn take(&mut self) -> Option<NodeIndex> {
        if self.lent == self.nodes.len() {
            return None;
        }
        let number = loop {
            let word = self.record.get(self.hint / Node::WORDS)?.0[self.hint % Node::WORDS];
            if word != u64::MAX {
                break self.hint * BITS + word.trailing_ones() as usize;
            }
            self.hint += 1;
        };
        // The lowest that is free, so there is one below the capacity.
        let index = NodeIndex(u32::try_from(number).ok()?);
        let (word, bit) = self.bit(number)?;
        *word |= bit;
        self.lent += 1;
        Some(index)
    }

    fn give_back(&mut self, node: NodeIndex) {
        let number = node.0 as usize;
        if let Some((word, bit)) = self.bit(number)
            && *word & bit != 0
        {
            *word &= !bit;
            self.lent -= 1;
            self.hint = self.hint.min(number / BITS);
        }
    }

    #[inline]
    fn node(&self, node: NodeIndex) -> Option<&Node> {
        self.nodes.get(node.0 as usize)
    }

    #[inline]
    fn node_mut(&mut self, node: NodeIndex) -> Option<&mut Node> {
        self.nodes.get_mut(node.0 as usize)
    }
}
