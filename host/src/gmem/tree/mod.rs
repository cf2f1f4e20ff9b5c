//! The shape that both trees of a file share: a radix tree of nine bits a level over the pages of a file.
//!
//! A word of level 0 is a leaf and speaks for [`Kind::UNIT`] pages; a word of any other level speaks for 512 of the level
//! below, either by itself or by a link to a node that holds them. The tree starts with a single word, the root, so that a
//! file whose pages are all alike needs no node at all.
//!
//! Pages past the end of the file are never shown; what a caller names there is ignored.

mod prepare;
mod tidy;

use super::nodes::{Node, NodeIndex, Nodes};
use core::marker::PhantomData;
use core::ops::Range;
use tenure_abi::Error;

/// Bit 1 of a word above level 0: it is a link, with the node's index in bits 32..64.
const LINK: u64 = 1 << 1;
const LINK_SHIFT: u32 = 32;

/// The node that a word above level 0 links to.
#[inline]
pub(super) fn linked(word: u64) -> Option<NodeIndex> {
    (word & LINK != 0).then_some(NodeIndex::new((word >> LINK_SHIFT) as u32))
}

fn link(node: NodeIndex) -> u64 {
    u64::from(node.number()) << LINK_SHIFT | LINK
}

/// What a tree's words mean.
pub(super) trait Kind {
    /// log2 of the pages of a word of level 0.
    const UNIT: u32;
    /// The words of level `level - 1` that say together what `word` of `level` says alone.
    fn split(word: u64, level: u32, into: &mut Node);
    /// The opposite: the word of `level` that says what the first `used` words of `node` say, if there is one. The others are
    /// past the end of the file.
    fn join(node: &Node, level: u32, used: usize) -> Option<u64>;
    /// `word` of `level` so that a change can begin `first` and end `end` pages from its start without a node, if there is
    /// such a word.
    fn cut(_word: u64, _level: u32, _first: u64, _end: u64) -> Option<u64> {
        None
    }

    /// `word` of `level` without what only a change under way needs.
    fn tidied(word: u64, _level: u32) -> u64 {
        word
    }
}

/// Where a word stands.
#[derive(Clone, Copy)]
pub(super) enum Place {
    Root,
    In(NodeIndex, usize),
}

/// A word found for a page.
#[derive(Clone, Copy)]
pub(super) struct Found {
    pub(super) word: u64,
    pub(super) level: u32,
    pub(super) place: Place,
}

pub(super) struct Tree<K> {
    root: u64,
    level: u32,
    pages: u64,
    kind: PhantomData<K>,
}

impl<K: Kind> Tree<K> {
    /// Files of 2^63 bytes are the largest that a signed 64-bit offset can name.
    const MOST: u64 = 1 << 51;

    pub(super) fn new(pages: u64, root: u64) -> Result<Self, Error> {
        if pages == 0 || pages > Self::MOST {
            return Err(Error::Invalid);
        }
        // Level 0 words are leaves; the root has to be able to be a link.
        let mut level = 1;
        while Self::span(level) < pages {
            level += 1;
        }
        Ok(Self { root, level, pages, kind: PhantomData })
    }

    /// The pages of a word of `level`.
    #[inline]
    pub(super) const fn span(level: u32) -> u64 {
        1 << (K::UNIT + 9 * level)
    }

    /// Where in a node of words of `level` the word for `page` stands.
    #[inline]
    pub(super) const fn slot(page: u64, level: u32) -> usize {
        (page >> (K::UNIT + 9 * level)) as usize % Node::WORDS
    }

    #[inline]
    pub(super) const fn pages(&self) -> u64 {
        self.pages
    }

    /// The root.
    #[inline]
    pub(super) const fn top(&self) -> Found {
        Found { word: self.root, level: self.level, place: Place::Root }
    }

    /// The part of `count` pages from `first` that lies in the file.
    #[inline]
    pub(super) fn within(&self, first: u64, count: u64) -> Range<u64> {
        first..first.saturating_add(count).min(self.pages)
    }

    /// The same for writing: a range up to the file's end goes on to [`Tree::end`].
    pub(super) fn whole(&self, first: u64, count: u64) -> Range<u64> {
        let range = self.within(first, count);
        if !range.is_empty() && range.end == self.pages { first..self.end() } else { range }
    }

    /// The end of the file's last word of level 0. What words say of pages from there on does not count.
    pub(super) const fn end(&self) -> u64 {
        self.pages.next_multiple_of(Self::span(0))
    }

    /// A word; 0 where a broken pool has no node.
    #[inline]
    pub(super) fn load<N: Nodes>(&self, nodes: &N, place: Place) -> u64 {
        match place {
            Place::Root => self.root,
            Place::In(node, slot) => nodes.node(node).map_or(0, |node| node.0[slot % Node::WORDS]),
        }
    }

    #[inline]
    pub(super) fn save<N: Nodes>(&mut self, nodes: &mut N, place: Place, word: u64) {
        match place {
            Place::Root => self.root = word,
            Place::In(node, slot) => {
                if let Some(node) = nodes.node_mut(node) {
                    node.0[slot % Node::WORDS] = word;
                }
            }
        }
    }

    /// The word that speaks for `page`: never a link.
    #[inline]
    pub(super) fn find<N: Nodes>(&self, nodes: &N, page: u64) -> Found {
        let mut found = self.top();
        while found.level > 0
            && let Some(node) = linked(found.word)
        {
            found.level -= 1;
            found.place = Place::In(node, Self::slot(page, found.level));
            found.word = self.load(nodes, found.place);
        }
        found
    }

    /// The lowest word above level 0 that speaks for all of a range of the file, and its first page.
    #[inline]
    pub(super) fn common<N: Nodes>(&self, nodes: &N, range: &Range<u64>) -> (Found, u64) {
        let mut at = self.top();
        while at.level > 1
            && let Some(node) = linked(at.word)
            && Self::slot(range.start, at.level - 1) == Self::slot(range.end - 1, at.level - 1)
        {
            at.level -= 1;
            at.place = Place::In(node, Self::slot(range.start, at.level));
            at.word = self.load(nodes, at.place);
        }
        (at, range.start & !(Self::span(at.level) - 1))
    }

    /// Gives back every node below `word` of `level`.
    pub(super) fn release<N: Nodes>(nodes: &mut N, word: u64, level: u32) {
        let Some(node) = linked(word).filter(|_| level > 0) else { return };
        // Words of level 0 are no links.
        for slot in (0..Node::WORDS).filter(|_| level > 1) {
            let below = nodes.node(node).map_or(0, |node| node.0[slot]);
            Self::release(nodes, below, level - 1);
        }
        nodes.give_back(node);
    }

    /// The words below a word of `level` that starts at page `base`, as far as they touch `range`: slot and first page.
    pub(super) fn children(base: u64, level: u32, range: &Range<u64>) -> impl Iterator<Item = (usize, u64)> + use<K> {
        let span = Self::span(level - 1);
        let first = range.start.max(base) - base;
        let last = range.end.min(base + Self::span(level)) - 1 - base;
        (first / span..=last / span).map(move |slot| (slot as usize, base + slot * span))
    }
}
