//! What is known of each page, as backings in order, and how large and how many nodes an index makes of them.

use super::Failing;
use crate::gmem::entry::{Entry, Facts};
use crate::gmem::index::Index;
use std::collections::{BTreeMap, BTreeSet};
use std::vec::Vec;
use tenure_abi::PageSize;

/// First page of every stretch, its entry there and its pages. Stretches may be cut anywhere.
pub(super) struct Model {
    stretches: BTreeMap<u64, (Entry, u64)>,
    pages: u64,
}

impl Model {
    pub(super) fn new(pages: u64) -> Self {
        Self { stretches: BTreeMap::new(), pages }
    }

    pub(super) fn get(&self, page: u64) -> Option<Entry> {
        let (first, (entry, pages)) = self.stretches.range(..=page).next_back()?;
        (page - first < *pages).then(|| entry.further(page - first))
    }

    /// As [`Index::run`], stretch after stretch.
    pub(super) fn run(&self, page: u64, max: u64) -> (Option<Entry>, u64) {
        let end = (page + max).min(self.pages);
        let Some(first) = self.get(page) else {
            let next = self.stretches.range(page..).next().map_or(end, |next| *next.0);
            return (None, next.min(end) - page);
        };
        let mut at = page;
        while at < end && self.get(at) == Some(first.further(at - page)) {
            let (start, (_, pages)) = self.stretches.range(..=at).next_back().unwrap();
            at = start + pages;
        }
        (Some(first), at.min(end) - page)
    }

    pub(super) fn backed(&self, first: u64, count: u64) -> bool {
        self.run(first, count) != (None, count)
    }

    pub(super) fn fill(&mut self, page: u64, pages: u64, entry: Entry) {
        self.stretches.insert(page, (entry, pages));
    }

    fn cut(&mut self, page: u64) {
        if let Some((&first, &(entry, pages))) = self.stretches.range(..page).next_back()
            && page < first + pages
        {
            self.stretches.insert(first, (entry, page - first));
            self.stretches.insert(page, (entry.further(page - first), first + pages - page));
        }
    }

    /// The runs of a range, taken out.
    pub(super) fn take(&mut self, first: u64, count: u64) -> Vec<(u64, Entry, u64)> {
        self.cut(first);
        self.cut(first + count);
        let starts: Vec<u64> = self.stretches.range(first..first + count).map(|one| *one.0).collect();
        joined(starts.into_iter().filter_map(|at| self.stretches.remove(&at).map(|(entry, pages)| (at, entry, pages))))
    }

    pub(super) fn update(&mut self, first: u64, count: u64, change: impl Fn(Entry) -> Entry) {
        for (at, entry, pages) in self.take(first, count) {
            self.stretches.insert(at, (change(entry), pages));
        }
    }

    /// Every run there is.
    pub(super) fn runs(&self) -> Vec<(u64, Entry, u64)> {
        joined(self.stretches.iter().map(|(&at, &(entry, pages))| (at, entry, pages)))
    }

    /// The nodes of the smallest tree.
    pub(super) fn nodes(&self) -> usize {
        let mut nodes = BTreeSet::new();
        for (first, entry, pages) in self.runs() {
            let mut shift = 9;
            loop {
                // A word inside the run that is an entry by itself needs no node, nor does what is below it.
                let fits = shift <= 18 && (entry.pfn().number() ^ first).trailing_zeros() >= shift;
                let span = 1 << shift;
                let alone = |word: u64| fits && first <= word * span && (word + 1) * span <= first + pages;
                let words = first >> shift..=(first + pages - 1) >> shift;
                nodes.extend(words.filter(|word| !alone(*word)).map(|word| (shift, word)));
                if span >= self.pages {
                    break;
                }
                shift += 9;
            }
        }
        nodes.len()
    }

    /// Compares every page, run by run.
    pub(super) fn same_everywhere(&self, index: &Index, nodes: &Failing<'_>) {
        let mut seen = Vec::new();
        index.each(nodes, 0, u64::MAX, |page, entry, pages| seen.push((page, entry, pages)));
        assert_eq!(seen, self.runs());
    }

    /// Compares some runs from `page` on, of which there is room for a few at a time.
    fn same_runs(&self, index: &Index, nodes: &Failing<'_>, page: u64, end: u64) {
        let owner = |page| self.get(page).and_then(Entry::owner);
        let mut at = page;
        for _ in 0..4 {
            if at == end {
                break;
            }
            let (first_owner, mut runs) = (owner(at), heapless::Vec::<_, 3>::new());
            index.runs(nodes, at, end - at, &mut runs);
            for run in &runs {
                assert_eq!((run.entry(), run.end - at), self.run(at, end - at), "a run at {at} of {page} to {end}");
                assert_eq!(owner(at), first_owner, "runs of different owners");
                at = run.end;
            }
            assert!(runs.is_full() || at == end || owner(at) != first_owner, "{} runs to {at} of {end}", runs.len());
        }
    }

    /// Compares pages and runs that start or end beside `page`.
    pub(super) fn same_at(&self, index: &Index, nodes: &Failing<'_>, page: u64, max: u64) {
        let found = index.get(nodes, page);
        assert_eq!(found.map(|found| found.0), self.get(page), "page {page}");
        assert_eq!(index.run(nodes, page, max), self.run(page, max.min(self.pages - page)), "{max} from {page}");
        self.same_runs(index, nodes, page, page + max.min(self.pages - page));
        if let Some((entry, size)) = found {
            let (first, frames) = (page - page % size.frames(), size.frames());
            let pages = page - first;
            assert_eq!(entry.pfn().number() % frames, pages, "a backing of {size:?} that is not aligned");
            assert_eq!(self.run(first, frames), (self.get(first), frames), "a backing of {size:?} of unlike pages");
        }
    }
}

/// Neighbours that differ in nothing but consecutive frames as one.
fn joined(stretches: impl Iterator<Item = (u64, Entry, u64)>) -> Vec<(u64, Entry, u64)> {
    let mut runs: Vec<(u64, Entry, u64)> = Vec::new();
    for (at, entry, pages) in stretches {
        match runs.last_mut() {
            Some(last) if last.0 + last.2 == at && last.1.further(last.2) == entry => last.2 += pages,
            _ => runs.push((at, entry, pages)),
        }
    }
    runs
}

/// Some facts.
pub(super) fn facts(number: u64) -> (Facts, PageSize) {
    let sizes = [PageSize::Size4K, PageSize::Size2M, PageSize::Size1G];
    (Facts::from_bits_truncate((number & 3) << 5), sizes[(number >> 2) as usize % 3])
}
