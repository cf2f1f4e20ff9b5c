//! The page index: what backs each page of a file, and what is known of it.
//!
//! | word | pages | may be |
//! |---|---|---|
//! | level 0 | 1 | an entry, or 0 |
//! | level 1 | 512 | an entry of 2M, a link, or 0 |
//! | level 2 | 2^18 | an entry of 1G, a link, or 0 |
//! | level 3 to 6 | 2^27 to 2^54 | a link, or 0 |
//!
//! The words are those of [`super::entry`]. Page and pfn of an entry of 2M or 1G are multiples of its size. There is no
//! node without an entry in it.

use super::entry::Entry;
use super::nodes::{Node, NodeIndex, Nodes};
use super::tree::{Found, Kind, Place, Tree, linked};
use core::ops::Range;
use tenure_abi::{Error, PageSize};

struct Entries;

impl Kind for Entries {
    const UNIT: u32 = 0;

    fn split(word: u64, level: u32, into: &mut Node) {
        match Entry::from_word(word) {
            None => into.0.fill(0),
            Some(entry) => {
                let mut further = (0..).map(|n| entry.further(n * Tree::<Self>::span(level - 1)).word());
                into.0.fill_with(|| further.next().unwrap_or(0));
            }
        }
    }

    fn join(node: &Node, level: u32, _: usize) -> Option<u64> {
        let first = node.0[0];
        let Some(entry) = Entry::from_word(first) else {
            return node.0.iter().all(|word| *word == 0).then_some(0);
        };
        let aligned = size(level).is_some_and(|size| entry.pfn().number().is_multiple_of(size.frames()));
        let span = Tree::<Self>::span(level - 1);
        let alike = || (0..).zip(&node.0).all(|(n, word)| *word == entry.further(n * span).word());
        (aligned && alike()).then_some(first)
    }
}

/// The size of an entry of `level`.
const fn size(level: u32) -> Option<PageSize> {
    match level {
        0 => Some(PageSize::Size4K),
        1 => Some(PageSize::Size2M),
        2 => Some(PageSize::Size1G),
        _ => None,
    }
}

const fn level_of(size: PageSize) -> u32 {
    match size {
        PageSize::Size4K => 0,
        PageSize::Size2M => 1,
        PageSize::Size1G => 2,
    }
}

/// Pages that go on where the one before them ends, in facts and frames, or that are all not backed.
#[derive(Clone, Copy)]
pub(super) struct Run {
    /// The entry of the first page, or 0.
    word: u64,
    /// One past its last page.
    pub(super) end: u64,
}

impl Run {
    /// The entry of its first page; `None` if nothing backs it.
    #[inline]
    pub(super) const fn entry(self) -> Option<Entry> {
        Entry::from_word(self.word)
    }

    /// Puts the run that began with `open` and ends at `end` into `runs` and opens the next with `word`; whether to go on.
    #[inline]
    fn close<const ROOM: usize>(runs: &mut heapless::Vec<Self, ROOM>, open: &mut u64, end: u64, word: u64) -> bool {
        let ended = Self { word: core::mem::replace(open, word), end };
        runs.push(ended).is_ok() && Entry::same_owner(ended.word, word)
    }
}

/// What is known of the pages of a file.
pub struct Index {
    tree: Tree<Entries>,
}

impl Index {
    /// A file of `pages` pages with nothing backed.
    ///
    /// # Errors
    /// [`Error::Invalid`] for no page, or more than 2^51.
    pub fn new(pages: u64) -> Result<Self, Error> {
        Ok(Self { tree: Tree::new(pages, 0)? })
    }

    /// How many pages the file has.
    pub const fn pages(&self) -> u64 {
        self.tree.pages()
    }

    /// What is known of `page`, and the size of the backing it is part of; `None` if it is not backed.
    #[inline]
    pub fn get<N: Nodes>(&self, nodes: &N, page: u64) -> Option<(Entry, PageSize)> {
        if page >= self.pages() {
            return None;
        }
        let found = self.tree.find(nodes, page);
        let into = page % Tree::<Entries>::span(found.level);
        Some((Entry::from_word(found.word)?.further(into), size(found.level)?))
    }

    /// The entry of `page`, and how many pages from there on, at most `max` and to the end of the file, have consecutive
    /// frames and the same facts; or `None` and how many from there on are not backed.
    pub fn run<N: Nodes>(&self, nodes: &N, page: u64, max: u64) -> (Option<Entry>, u64) {
        let end = self.tree.within(page, max).end;
        let first = self.get(nodes, page).map(|found| found.0);
        let alike = |word: u64, at: u64| match (first, Entry::from_word(word)) {
            (None, None) => true,
            (Some(first), Some(entry)) => first.goes_on(at - page, entry),
            _ => false,
        };
        let mut at = page;
        'find: while at < end {
            let Found { word, level, place } = self.tree.find(nodes, at);
            let span = Tree::<Entries>::span(level);
            let start = at - at % span;
            let here = Entry::from_word(word).map_or(word, |entry| entry.further(at - start).word());
            if !alike(here, at) {
                break;
            }
            at = start + span;
            let Place::In(node, slot) = place else { break };
            for word in nodes.node(node).into_iter().flat_map(|node| &node.0[slot + 1..]) {
                if at >= end || level > 0 && linked(*word).is_some() {
                    continue 'find;
                }
                if !alike(*word, at) {
                    break 'find;
                }
                at += span;
            }
        }
        (first, at.min(end).saturating_sub(page))
    }

    /// Puts the runs among `count` pages from `first` into `runs`, in order, until there is no room for another or its
    /// owner is not the first one's.
    pub(super) fn runs<N: Nodes, const ROOM: usize>(
        &self,
        nodes: &N,
        first: u64,
        count: u64,
        runs: &mut heapless::Vec<Run, ROOM>,
    ) {
        let Range { start, end } = self.tree.within(first, count);
        if start >= end {
            return;
        }
        let Found { mut word, mut level, mut place } = self.tree.find(nodes, start);
        let mut span = Tree::<Entries>::span(level);
        let into = start % span;
        let mut at = start - into + span;
        // What the open run begins with.
        let mut open = Entry::from_word(word).map_or(0, |entry| entry.further(into).word());
        loop {
            let behind: &[u64] = match place {
                Place::Root => &[],
                Place::In(node, slot) => nodes.node(node).and_then(|node| node.0.get(slot + 1..)).unwrap_or_default(),
            };
            let wanted = end.saturating_sub(at).div_ceil(span).min(behind.len() as u64) as usize;
            for &next in &behind[..wanted] {
                if level > 0 && linked(next).is_some() {
                    break;
                }
                if !Entry::follows(word, span, next) && !Run::close(runs, &mut open, at, next) {
                    return;
                }
                word = next;
                at += span;
            }
            if at >= end {
                break;
            }
            let (last, pages) = (word, span);
            Found { word, level, place } = self.tree.find(nodes, at);
            span = Tree::<Entries>::span(level);
            if !Entry::follows(last, pages, word) && !Run::close(runs, &mut open, at, word) {
                return;
            }
            at += span;
        }
        let _ = runs.push(Run { word: open, end });
    }

    /// The first backing of 2M or 1G that has a page among `count` pages from `first`: its first page and its size.
    pub fn next_large<N: Nodes>(&self, nodes: &N, first: u64, count: u64) -> Option<(u64, PageSize)> {
        let Range { start: mut at, end } = self.tree.within(first, count);
        while at < end {
            let Found { word, level, .. } = self.tree.find(nodes, at);
            let large = size(level).filter(|&size| size > PageSize::Size4K && Entry::from_word(word).is_some());
            if let Some(size) = large {
                return Some((at - at % size.frames(), size));
            }
            // Where one page stands for itself, all of its node do.
            let span = Tree::<Entries>::span(level.max(1));
            at = at - at % span + span;
        }
        None
    }

    /// Calls `each` with the first page, its entry and the number of pages of every run that is backed among `count` pages
    /// from `first`, in order.
    pub fn each<N: Nodes>(&self, nodes: &N, first: u64, count: u64, mut each: impl FnMut(u64, Entry, u64)) {
        let mut range = self.tree.within(first, count);
        while !range.is_empty() {
            let (entry, pages) = self.run(nodes, range.start, range.end - range.start);
            if let Some(entry) = entry {
                each(range.start, entry, pages);
            }
            range.start += pages.max(1);
        }
    }

    /// Backs `size` from `page` on by the frames from that of `entry` on.
    ///
    /// # Errors
    /// [`Error::Invalid`] if page or frame are not a multiple of the size, or the file ends before; [`Error::Exists`] if any
    /// of the pages is backed; [`Error::NoMemory`]. Nothing has changed then.
    pub fn fill<N: Nodes>(&mut self, nodes: &mut N, page: u64, size: PageSize, entry: Entry) -> Result<(), Error> {
        let end = page.checked_add(size.frames()).ok_or(Error::Invalid)?;
        if !(page | entry.pfn().number()).is_multiple_of(size.frames()) || end > self.pages() {
            return Err(Error::Invalid);
        }
        let unbacked = |word: u64| word == 0;
        let (at, _) = self.tree.reach(nodes, self.tree.top(), page, level_of(size), unbacked)?;
        // Anything there, or above it, is an entry or leads to one: a path of links alone was not made just now.
        if at.word != 0 {
            return Err(Error::Exists);
        }
        self.tree.save(nodes, at.place, entry.word());
        Ok(())
    }

    /// Splits backings of 2M and 1G that have one end of the range inside, so that [`Index::update`] and [`Index::remove`]
    /// touch `count` pages from `first` and no other. What is known of each page stays the same.
    ///
    /// # Errors
    /// [`Error::NoMemory`], and nothing has changed.
    pub fn prepare<N: Nodes>(&mut self, nodes: &mut N, first: u64, count: u64) -> Result<(), Error> {
        self.tree.prepare(nodes, first, count, |word| word != 0)
    }

    /// Changes what is known of `count` pages from `first`; they have been prepared. A backing of 2M or 1G is changed as one:
    /// `change` gets its first page. The frame stays, whatever `change` says.
    pub fn update<N: Nodes>(
        &mut self,
        nodes: &mut N,
        first: u64,
        count: u64,
        mut change: impl FnMut(u64, Entry) -> Entry,
    ) {
        self.visit(nodes, first, count, &mut |page, entry, _| Some(change(page, entry).on_frame_of(entry)));
    }

    /// Takes the backing of `count` pages from `first` away; they have been prepared. `removed` is told each backing and its
    /// size, in order. Nodes without an entry are given back.
    pub fn remove<N: Nodes>(
        &mut self,
        nodes: &mut N,
        first: u64,
        count: u64,
        mut removed: impl FnMut(Entry, PageSize),
    ) {
        self.visit(nodes, first, count, &mut |_, entry, size| {
            removed(entry, size);
            None
        });
    }

    fn visit<N: Nodes>(
        &mut self,
        nodes: &mut N,
        first: u64,
        count: u64,
        change: &mut impl FnMut(u64, Entry, PageSize) -> Option<Entry>,
    ) {
        let range = self.tree.within(first, count);
        if !range.is_empty() {
            self.visit_word(nodes, self.tree.top(), 0, &range, change);
        }
    }

    fn visit_word<N: Nodes>(
        &mut self,
        nodes: &mut N,
        at: Found,
        base: u64,
        range: &Range<u64>,
        change: &mut impl FnMut(u64, Entry, PageSize) -> Option<Entry>,
    ) {
        let Found { word, level, place } = at;
        if let Some(node) = linked(word) {
            if level == 1 {
                visit_pages(nodes, node, base, range, change);
            }
            for (slot, base) in Tree::<Entries>::children(base, level, range).filter(|_| level > 1) {
                let place = Place::In(node, slot);
                let below = Found { word: self.tree.load(nodes, place), level: level - 1, place };
                self.visit_word(nodes, below, base, range, change);
            }
            if nodes.node(node).is_some_and(|node| node.0.iter().all(|word| *word == 0)) {
                self.tree.save(nodes, place, 0);
                nodes.give_back(node);
            }
            return;
        }
        let (Some(entry), Some(size)) = (Entry::from_word(word), size(level)) else { return };
        if base < range.start || range.end < base + size.frames() {
            debug_assert!(false, "a range that was not prepared");
            return;
        }
        self.tree.save(nodes, place, change(base, entry, size).map_or(0, Entry::word));
    }

    /// Joins 512 neighbours with consecutive frames and the same facts to one backing of 2M, and 512 of those to one of 1G,
    /// where the frame allows it; but none with a page that is `busy` (asked with a first page and a count): another
    /// operation has prepared there.
    pub fn tidy<N: Nodes>(&mut self, nodes: &mut N, first: u64, count: u64, busy: impl Fn(u64, u64) -> bool) {
        self.tree.tidy(nodes, first, count, &busy);
    }
}

/// [`Index::visit`] for a node of words of level 0, whose first page is `base`.
fn visit_pages<N: Nodes>(
    nodes: &mut N,
    node: NodeIndex,
    base: u64,
    range: &Range<u64>,
    change: &mut impl FnMut(u64, Entry, PageSize) -> Option<Entry>,
) {
    let Some(node) = nodes.node_mut(node) else { return };
    let (first, end) = (range.start.max(base), range.end.min(base + Node::WORDS as u64));
    for (page, word) in (first..end).zip(node.0.iter_mut().skip((first - base) as usize)) {
        if let Some(entry) = Entry::from_word(*word) {
            *word = change(page, entry, PageSize::Size4K).map_or(0, Entry::word);
        }
    }
}
