//! The index against the model: random operations, several under way at once, and every take that can fail.

use super::index_model::{Model, facts};
use super::{Failing, Random, memory, steps};
use crate::gmem::entry::Entry;
use crate::gmem::index::Index;
use std::vec::Vec;
use tenure_abi::{Error, PageSize, Pfn};

struct Walk<'a> {
    random: Random,
    nodes: Failing<'a>,
    index: Index,
    model: Model,
    /// What was prepared and waits to be changed or given up.
    under_way: Vec<(u64, u64)>,
}

fn touch(a: (u64, u64), b: (u64, u64)) -> bool {
    a.0 < b.0 + b.1 && b.0 < a.0 + a.1
}

impl Walk<'_> {
    /// Backs a page, 2M or 1G; most often so that it goes on where the page before it ended.
    fn fill(&mut self) {
        let sizes = [PageSize::Size4K, PageSize::Size2M, PageSize::Size1G];
        let size = sizes[self.random.below(8).saturating_sub(5) as usize];
        let page = self.random.page(self.index.pages()) / size.frames() * size.frames();
        if self.under_way.iter().any(|other| touch(*other, (page, size.frames()))) {
            return;
        }
        // Frames that are aligned as their pages can be joined, those that are one off cannot.
        let off = u64::from(size == PageSize::Size4K && self.random.below(16) == 0);
        let (facts, hw) = facts(if self.random.below(4) == 0 { self.random.next() } else { 0 });
        let entry = Entry::new(Pfn::new((1 << 30) + page + off).unwrap(), facts, hw);
        let fits = page + size.frames() <= self.index.pages();
        let expected = match () {
            () if !fits => Err(Error::Invalid),
            () if self.model.backed(page, size.frames()) => Err(Error::Exists),
            () => Ok(()),
        };
        let index = &mut self.index;
        let done = self.nodes.until_it_works(
            |nodes| match index.fill(nodes, page, size, entry) {
                Err(Error::NoMemory) => Err(()),
                done => Ok(done),
            },
            |_, ()| (),
        );
        assert_eq!(done, expected, "{size:?} at {page}");
        if done.is_ok() {
            self.model.fill(page, size.frames(), entry);
        }
        self.index.tidy(&mut self.nodes, page, 1, |first, count| {
            self.under_way.iter().any(|other| touch(*other, (first, count)))
        });
    }

    fn prepare(&mut self) {
        let range = self.random.range(self.index.pages());
        if self.under_way.len() < 3 && !self.under_way.iter().any(|other| touch(*other, range)) {
            let index = &mut self.index;
            self.nodes.until_it_works(
                |nodes| index.prepare(nodes, range.0, range.1),
                |_, error| assert_eq!(error, Error::NoMemory),
            );
            self.under_way.push(range);
        }
    }

    fn change(&mut self) {
        let Some((first, count)) = self.under_way.pop() else { return };
        match self.random.below(4) {
            0 => {}
            1 => self.remove(first, count),
            _ => self.update(first, count),
        }
        self.index.tidy(&mut self.nodes, first, count, |first, count| {
            self.under_way.iter().any(|other| touch(*other, (first, count)))
        });
        if self.under_way.is_empty() {
            assert_eq!(self.nodes.lent(), self.model.nodes(), "nodes that need not be there, or too few");
        }
        // The next to end need not be the last to have begun.
        if let Some(last) = self.under_way.len().checked_sub(1) {
            self.under_way.swap(self.random.below(last as u64 + 1) as usize, last);
        }
    }

    fn update(&mut self, first: u64, count: u64) {
        let (facts, hw) = facts(self.random.below(2));
        let change = |entry: Entry| entry.with_facts(facts).with_hw(hw);
        let mut at = first;
        let model = &self.model;
        self.index.update(&mut self.nodes, first, count, |page, entry| {
            assert_eq!(model.get(page), Some(entry));
            assert!(at <= page && page < first + count, "a page outside or twice");
            at = page + 1;
            change(entry)
        });
        self.model.update(first, count, change);
    }

    fn remove(&mut self, first: u64, count: u64) {
        let mut removed = Vec::new();
        self.index.remove(&mut self.nodes, first, count, |entry, size| removed.push((entry, size.frames())));
        let mut removed = removed.into_iter();
        for (_, entry, pages) in self.model.take(first, count) {
            let mut done = 0;
            while done < pages {
                let (told, frames) = removed.next().expect("a backing that nobody was told of");
                assert_eq!(told, entry.further(done));
                done += frames;
            }
            assert_eq!(done, pages, "a backing across unlike pages");
        }
        assert_eq!(removed.next(), None);
    }
}

fn walk(pages: u64, seed: u64, steps: u32) {
    let mut memory = memory(if cfg!(miri) { 100 } else { 2500 });
    let mut walk = Walk {
        random: Random(seed),
        nodes: Failing::new(&mut memory),
        index: Index::new(pages).unwrap(),
        model: Model::new(pages),
        under_way: Vec::new(),
    };
    for step in 0..steps {
        match walk.random.below(5) {
            0 | 1 => walk.fill(),
            2 => walk.prepare(),
            _ => walk.change(),
        }
        for _ in 0..4 {
            let (page, count) = walk.random.range(pages);
            walk.model.same_at(&walk.index, &walk.nodes, page, count);
        }
        if step % 64 == 0 {
            walk.model.same_everywhere(&walk.index, &walk.nodes);
        }
    }
    walk.index.tidy(&mut walk.nodes, 0, pages, |_, _| false);
    walk.model.same_everywhere(&walk.index, &walk.nodes);
    assert_eq!(walk.nodes.lent(), walk.model.nodes());
    walk.remove(0, pages);
    assert_eq!(walk.nodes.lent(), 0, "a file with nothing backed needs no node");
}

#[test]
fn a_small_file_agrees_with_the_model() {
    for seed in 0..4 {
        walk(5 * 512 + 100 * seed, seed, steps(2_500));
    }
}

#[test]
fn a_file_of_some_gibibytes_agrees_with_the_model() {
    for seed in 0..4 {
        walk((3 << 18) + 1000 * seed, 10 + seed, steps(2_500));
    }
}

#[test]
fn the_largest_file_agrees_with_the_model() {
    for seed in 0..2 {
        // Frames are as far as pages are: they stay below 2^40 only in the first part of the file.
        walk((1 << 39) - seed, 20 + seed, steps(1_000));
    }
}
