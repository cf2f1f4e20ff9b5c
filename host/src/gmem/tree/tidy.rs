//! Nodes that say what a word can say are given back.

use super::{Found, Kind, Place, Tree, linked};
use crate::gmem::nodes::{Node, Nodes};
use core::ops::Range;

impl<K: Kind> Tree<K> {
    /// Joins every node that touches the range, says the same as one word, and has no page that is `busy`.
    pub(in crate::gmem) fn tidy<N: Nodes>(
        &mut self,
        nodes: &mut N,
        first: u64,
        count: u64,
        busy: &impl Fn(u64, u64) -> bool,
    ) {
        let range = self.within(first, count);
        if !range.is_empty() {
            self.tidy_word(nodes, self.top(), 0, &range, busy);
        }
    }

    /// Whether a node is left.
    fn tidy_word<N: Nodes>(
        &mut self,
        nodes: &mut N,
        at: Found,
        base: u64,
        range: &Range<u64>,
        busy: &impl Fn(u64, u64) -> bool,
    ) -> bool {
        let pages = Self::span(at.level).min(self.pages - base);
        let Some(node) = linked(at.word) else {
            let word = K::tidied(at.word, at.level);
            if word != at.word && !busy(base, pages) {
                self.save(nodes, at.place, word);
            }
            return false;
        };
        let mut left = false;
        if at.level > 1 {
            for (slot, base) in Self::children(base, at.level, range) {
                let place = Place::In(node, slot);
                let below = Found { word: self.load(nodes, place), level: at.level - 1, place };
                left |= self.tidy_word(nodes, below, base, range, busy);
            }
        }
        // What cannot be joined below cannot be here.
        let used = (self.end() - base).div_ceil(Self::span(at.level - 1)).min(Node::WORDS as u64) as usize;
        let joined = || nodes.node(node).and_then(|node| K::join(node, at.level, used));
        let Some(word) = (!left).then(joined).flatten().filter(|_| !busy(base, pages)) else { return true };
        self.save(nodes, at.place, word);
        nodes.give_back(node);
        false
    }
}
