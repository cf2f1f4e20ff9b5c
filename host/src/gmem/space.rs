//! Frames come and go: allocate, punch, memory errors, the end of the file. Visibility has no part in any of it.

use super::claim::SIZES;
use super::entry::Facts;
use super::nodes::Nodes;
use super::pieces::Piece;
use super::{Env, File, FilePages, at};
use crate::platform::{Fault, Op, Platform};
use tenure_abi::{Error, Located, PAGE_SHIFT, PageSize, Pfn};

impl<E: Env, P: Platform, N: Nodes, const BINDINGS: usize> File<'_, E, P, N, BINDINGS> {
    /// Puts frames behind those of `pages` that have none, as large as fit. They hold anything: whoever uses one first zeroes it.
    ///
    /// # Errors
    /// At the page that got none, those before it have theirs: [`Error::NoMemory`], [`Error::Retry`].
    pub fn allocate(&self, pages: FilePages) -> Result<(), Located<Error>> {
        let claim = self.claim(pages).map_err(at(pages.first))?;
        let mut done = pages.first;
        self.fill(pages, &mut done).map_err(|error| at(done)(error))?;
        drop(claim);
        Ok(())
    }

    /// The same for claimed pages.
    pub(super) fn allocate_claimed(&self, pages: FilePages) -> Result<(), Error> {
        self.fill(pages, &mut 0)
    }

    fn fill(&self, pages: FilePages, done: &mut u64) -> Result<(), Error> {
        let mut page = pages.first;
        while let Some(rest) = FilePages::between(page, pages.end()) {
            *done = page;
            let state = self.lock();
            let (entry, count) = state.index.run(&state.nodes, page, rest.count);
            drop(state);
            let end = page + count.max(1);
            if entry.is_some() {
                page = end;
            }
            while let Some(unbacked) = FilePages::between(page, end) {
                *done = page;
                page += self.back_largest(unbacked)?;
            }
        }
        Ok(())
    }

    /// One frame for the first of `pages`, the largest there is; how many pages it backs.
    ///
    /// # Errors
    /// [`Error::NoMemory`].
    pub(super) fn back_largest(&self, pages: FilePages) -> Result<u64, Error> {
        let fits = |size: PageSize| {
            size <= self.options.largest && pages.first.is_multiple_of(size.frames()) && pages.count >= size.frames()
        };
        let mut result = Err(Error::NoMemory);
        for size in SIZES.into_iter().filter(|&size| fits(size)) {
            result = self.back(pages.first, size).map(|()| size.frames());
            if result.is_ok() {
                break;
            }
        }
        result
    }

    /// Frees the frames behind `pages`; whoever touches one next finds zeroes. Visibility stays as it is.
    ///
    /// A page that its guest cannot be cut off from is withdrawn instead of freed: see [`super::Counts`].
    ///
    /// # Errors
    /// Nothing was freed: at the start of the range [`Error::Retry`], [`Error::NoMemory`] (a large frame is freed in part and
    /// there is no node to say so), or what the platform says to a split.
    pub fn punch(&self, pages: FilePages) -> Result<(), Located<Error>> {
        let start = at(pages.first);
        let claim = self.claim(pages).map_err(&start)?;
        let mut state = self.lock();
        if matches!(state.index.run(&state.nodes, pages.first, pages.count), (None, count) if count == pages.count) {
            return Ok(());
        }
        state.prepare(claim.pages()).and_then(|()| state.prepare(pages)).map_err(&start)?;
        drop(state);
        self.prepare_pieces(pages).map_err(&start)?;
        self.split_reaching(pages, claim.pages(), Piece::assigned).map_err(&start)?;
        self.env.zap_host(self.id, pages);
        self.each_binding(pages, |guest, gfns| self.env.zap_guest(guest, gfns));
        self.env.flush_guests();
        self.env.drain_references();
        self.detach_all(pages, Piece::assigned);
        self.unassign_all(pages, Piece::assigned, Op::Reclaim);
        let poisoned = |piece: Piece| {
            if piece.poisoned() {
                self.withdraw(piece.pages, Fault::of(Error::Poisoned));
            }
            Ok(())
        };
        let _: Result<(), ()> = self.each_piece(pages, poisoned);
        self.take_out(pages, |pfn, size| self.env.give_back(pfn, size));
        Ok(())
    }

    /// The memory behind byte `offset` is broken. Nobody is given it any more; its frame is withdrawn when it is punched.
    ///
    /// # Errors
    /// [`Error::Invalid`] beyond the end, [`Error::NotFound`] without a frame there, [`Error::NoMemory`] if a large frame
    /// would have to be told apart and there is no node for it, [`Error::Retry`].
    pub fn memory_error(&self, offset: u64) -> Result<(), Error> {
        let page = FilePages::one(offset >> PAGE_SHIFT);
        if page.first >= self.pages {
            return Err(Error::Invalid);
        }
        let claim = self.claim(page)?;
        let mut state = self.lock();
        state.index.get(&state.nodes, page.first).ok_or(Error::NotFound)?;
        state.prepare(claim.pages()).and_then(|()| state.prepare(page))?;
        drop(state);
        // A hardware entry is one piece: if it cannot be split, all of it is given up.
        let split = self.split_reaching(page, claim.pages(), Piece::assigned);
        let broken = if split.is_ok() { page } else { claim.pages() };
        self.note(broken, |entry| entry.with(Facts::POISONED));
        self.env.zap_host(self.id, broken);
        // A large translation that covers the page goes as a whole.
        self.each_binding(claim.pages(), |guest, gfns| self.env.zap_guest(guest, gfns));
        self.env.flush_guests();
        Ok(())
    }

    /// The frame behind byte `offset`, for tests and audits; `None` without one.
    pub fn frame(&self, offset: u64) -> Option<Pfn> {
        let state = self.lock();
        state.index.get(&state.nodes, offset >> PAGE_SHIFT).map(|(entry, _)| entry.pfn())
    }

    /// What is known of the page at byte `offset`, and the size of its frame; `None` without one.
    pub fn facts(&self, offset: u64) -> Option<(Facts, PageSize)> {
        let state = self.lock();
        state.index.get(&state.nodes, offset >> PAGE_SHIFT).map(|(entry, size)| (entry.facts(), size))
    }
}
