//! The visibility of every page of a file.
//!
//! | word | level 0 | above |
//! |---|---|---|
//! | pages | 64 | 2^15 (128 MiB), 2^24, 2^33, 2^42, 2^51 |
//! | private | a bit that is 0 | the word 0 |
//! | shared | a bit that is 1 | the word 1 |
//! | both | its bits | a link to 512 words |
//!
//! A file whose pages are all alike is one word. A file of 1 TiB needs at worst 8,192 nodes of bits and 17 above them, 32.1 MiB.
//!
//! A change is two calls: [`Store::prepare`] may run out of nodes and then has changed nothing, [`Store::set`] cannot fail.
//! Nodes that need not be there any more are given back by [`Store::tidy`], after the change or in its place.

use super::nodes::{Node, Nodes};
use super::tree::{Found, Kind, Place, Tree, linked};
use core::ops::Range;
use tenure_abi::{Error, Visibility};

struct Bits;

impl Kind for Bits {
    const UNIT: u32 = 6;

    fn split(word: u64, level: u32, into: &mut Node) {
        into.0.fill(uniform(word != 0, level - 1));
    }

    fn join(node: &Node, level: u32) -> Option<u64> {
        let shared = node.0[0] != 0;
        let word = uniform(shared, level - 1);
        node.0.iter().all(|one| *one == word).then_some(uniform(shared, level))
    }
}

/// The word of `level` all of whose pages are alike.
const fn uniform(shared: bool, level: u32) -> u64 {
    match (shared, level) {
        (false, _) => 0,
        (true, 0) => u64::MAX,
        (true, _) => 1,
    }
}

/// Who may see which page of a file.
pub struct Store {
    tree: Tree<Bits>,
}

impl Store {
    /// A file of `pages` pages that are all `all`.
    ///
    /// # Errors
    /// [`Error::Invalid`] for no page, or more than 2^51.
    pub fn new(pages: u64, all: Visibility) -> Result<Self, Error> {
        Ok(Self { tree: Tree::new(pages, uniform(all == Visibility::Shared, 1))? })
    }

    /// How many pages the file has.
    pub const fn pages(&self) -> u64 {
        self.tree.pages()
    }

    /// The visibility of `page`; past the end of the file private, which lets the host do least.
    #[inline]
    pub fn get<N: Nodes>(&self, nodes: &N, page: u64) -> Visibility {
        if page >= self.pages() {
            return Visibility::Private;
        }
        let found = self.tree.find(nodes, page);
        visibility(if found.level == 0 { found.word >> (page % 64) & 1 != 0 } else { found.word != 0 })
    }

    /// The visibility of `page`, and how many pages from there on have it, at most to the end of the file; 0 pages past it.
    pub fn run<N: Nodes>(&self, nodes: &N, page: u64) -> (Visibility, u64) {
        let all = self.get(nodes, page);
        (all, self.same(nodes, page, self.pages(), all))
    }

    /// Whether all `count` pages from `first` are `all`. Pages past the end of the file do not count.
    pub fn is<N: Nodes>(&self, nodes: &N, first: u64, count: u64, all: Visibility) -> bool {
        let range = self.tree.within(first, count);
        self.same(nodes, range.start, range.end, all) >= range.end.saturating_sub(range.start)
    }

    /// How many pages from `page` on are `all`, as far as that is known at `end` or soon after.
    fn same<N: Nodes>(&self, nodes: &N, page: u64, end: u64, all: Visibility) -> u64 {
        let shared = all == Visibility::Shared;
        let mut at = page;
        'find: while at < end {
            let Found { word, level, place } = self.tree.find(nodes, at);
            let like = uniform(shared, level);
            // The other bits of this word from `at` on; a word that is no bits differs as a whole or not at all.
            let other = if level == 0 { (word ^ like) >> (at % 64) } else { word ^ like };
            if other != 0 {
                at += if level == 0 { u64::from(other.trailing_zeros()) } else { 0 };
                break;
            }
            let span = Tree::<Bits>::span(level);
            at = (at / span + 1) * span;
            let Place::In(node, slot) = place else { break };
            for word in nodes.node(node).into_iter().flat_map(|node| &node.0[slot + 1..]) {
                if at >= end || *word != like {
                    continue 'find;
                }
                at += span;
            }
        }
        at.min(end).saturating_sub(page)
    }

    /// Makes every node that [`Store::set`] needs for `count` pages from `first`. No page changes its visibility.
    ///
    /// # Errors
    /// [`Error::NoMemory`], and nothing has changed.
    pub fn prepare<N: Nodes>(&mut self, nodes: &mut N, first: u64, count: u64) -> Result<(), Error> {
        self.tree.prepare(nodes, first, count, |_| true)
    }

    /// Makes `count` pages from `first` `all`; they have been prepared. Words that are wholly inside become uniform and give
    /// back what is below them.
    pub fn set<N: Nodes>(&mut self, nodes: &mut N, first: u64, count: u64, all: Visibility) {
        let range = self.tree.whole(first, count);
        if !range.is_empty() {
            let root = Found { word: self.tree.root, level: self.tree.level(), place: Place::Root };
            self.set_word(nodes, root, 0, &range, all == Visibility::Shared);
        }
    }

    fn set_word<N: Nodes>(&mut self, nodes: &mut N, at: Found, base: u64, range: &Range<u64>, shared: bool) {
        let Found { word, level, place } = at;
        if range.start <= base && base + Tree::<Bits>::span(level) <= range.end {
            self.tree.save(nodes, place, uniform(shared, level));
            Tree::<Bits>::release(nodes, word, level);
            return;
        }
        let Some(node) = linked(word) else {
            debug_assert_eq!(word, uniform(shared, level), "a range that was not prepared");
            return;
        };
        if level == 1 {
            if let Some(node) = nodes.node_mut(node) {
                let end = range.end.min(base + Tree::<Bits>::span(1)) - base;
                fill(node, range.start.max(base) - base, end, shared);
            }
            return;
        }
        for (slot, base) in Tree::<Bits>::children(base, level, range) {
            let place = Place::In(node, slot);
            let below = Found { word: self.tree.load(nodes, place), level: level - 1, place };
            self.set_word(nodes, below, base, range, shared);
        }
    }

    /// Gives back the nodes around `count` pages from `first` whose pages are all alike, but those with a page that is `busy`
    /// (asked with a first page and a count): another operation has prepared there.
    pub fn tidy<N: Nodes>(&mut self, nodes: &mut N, first: u64, count: u64, busy: impl Fn(u64, u64) -> bool) {
        self.tree.tidy(nodes, first, count, &busy);
    }
}

const fn visibility(shared: bool) -> Visibility {
    match shared {
        true => Visibility::Shared,
        false => Visibility::Private,
    }
}

/// Bits `first..end` of a node.
fn fill(node: &mut Node, first: u64, end: u64, shared: bool) {
    let (from, to) = ((first / 64) as usize, (end / 64) as usize);
    let (head, tail) = (u64::MAX << (first % 64), !(u64::MAX << (end % 64)));
    let mut put = |at: usize, mask: u64| {
        if let Some(word) = node.0.get_mut(at) {
            *word = if shared { *word | mask } else { *word & !mask };
        }
    };
    if from == to {
        return put(from, head & tail);
    }
    put(from, head);
    put(to, tail);
    node.0[from + 1..to].fill(uniform(shared, 0));
}
