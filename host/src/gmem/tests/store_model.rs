//! Visibility as an interval map, and how many nodes a store needs for it.

use super::{Failing, Random};
use crate::gmem::store::Store;
use std::collections::BTreeMap;
use tenure_abi::Visibility::{self, Private, Shared};

/// First page of every stretch, and what it is; neighbours differ.
pub(super) struct Model {
    stretches: BTreeMap<u64, Visibility>,
    pages: u64,
}

impl Model {
    pub(super) fn new(pages: u64, all: Visibility) -> Self {
        Self { stretches: BTreeMap::from([(0, all)]), pages }
    }

    pub(super) fn get(&self, page: u64) -> Visibility {
        *self.stretches.range(..=page).next_back().unwrap().1
    }

    pub(super) fn run(&self, page: u64) -> (Visibility, u64) {
        let next = self.stretches.range(page + 1..).next().map_or(self.pages, |next| *next.0);
        (self.get(page), next - page)
    }

    pub(super) fn set(&mut self, first: u64, count: u64, all: Visibility) {
        let end = first + count;
        let after = (end < self.pages).then(|| self.get(end));
        let before = (first > 0).then(|| self.get(first - 1));
        let inside: std::vec::Vec<u64> = self.stretches.range(first..=end).map(|one| *one.0).collect();
        for start in inside {
            self.stretches.remove(&start);
        }
        if before != Some(all) {
            self.stretches.insert(first, all);
        }
        if let Some(after) = after.filter(|after| *after != all) {
            self.stretches.insert(end, after);
        }
    }

    /// The nodes of the smallest tree: one for every word above level 0 inside which visibility changes more than twice,
    /// or where the word cannot have a cut.
    pub(super) fn nodes(&self) -> usize {
        let (mut nodes, mut level) = (0, 1);
        loop {
            let (shift, granule) = (6 + 9 * level, if level < 3 { 0 } else { 6 + 9 * (level - 3) });
            let mut words: BTreeMap<u64, u32> = BTreeMap::new();
            for start in self.stretches.keys().filter(|start| **start % (1 << shift) != 0) {
                *words.entry(start >> shift).or_default() += if start % (1 << granule) == 0 { 1 } else { 3 };
            }
            nodes += words.values().filter(|changes| **changes > 2).count();
            if 1 << shift >= self.pages {
                return nodes;
            }
            level += 1;
        }
    }

    /// Compares every page, stretch by stretch.
    pub(super) fn same_everywhere(&self, store: &Store, nodes: &Failing<'_>) {
        for (&start, &all) in &self.stretches {
            assert_eq!(store.run(nodes, start), self.run(start), "from {start}");
            let (_, pages) = self.run(start);
            assert!(store.is(nodes, start, pages, all));
            assert_eq!(store.get(nodes, start + pages - 1), all);
        }
    }

    /// Compares a few pages and ranges.
    pub(super) fn same_somewhere(&self, store: &Store, nodes: &Failing<'_>, random: &mut Random) {
        for _ in 0..4 {
            let (first, count) = random.range(self.pages);
            let (all, pages) = self.run(first);
            assert_eq!(store.get(nodes, first), all, "page {first}");
            assert_eq!(store.run(nodes, first), (all, pages), "from {first}");
            assert_eq!(store.is(nodes, first, count, all), pages >= count, "{count} from {first}");
            let other = if all == Private { Shared } else { Private };
            assert!(!store.is(nodes, first, count, other));
        }
    }
}
