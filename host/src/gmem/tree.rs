//! The shape that both trees of a file share: a radix tree of nine bits a level over the pages of a file.
//!
//! A word of level 0 is a leaf and speaks for [`Kind::UNIT`] pages; a word of any other level speaks for 512 of the level
//! below, either by itself or by a link to a node that holds them. The tree starts with a single word, the root, so that a
//! file whose pages are all alike needs no node at all.
//!
//! Pages past the end of the file are never shown; what a caller names there is ignored.

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

/// A word that became a link or was cut, and what it was before.
pub(super) struct Made {
    place: Place,
    level: u32,
    word: u64,
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

    /// Goes down from `at` to the word of `level` for `page`, or to the last before it that `split` keeps whole or that can be cut
    /// there. Other words on the way become links; the first that changed is told, so that it can be undone.
    #[inline]
    pub(super) fn reach<N: Nodes>(
        &mut self,
        nodes: &mut N,
        mut at: Found,
        page: u64,
        level: u32,
        split: impl Fn(u64) -> bool,
    ) -> Result<(Found, Option<Made>), Error> {
        let mut made = None;
        while at.level > level {
            let node = if let Some(node) = linked(at.word) {
                node
            } else if !split(at.word) {
                break;
            } else if let Some(word) = K::cut(at.word, at.level, 0, page % Self::span(at.level)) {
                self.save(nodes, at.place, word);
                made.get_or_insert(Made { place: at.place, level: at.level, word: at.word });
                break;
            } else if let Some(node) = Self::filled(nodes, at.word, at.level) {
                self.save(nodes, at.place, link(node));
                made.get_or_insert(Made { place: at.place, level: at.level, word: at.word });
                node
            } else {
                self.undo(nodes, made.as_ref());
                return Err(Error::NoMemory);
            };
            at.level -= 1;
            at.place = Place::In(node, Self::slot(page, at.level));
            at.word = self.load(nodes, at.place);
        }
        Ok((at, made))
    }

    /// A node that says what `word` of `level` says.
    #[inline(never)]
    fn filled<N: Nodes>(nodes: &mut N, word: u64, level: u32) -> Option<NodeIndex> {
        let node = nodes.take()?;
        let Some(words) = nodes.node_mut(node) else {
            nodes.give_back(node);
            return None;
        };
        K::split(word, level, words);
        Some(node)
    }

    /// Makes a word again what it was.
    #[cold]
    fn undo<N: Nodes>(&mut self, nodes: &mut N, made: Option<&Made>) {
        if let Some(&Made { place, level, word }) = made {
            let changed = self.load(nodes, place);
            self.save(nodes, place, word);
            Self::release(nodes, changed, level);
        }
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

    /// Splits every word that `split` allows and that has one end of the range inside. On failure nothing has changed.
    pub(super) fn prepare<N: Nodes>(
        &mut self,
        nodes: &mut N,
        first: u64,
        count: u64,
        split: impl Fn(u64) -> bool,
    ) -> Result<(), Error> {
        let range = self.whole(first, count);
        if range.is_empty() {
            return Ok(());
        }
        let (mut at, base) = self.common(nodes, &range);
        if linked(at.word).is_some() {
            if at.level == 1 {
                // A change can begin and end anywhere in a node of words of level 0.
                return Ok(());
            }
        } else if split(at.word) {
            let end = if range.end == self.end() { Self::span(at.level) } else { range.end - base };
            if let Some(word) = K::cut(at.word, at.level, range.start - base, end) {
                self.save(nodes, at.place, word);
                return Ok(());
            }
        }
        let made = self.cut(nodes, at, range.start, &split)?;
        at.word = self.load(nodes, at.place);
        match self.cut(nodes, at, range.end, &split) {
            Ok(_) => Ok(()),
            Err(error) => {
                self.undo(nodes, made.as_ref());
                Err(error)
            }
        }
    }

    /// Makes it possible that a change begins or ends at `page`, which lies in the word `at` or at its end.
    #[inline]
    fn cut<N: Nodes>(
        &mut self,
        nodes: &mut N,
        at: Found,
        page: u64,
        split: impl Fn(u64) -> bool,
    ) -> Result<Option<Made>, Error> {
        if page >= self.end() {
            return Ok(None);
        }
        // The highest level with a word that begins there.
        let level = page.trailing_zeros().saturating_sub(K::UNIT) / 9;
        Ok(self.reach(nodes, at, page, level, split)?.1)
    }

    /// Joins every node that touches the range, says the same as one word, and has no page that is `busy`.
    pub(super) fn tidy<N: Nodes>(&mut self, nodes: &mut N, first: u64, count: u64, busy: &impl Fn(u64, u64) -> bool) {
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

    /// The words below a word of `level` that starts at page `base`, as far as they touch `range`: slot and first page.
    pub(super) fn children(base: u64, level: u32, range: &Range<u64>) -> impl Iterator<Item = (usize, u64)> + use<K> {
        let span = Self::span(level - 1);
        let first = range.start.max(base) - base;
        let last = range.end.min(base + Self::span(level)) - 1 - base;
        (first / span..=last / span).map(move |slot| (slot as usize, base + slot * span))
    }
}
