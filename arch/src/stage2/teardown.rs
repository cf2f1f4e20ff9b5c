//! All tables of a map, and giving them back when its VM is gone.

use super::descriptor::{self, Descriptor};
use super::geometry::{self, LAST_LEVEL};
use super::map::{Stage2, at};
use super::table::Table;
use crate::pages::TablePages;
use crate::tlb::Stage2Tlb;
use crate::window::Window;
use tenure_abi::{Error, Located, Pfn};

impl<W: Window> Stage2<'_, W> {
    /// Calls `f` with each table page below the root, children before their parent.
    ///
    /// # Errors
    /// `Internal` at the first address whose tables are damaged.
    pub fn for_each_table(&self, f: &mut dyn FnMut(Pfn)) -> Result<(), Located<Error>> {
        self.visit_root(&mut |event| match event {
            Event::Table(page) => {
                f(page);
                Ok(())
            }
            Event::Leaf => Ok(()),
        })
    }

    /// Empties the map and gives every table page below the root back. Notes are dropped.
    ///
    /// No CPU uses the map's tables any more before the first page is given back.
    ///
    /// # Errors
    /// `Busy`: something is mapped at the address named. Nothing changed. `Internal`: the tables are
    /// damaged there; the map is cut off, and pages not given back are lost to the caller.
    pub fn free_tables(&self, tlb: &impl Stage2Tlb, pages: &mut dyn TablePages) -> Result<(), Located<Error>> {
        self.visit_root(&mut |event| match event {
            Event::Table(_) => Ok(()),
            Event::Leaf => Err(Error::Busy),
        })?;
        self.each_root_entry(|table, index, _| {
            if let Descriptor::Table(page) = Descriptor::decode(table.load(index), self.geometry.start_level()) {
                table.store(index, descriptor::breaking(page));
            }
            Ok(())
        })?;
        tlb.invalidate_vm(self.context);
        self.each_root_entry(|table, index, base| {
            let level = self.geometry.start_level();
            if let Descriptor::Breaking(page) = Descriptor::decode(table.load(index), level) {
                table.store(index, 0);
                self.visit(page, level + 1, base, &mut |event| {
                    if let Event::Table(page) = event {
                        pages.give_back(page);
                    }
                    Ok(())
                })?;
            }
            Ok(())
        })
    }

    /// Visits everything below the root.
    fn visit_root(&self, f: &mut dyn FnMut(Event) -> Result<(), Error>) -> Result<(), Located<Error>> {
        let level = self.geometry.start_level();
        self.each_root_entry(|table, index, base| match Descriptor::decode(table.load(index), level) {
            Descriptor::Table(page) => self.visit(page, level + 1, base, f),
            other => meet(other, base, f),
        })
    }

    /// Calls `f` with each root entry: its table, its index and the first frame it covers.
    fn each_root_entry(
        &self,
        mut f: impl FnMut(&Table, usize, u64) -> Result<(), Located<Error>>,
    ) -> Result<(), Located<Error>> {
        let shift = geometry::entry_shift(self.geometry.start_level());
        let entries = super::ENTRIES as u64;
        for root in 0..self.geometry.root_tables() {
            let table = self.root_table(root).ok_or(Located::call(Error::Internal))?;
            for i in root * entries..(root + 1) * entries {
                f(table, i as usize, i << shift)?;
            }
        }
        Ok(())
    }

    /// Visits the table `page` at `level`, which covers the frames from `base` on, and then itself.
    /// Goes at most three levels deep.
    fn visit(
        &self,
        page: Pfn,
        level: u32,
        base: u64,
        f: &mut dyn FnMut(Event) -> Result<(), Error>,
    ) -> Result<(), Located<Error>> {
        let table = self.window.table(page).ok_or(at(Error::Internal, base))?;
        for (i, raw) in (0u64..).zip(table.iter()) {
            if raw == 0 {
                continue;
            }
            let first = base + (i << geometry::entry_shift(level));
            match Descriptor::decode(raw, level) {
                Descriptor::Table(child) if level < LAST_LEVEL => self.visit(child, level + 1, first, f)?,
                other => meet(other, first, f)?,
            }
        }
        f(Event::Table(page)).map_err(|error| at(error, base))
    }
}

/// What a visit meets.
enum Event {
    /// A table page, after everything in it.
    Table(Pfn),
    /// A mapping.
    Leaf,
}

/// An entry that leads to no table, first frame `first`.
fn meet(entry: Descriptor, first: u64, f: &mut dyn FnMut(Event) -> Result<(), Error>) -> Result<(), Located<Error>> {
    match entry {
        Descriptor::Empty | Descriptor::Note(_) => Ok(()),
        Descriptor::Leaf { .. } => f(Event::Leaf).map_err(|error| at(error, first)),
        _ => Err(at(Error::Internal, first)),
    }
}
