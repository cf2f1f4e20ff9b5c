//! Which operation has followed which, and how often.

use super::op::Kind;
use std::fmt;

const KINDS: usize = Kind::ALL.len();

/// A count for each ordered pair of kinds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pairs {
    counts: [[u32; KINDS]; KINDS],
    /// The kinds that can be tried at all.
    kinds: Vec<Kind>,
    last: Option<Kind>,
}

impl Pairs {
    /// Nothing seen of these kinds.
    pub(super) fn new(kinds: Vec<Kind>) -> Self {
        Self { counts: [[0; KINDS]; KINDS], kinds, last: None }
    }

    /// An operation happened.
    pub(super) fn saw(&mut self, kind: Kind) {
        if let Some(last) = self.last.replace(kind) {
            self.counts[last as usize][kind as usize] += 1;
        }
    }

    /// The kinds that can be tried, those that have followed the last one least often first.
    pub(super) fn rarest_first(&self) -> Vec<Kind> {
        let mut kinds = self.kinds.clone();
        if let Some(last) = self.last {
            kinds.sort_by_key(|kind| self.counts[last as usize][*kind as usize]);
        }
        kinds
    }

    /// The kinds that can be tried.
    pub(super) fn kinds(&self) -> &[Kind] {
        &self.kinds
    }

    fn each(&self) -> impl Iterator<Item = (Kind, Kind, u32)> {
        let count = |first: Kind, second: Kind| self.counts[first as usize][second as usize];
        self.kinds
            .iter()
            .flat_map(move |&first| self.kinds.iter().map(move |&second| (first, second, count(first, second))))
    }

    /// Pairs that have not been seen.
    pub fn missing(&self) -> Vec<(Kind, Kind)> {
        self.each().filter(|(.., count)| *count == 0).map(|(first, second, _)| (first, second)).collect()
    }
}

impl fmt::Display for Pairs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = self.kinds.len() * self.kinds.len();
        let least = self.each().map(|(.., count)| count).min().unwrap_or(0);
        write!(f, "{} of {all} ordered pairs, each at least {least} times", all - self.missing().len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_counts_in_its_order() {
        let mut pairs = Pairs::new(vec![Kind::Load, Kind::Store]);
        for kind in [Kind::Load, Kind::Store, Kind::Store] {
            pairs.saw(kind);
        }
        assert_eq!(pairs.missing(), [(Kind::Load, Kind::Load), (Kind::Store, Kind::Load)]);
        assert_eq!(pairs.rarest_first(), [Kind::Load, Kind::Store]);
    }
}
