//! Claims: which pages a call works on while it does not hold the lock.

use super::entry::Facts;
use super::nodes::Nodes;
use super::{Env, File, FilePages, State};
use crate::platform::Platform;
use tenure_abi::{Error, PageSize};

/// How many calls can work on a file at once; one more is told to retry.
const AT_ONCE: usize = 32;

/// Disjoint ranges in work.
pub(super) struct Claims(heapless::Vec<FilePages, AT_ONCE>);

impl Claims {
    pub(super) const fn new() -> Self {
        Self(heapless::Vec::new())
    }

    /// Whether somebody works on one of these pages.
    pub(super) fn touch(&self, pages: FilePages) -> bool {
        self.0.iter().any(|claim| claim.overlaps(pages))
    }

    fn end(&mut self, pages: FilePages) {
        if let Some(at) = self.0.iter().position(|claim| *claim == pages) {
            self.0.swap_remove(at);
        }
    }
}

/// Pages in the hands of one call. Dropping it ends the claim, whatever became of the call.
pub(super) struct Claim<'f, 'e, E: Env, P: Platform, N: Nodes, const BINDINGS: usize> {
    file: &'f File<'e, E, P, N, BINDINGS>,
    pages: FilePages,
}

impl<E: Env, P: Platform, N: Nodes, const BINDINGS: usize> Claim<'_, '_, E, P, N, BINDINGS> {
    /// The pages claimed: those asked for, and the rest of hardware entries that they cut.
    pub(super) fn pages(&self) -> FilePages {
        self.pages
    }
}

impl<E: Env, P: Platform, N: Nodes, const BINDINGS: usize> Drop for Claim<'_, '_, E, P, N, BINDINGS> {
    fn drop(&mut self) {
        let mut state = self.file.lock();
        state.claims.end(self.pages);
        state.tidy(self.pages);
    }
}

impl<'e, E: Env, P: Platform, N: Nodes, const BINDINGS: usize> File<'e, E, P, N, BINDINGS> {
    /// Claims `pages`, waiting for others as long as the integrator lets it.
    ///
    /// # Errors
    /// [`Error::Retry`].
    pub(super) fn claim(&self, pages: FilePages) -> Result<Claim<'_, 'e, E, P, N, BINDINGS>, Error> {
        let mut attempt = 0;
        loop {
            match self.try_claim(pages) {
                Err(Error::Retry) if self.env.pause(attempt) => attempt += 1,
                result => return result,
            }
        }
    }

    /// Claims `pages`, once.
    ///
    /// # Errors
    /// [`Error::Retry`] if somebody else works there, or too many work on the file.
    pub(super) fn try_claim(&self, pages: FilePages) -> Result<Claim<'_, 'e, E, P, N, BINDINGS>, Error> {
        let mut state = self.lock();
        let pages = state.whole_entries(pages);
        if state.claims.touch(pages) {
            return Err(Error::Retry);
        }
        state.claims.0.push(pages).map_err(|_| Error::Retry)?;
        Ok(Claim { file: self, pages })
    }
}

impl<N: Nodes, const BINDINGS: usize> State<N, BINDINGS> {
    /// `pages`, and the rest of the hardware's entries that begin or end inside.
    fn whole_entries(&self, pages: FilePages) -> FilePages {
        let first = self.whole_entry(pages.first).first;
        FilePages { first, count: self.whole_entry(pages.end() - 1).end() - first }
    }

    /// The pages of the hardware's entry that holds `page`.
    pub(super) fn whole_entry(&self, page: u64) -> FilePages {
        match self.index.get(&self.nodes, page) {
            Some((entry, _)) if entry.has(Facts::ASSIGNED) => {
                let count = entry.hw().frames();
                FilePages { first: page.saturating_sub(entry.pfn().number() % count), count }
            }
            _ => FilePages::one(page),
        }
    }

    /// `pages`, and the rest of the frames that begin or end inside.
    pub(super) fn whole_backings(&self, pages: FilePages) -> FilePages {
        let backing = |page: u64| {
            let count = self.index.get(&self.nodes, page).map_or(1, |(_, size)| size.frames());
            FilePages { first: page - page % count, count }
        };
        let first = backing(pages.first).first;
        FilePages { first, count: backing(pages.end() - 1).end() - first }
    }

    /// Makes the trees smaller where they became uniform around `pages`, away from pages in work.
    fn tidy(&mut self, pages: FilePages) {
        let Self { nodes, store, index, claims, .. } = self;
        let busy = |first, count| FilePages::between(first, first + count).is_some_and(|node| claims.touch(node));
        store.tidy(nodes, pages.first, pages.count, busy);
        index.tidy(nodes, pages.first, pages.count, busy);
    }

    /// Makes the trees fine enough that `pages` can be changed alone.
    ///
    /// # Errors
    /// [`Error::NoMemory`]: nothing changed.
    pub(super) fn prepare(&mut self, pages: FilePages) -> Result<(), Error> {
        let Self { nodes, store, index, .. } = self;
        store.prepare(nodes, pages.first, pages.count)?;
        index.prepare(nodes, pages.first, pages.count)
    }
}

/// Sizes from the largest.
pub(super) const SIZES: [PageSize; 3] = [PageSize::Size1G, PageSize::Size2M, PageSize::Size4K];
