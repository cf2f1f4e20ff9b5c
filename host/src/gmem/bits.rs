//! What the words of the visibility store mean: 64 pages as bits at level 0, above that what [`super::cuts`] says.

use super::cuts::{self, Pieces};
use super::nodes::Node;
use super::tree::{Kind, Tree, linked};

/// The words of the store.
pub(super) struct Bits;

impl Kind for Bits {
    const UNIT: u32 = 6;

    fn split(word: u64, level: u32, into: &mut Node) {
        let (below, span) = (level - 1, Tree::<Self>::span(level - 1));
        let pieces = Pieces::of::<Self>(word, level);
        let mut slot = 0;
        while slot < Node::WORDS {
            // Words that are wholly in one piece, then perhaps one that is not.
            let (shared, end) = pieces.at(slot as u64 * span);
            let whole = (end / span) as usize;
            into.0[slot..whole].fill(uniform(shared, below));
            slot = whole;
            if !end.is_multiple_of(span) {
                into.0[slot] = piece(pieces.part(slot as u64 * span, span), below);
                slot += 1;
            }
        }
    }

    fn join(node: &Node, level: u32, used: usize) -> Option<u64> {
        let (below, span) = (level - 1, Tree::<Self>::span(level - 1));
        if level == 1 && changes_more_than_twice(&node.0[..used]) {
            return None;
        }
        let mut whole = Pieces::uniform(Tree::<Self>::span(level), node.0[0] & 1 != 0);
        let mut like = uniform(node.0[0] & 1 != 0, below);
        for (word, base) in node.0[..used].iter().zip((0..).step_by(span as usize)) {
            if *word == like {
                continue;
            }
            let mut at = 0;
            while at < span {
                let (shared, end) = stretch(*word, below, at)?;
                whole = whole.then(base + at, shared)?;
                like = uniform(shared, below);
                at = end;
            }
        }
        whole.word::<Self>(level)
    }

    #[inline]
    fn cut(word: u64, level: u32, first: u64, end: u64) -> Option<u64> {
        Pieces::of::<Self>(word, level).cut(first)?.cut(end)?.word::<Self>(level)
    }

    #[inline]
    fn tidied(word: u64, level: u32) -> u64 {
        cuts::tidied::<Self>(word, level)
    }
}

/// Whether neighbouring bits differ in more than two places: what nearly every node of bits answers after a few words.
fn changes_more_than_twice(words: &[u64]) -> bool {
    let mut last = words[0] & 1;
    let mut found = 0;
    for word in words {
        let mut changes = word ^ (word << 1 | last);
        while changes != 0 {
            changes &= changes - 1;
            found += 1;
            if found > 2 {
                return true;
            }
        }
        last = word >> 63;
    }
    false
}

/// Whether the page `offset` pages into `word` of `level` is shared, and where the stretch of pages like it ends; `None`
/// for a link.
#[inline]
pub(super) fn stretch(word: u64, level: u32, offset: u64) -> Option<(bool, u64)> {
    if level == 0 {
        let shared = word >> offset & 1 != 0;
        let other = (word ^ uniform(shared, 0)) >> offset;
        return Some((shared, offset + u64::from(other.trailing_zeros()).min(64 - offset)));
    }
    match linked(word) {
        Some(_) => None,
        None => Some(Pieces::of::<Bits>(word, level).at(offset)),
    }
}

/// The word of `level` for these pieces.
fn piece(pieces: Pieces, level: u32) -> u64 {
    if level > 0 {
        // Whatever a word above can have a cut at, this one can.
        return pieces.word::<Bits>(level).unwrap_or(0);
    }
    let mut bits = 0;
    let mut at = 0;
    while at < 64 {
        let (shared, end) = pieces.at(at);
        bits |= if shared { u64::MAX >> (64 - (end - at)) << at } else { 0 };
        at = end;
    }
    bits
}

/// The word of `level` all of whose pages are alike.
#[inline]
pub(super) const fn uniform(shared: bool, level: u32) -> u64 {
    match (shared, level) {
        (false, _) => 0,
        (true, 0) => u64::MAX,
        (true, _) => 1,
    }
}

/// Bits `first..end` of a node.
#[inline]
pub(super) fn fill(node: &mut Node, first: u64, end: u64, shared: bool) {
    let (from, to) = ((first / 64) as usize, (end / 64) as usize);
    let (head, tail) = (u64::MAX << (first % 64), !(u64::MAX << (end % 64)));
    let mut put = |at: usize, mask: u64| {
        if let Some(word) = node.0.get_mut(at) {
            *word = *word & !mask | uniform(shared, 0) & mask;
        }
    };
    if from == to {
        return put(from, head & tail);
    }
    put(from, head);
    put(to, tail);
    node.0[from + 1..to].fill(uniform(shared, 0));
}
