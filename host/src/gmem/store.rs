//! The visibility of every page of a file.
//!
//! | word | level 0 | above |
//! |---|---|---|
//! | pages | 64 | 2^15 (128 MiB), 2^24, 2^33, 2^42, 2^51 |
//! | all private | a bit that is 0 | the word 0 |
//! | all shared | a bit that is 1 | the word 1 |
//! | it changes once or twice | its bits | the word itself, as `cuts` says |
//! | it changes more often | its bits | a link to 512 words |
//!
//! A file whose pages are all alike is one word, and so is one with a single stretch of the other kind, if that begins and
//! ends where the root can have a cut (above 64 GiB every 256 KiB, above 32 TiB every 128 MiB, above 16 PiB every 64 GiB).
//! A file of 1 TiB needs at worst 8,192 nodes of bits and 17 above them, 32.1 MiB.
//!
//! A change is two calls: [`Store::prepare`] may run out of nodes and then has changed nothing, [`Store::set`] cannot fail.
//! Nodes that need not be there any more are given back by [`Store::tidy`], after the change or in its place.

use super::bits::{Bits, fill, stretch, uniform};
use super::cuts::{self, Pieces};
use super::nodes::Nodes;
use super::tree::{Found, Place, Tree, linked};
use core::ops::Range;
use tenure_abi::{Error, Visibility};

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
        let offset = page % Tree::<Bits>::span(found.level);
        visibility(match found.level {
            0 => found.word >> offset & 1 != 0,
            level => cuts::shared::<Bits>(found.word, level, offset),
        })
    }

    /// The visibility of `page`, and how many pages from there on have it, at most to the end of the file; 0 pages past it.
    pub fn run<N: Nodes>(&self, nodes: &N, page: u64) -> (Visibility, u64) {
        self.run_within(nodes, page, self.pages())
    }

    /// The same, at most to `end`: what lies behind is not looked at.
    pub(super) fn run_within<N: Nodes>(&self, nodes: &N, page: u64, end: u64) -> (Visibility, u64) {
        let all = self.get(nodes, page);
        (all, self.same(nodes, page, end.min(self.pages()), all))
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
        while at < end {
            let Found { word, level, place } = self.tree.find(nodes, at);
            let span = Tree::<Bits>::span(level);
            match stretch(word, level, at % span) {
                Some((found, end)) if found == shared => at += end - at % span,
                _ => break,
            }
            if !at.is_multiple_of(span) {
                continue;
            }
            let like = uniform(shared, level);
            let Place::In(node, slot) = place else { break };
            for word in nodes.node(node).into_iter().flat_map(|node| &node.0[slot + 1..]) {
                if at >= end || *word != like {
                    break;
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
            let (at, base) = self.tree.common(nodes, &range);
            self.set_word(nodes, at, base, &range, all == Visibility::Shared);
        }
    }

    fn set_word<N: Nodes>(&mut self, nodes: &mut N, at: Found, base: u64, range: &Range<u64>, shared: bool) {
        let Found { word, level, place } = at;
        let end = base + Tree::<Bits>::span(level);
        // A range that goes on to the file's end covers what the words say of pages past it.
        let stop = if range.end == self.tree.end() { end } else { range.end.min(end) };
        if range.start <= base && stop == end {
            self.tree.save(nodes, place, uniform(shared, level));
            Tree::<Bits>::release(nodes, word, level);
            return;
        }
        let Some(node) = linked(word) else {
            let pieces = Pieces::of::<Bits>(word, level);
            let first = range.start.saturating_sub(base);
            debug_assert!(pieces.has(first, stop - base, shared), "a range that was not prepared");
            // No cut has come or gone, so there is such a word.
            let changed = pieces.set(first, stop - base, shared).word::<Bits>(level).unwrap_or(word);
            self.tree.save(nodes, place, changed);
            return;
        };
        if level == 1 {
            if let Some(node) = nodes.node_mut(node) {
                fill(node, range.start.saturating_sub(base), stop - base, shared);
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
