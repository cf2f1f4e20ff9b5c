//! What the visibility store is measured against: an interval map over std's `BTreeMap` that joins neighbours.

use std::collections::BTreeMap;
use tenure_abi::Visibility;

/// First page of every stretch, and what it is; neighbours differ.
pub(crate) struct Intervals {
    stretches: BTreeMap<u64, Visibility>,
    pages: u64,
}

impl Intervals {
    pub(crate) fn new(pages: u64, all: Visibility) -> Self {
        Self { stretches: BTreeMap::from([(0, all)]), pages }
    }

    /// How many stretches there are.
    pub(crate) fn len(&self) -> usize {
        self.stretches.len()
    }

    pub(crate) fn get(&self, page: u64) -> Visibility {
        self.stretches.range(..=page).next_back().map_or(Visibility::Private, |found| *found.1)
    }

    /// Whether all pages of a range are `all`: one search, because neighbours differ.
    pub(crate) fn is(&self, first: u64, count: u64, all: Visibility) -> bool {
        self.stretches.range(..first + count).next_back().is_some_and(|(start, found)| *start <= first && *found == all)
    }

    /// Touches no key that can stay.
    pub(crate) fn set(&mut self, first: u64, count: u64, all: Visibility) {
        let end = first + count;
        let before = (first > 0).then(|| self.get(first - 1));
        let after = (end < self.pages).then(|| self.get(end));
        while let Some((&start, _)) = self.stretches.range(first + 1..end).next() {
            self.stretches.remove(&start);
        }
        if before == Some(all) {
            self.stretches.remove(&first);
        } else {
            self.stretches.insert(first, all);
        }
        match after {
            Some(after) if after == all => _ = self.stretches.remove(&end),
            Some(after) => _ = self.stretches.insert(end, after),
            None => {}
        }
    }
}
