//! Splitting a 2 MiB leaf into 512 pages, and merging 512 pages into one leaf.
//!
//! Both are break before make: the entry is invalid, and invalidated, before it leads elsewhere. While
//! it is, it remembers the table that it will lead to (`Descriptor::Breaking`), so that one
//! invalidation serves any number of splits and no list of them is needed.

use super::descriptor::{self, Attributes, Descriptor};
use super::geometry::LAST_LEVEL;
use super::map::{Entry, Stage2};
use super::plan::{BLOCK, BLOCK_LEVEL};
use super::table::Table;
use crate::pages::TablePages;
use crate::tlb::Stage2Tlb;
use crate::window::Window;
use tenure_abi::{Error, Gfn, Located, PAGE_SIZE, PageSize, Pfn};

impl<'w, W: Window> Stage2<'w, W> {
    /// Makes the 2 MiB leaf that maps `gfn` 512 leaves of the same attributes; fine if it is already.
    ///
    /// # Errors
    /// `NotFound`: nothing is mapped there. `TooBig`: a larger leaf is. `NoMemory`: `pages` is empty.
    /// Nothing changed. `Internal`: the map is damaged.
    pub fn split(&self, gfn: Gfn, tlb: &impl Stage2Tlb, pages: &mut dyn TablePages) -> Result<(), Located<Error>> {
        let located = |error| Located::gfn(error, gfn);
        let entry = self.walk_at(gfn.number(), BLOCK_LEVEL)?;
        match Descriptor::decode(entry.raw, entry.level()) {
            Descriptor::Table(_) => return Ok(()),
            Descriptor::Leaf { size: PageSize::Size2M, .. } => {}
            Descriptor::Leaf { .. } => return Err(located(Error::TooBig)),
            Descriptor::Empty => return Err(located(Error::NotFound)),
            _ => return Err(located(Error::Internal)),
        }
        if pages.available() == 0 {
            return Err(Located::call(Error::NoMemory));
        }
        self.break_block(&entry, pages).map_err(located)?;
        tlb.invalidate(self.context, gfn.number(), 1);
        self.make_split(gfn.number());
        tlb.publish();
        Ok(())
    }

    /// Makes the 512 leaves around `gfn` one 2 MiB leaf and gives their table back; fine if it is one
    /// already.
    ///
    /// # Errors
    /// `NotFound`: nothing is mapped in those 2 MiB. `Denied`: not 512 pages of equal attributes on
    /// contiguous, aligned memory. Nothing changed. `Internal`: the map is damaged.
    pub fn merge(&self, gfn: Gfn, tlb: &impl Stage2Tlb, pages: &mut dyn TablePages) -> Result<(), Located<Error>> {
        let located = |error| Located::gfn(error, gfn);
        let entry = self.walk_at(gfn.number(), BLOCK_LEVEL)?;
        let page = match Descriptor::decode(entry.raw, entry.level()) {
            Descriptor::Table(page) if entry.level() == BLOCK_LEVEL => page,
            Descriptor::Leaf { .. } => return Ok(()),
            Descriptor::Empty => return Err(located(Error::NotFound)),
            _ => return Err(located(Error::Internal)),
        };
        let table = self.window.table(page).ok_or(located(Error::Internal))?;
        let block = block_of(table).ok_or(located(Error::Denied))?;
        entry.table.store(entry.index, 0);
        tlb.invalidate(self.context, gfn.number() & !(BLOCK - 1), BLOCK);
        entry.table.store(entry.index, block);
        tlb.publish();
        pages.give_back(page);
        Ok(())
    }

    /// Breaks the 2 MiB leaf `entry` and answers the table of its pages, which it remembers and which
    /// no walker sees before [`Stage2::make_split`]. The caller invalidates in between.
    pub(super) fn break_block(&self, entry: &Entry<'_>, pages: &mut dyn TablePages) -> Result<&'w Table, Error> {
        let Descriptor::Leaf { pfn, size: PageSize::Size2M, attributes } = Descriptor::decode(entry.raw, entry.level())
        else {
            return Err(Error::Internal);
        };
        let (page, table) = self.new_table(pages)?;
        fill_pages(table, pfn, attributes);
        entry.table.store(entry.index, descriptor::breaking(page));
        Ok(table)
    }

    /// Installs the table that the broken entry for `number` remembers, if it is broken.
    pub(super) fn make_split(&self, number: u64) {
        if let Ok(entry) = self.walk(number, BLOCK_LEVEL)
            && let Descriptor::Breaking(page) = Descriptor::decode(entry.raw, entry.level())
        {
            entry.table.link(entry.index, descriptor::table(page));
        }
    }

    /// A page of `pages` as a table, of any content.
    pub(super) fn new_table(&self, pages: &mut dyn TablePages) -> Result<(Pfn, &'w Table), Error> {
        let page = pages.take().ok_or(Error::Internal)?;
        match self.window.table(page) {
            Some(table) if Descriptor::decode(descriptor::table(page), 0) == Descriptor::Table(page) => {
                Ok((page, table))
            }
            _ => {
                pages.give_back(page);
                Err(Error::Internal)
            }
        }
    }
}

/// Fills `table` with the 512 pages from `pfn` on.
fn fill_pages(table: &Table, pfn: Pfn, attributes: Attributes) {
    let mut raw = descriptor::leaf_unchecked(pfn, PageSize::Size4K, attributes);
    for i in 0..super::ENTRIES {
        table.store(i, raw);
        raw = raw.wrapping_add(PAGE_SIZE);
    }
}

/// The 2 MiB leaf that maps what the 512 leaves of `table` map, if there is one.
fn block_of(table: &Table) -> Option<u64> {
    let Descriptor::Leaf { pfn, attributes, .. } = Descriptor::decode(table.load(0), LAST_LEVEL) else {
        return None;
    };
    let mut expected = table.load(0);
    for raw in table.iter() {
        if raw != expected {
            return None;
        }
        expected = expected.wrapping_add(PAGE_SIZE);
    }
    descriptor::leaf(pfn, PageSize::Size2M, attributes).ok()
}
