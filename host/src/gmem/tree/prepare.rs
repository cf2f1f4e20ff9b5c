//! What a change needs is made before it, and unmade if there is not enough.

use super::{Found, Kind, Place, Tree, link, linked};
use crate::gmem::nodes::{NodeIndex, Nodes};
use tenure_abi::Error;

/// A word that became a link or was cut, and what it was before.
pub(in crate::gmem) struct Made {
    place: Place,
    level: u32,
    word: u64,
}

impl<K: Kind> Tree<K> {
    /// Splits every word that `split` allows and that has one end of the range inside. On failure nothing has changed.
    pub(in crate::gmem) fn prepare<N: Nodes>(
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

    /// Goes down from `at` to the word of `level` for `page`, or to the last before it that `split` keeps whole or that can be cut
    /// there. Other words on the way become links; the first that changed is told, so that it can be undone.
    #[inline]
    pub(in crate::gmem) fn reach<N: Nodes>(
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
}
