//! Map, unmap, annotate.
//!
//! Each call plans the whole range first (`plan`) and then does what cannot fail. Entries that go from
//! valid to invalid are written first, all of them; then there is one invalidation for the call; only
//! then is anything that replaces them made valid: break before make.

use super::descriptor::{self, Attributes, Note};
use super::geometry::LAST_LEVEL;
use super::map::{Entry, Stage2, at};
use super::plan::{self, BLOCK, BLOCK_LEVEL, Chunk, Want, chunks};
use crate::pages::TablePages;
use crate::tlb::Stage2Tlb;
use crate::window::Window;
use tenure_abi::{Error, FrameRange, Gfn, Located, PageSize, Pfn};

/// What an unmapping found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unmapped {
    /// How many frames of the range were mapped, and are not any more.
    pub frames: u64,
}

impl<W: Window> Stage2<'_, W> {
    /// How many table pages [`Stage2::map`] would take now.
    ///
    /// # Errors
    /// As [`Stage2::map`], `NoMemory` excepted.
    pub fn tables_needed(&self, gfn: Gfn, frames: FrameRange<Pfn>, largest: PageSize) -> Result<u64, Located<Error>> {
        self.plan(self.guest_side(gfn, frames)?, Want::Leaves(frames.first(), largest))
    }

    /// Whether [`Stage2::map`] would make one 2 MiB leaf of `frames`, if allowed to.
    pub fn maps_as_block(&self, gfn: Gfn, frames: FrameRange<Pfn>) -> bool {
        let chunk = Chunk { start: gfn.number(), count: frames.count(), offset: 0 };
        let aligned = gfn.number().is_multiple_of(BLOCK);
        let entry = self.walk(gfn.number(), LAST_LEVEL);
        aligned && entry.is_ok_and(|entry| plan::becomes_block(&entry, chunk, frames.first(), PageSize::Size2M))
    }

    /// Maps `frames` from `gfn` on, in 2 MiB leaves where `largest`, both alignments and the length
    /// allow it and no level-3 table stands, else in 4 KiB leaves.
    ///
    /// # Errors
    /// `Invalid`: beyond the map or beyond 48 bits. `Exists`: a page is mapped. `Denied`: a page has a
    /// note. `NoMemory`: `pages` has fewer than [`Stage2::tables_needed`]. Nothing changed, and the
    /// first page is named. `Internal`: the map or `pages` is damaged; what comes before the page named
    /// is mapped.
    pub fn map(
        &self,
        gfn: Gfn,
        frames: FrameRange<Pfn>,
        attributes: Attributes,
        largest: PageSize,
        tlb: &impl Stage2Tlb,
        pages: &mut dyn TablePages,
    ) -> Result<(), Located<Error>> {
        let range = self.guest_side(gfn, frames)?;
        let pfn = frames.first();
        if frames.count() == 1 && self.map_page(gfn, pfn, attributes, tlb) {
            return Ok(());
        }
        self.plan_with(range, Want::Leaves(pfn, largest), pages)?;
        for chunk in chunks(range) {
            self.map_chunk(chunk, pfn, attributes, largest, pages).map_err(|error| at(error, chunk.start))?;
        }
        tlb.publish();
        Ok(())
    }

    /// Maps one page where a level-3 table stands and nothing is there yet; whether it did.
    #[inline]
    pub fn map_page(&self, gfn: Gfn, pfn: Pfn, attributes: Attributes, tlb: &impl Stage2Tlb) -> bool {
        match self.walk(gfn.number(), LAST_LEVEL) {
            Ok(entry) if entry.is_page() && entry.raw == 0 => {
                entry.table.store(entry.index, descriptor::leaf_unchecked(pfn, PageSize::Size4K, attributes));
                tlb.publish();
                true
            }
            _ => false,
        }
    }

    fn map_chunk(
        &self,
        chunk: Chunk,
        pfn: Pfn,
        attributes: Attributes,
        largest: PageSize,
        pages: &mut dyn TablePages,
    ) -> Result<(), Error> {
        let found = self.walk(chunk.start, LAST_LEVEL)?;
        let (level, size) = if plan::becomes_block(&found, chunk, pfn, largest) {
            (BLOCK_LEVEL, PageSize::Size2M)
        } else {
            (LAST_LEVEL, PageSize::Size4K)
        };
        let entry = self.reach(chunk.start, level, pages)?;
        for i in 0..chunk.count / size.frames() {
            let page = pfn.checked_add(chunk.offset + i).ok_or(Error::Internal)?;
            entry.table.store(entry.index + i as usize, descriptor::leaf_unchecked(page, size, attributes));
        }
        Ok(())
    }

    /// Builds the tables down to level 2 for `range`, and maps nothing.
    ///
    /// # Errors
    /// `Invalid`: beyond the map. `NoMemory`: too few `pages`; nothing changed.
    pub fn prepare(&self, range: FrameRange<Gfn>, pages: &mut dyn TablePages) -> Result<(), Located<Error>> {
        self.plan_with(range, Want::Prepared, pages)?;
        for chunk in chunks(range) {
            self.reach(chunk.start, BLOCK_LEVEL, pages).map_err(|error| at(error, chunk.start))?;
        }
        Ok(())
    }

    /// Unmaps `range`. What was not mapped stays as it is, notes too. When this returns no CPU can use
    /// the old leaves. A 2 MiB leaf that is partly covered is split; guests may see a fault on its
    /// other pages meanwhile, and find them mapped once the caller's lock is free.
    ///
    /// # Errors
    /// `Invalid`: beyond the map. `NoMemory`: a split needs more `pages`. Nothing changed. `Internal`:
    /// the map or `pages` is damaged.
    pub fn unmap(
        &self,
        range: FrameRange<Gfn>,
        tlb: &impl Stage2Tlb,
        pages: &mut dyn TablePages,
    ) -> Result<Unmapped, Located<Error>> {
        if range.count() == 1 {
            let number = range.first().number();
            let entry = self.walk_at(number, LAST_LEVEL)?;
            if entry.raw == 0 {
                return Ok(Unmapped::default());
            }
            if entry.is_page() && descriptor::is_table(entry.raw) {
                entry.table.store(entry.index, 0);
                tlb.invalidate(self.context, number, 1);
                return Ok(Unmapped { frames: 1 });
            }
        }
        self.replace(range, None, tlb, pages)
    }

    /// Unmaps `range` and leaves `note` on each of its pages, mapped before or not.
    ///
    /// # Errors
    /// As [`Stage2::unmap`]; also `Poisoned` or `Exists` for a page that has that note already.
    pub fn annotate(
        &self,
        range: FrameRange<Gfn>,
        note: Note,
        tlb: &impl Stage2Tlb,
        pages: &mut dyn TablePages,
    ) -> Result<Unmapped, Located<Error>> {
        self.replace(range, Some(note), tlb, pages)
    }

    /// Removes `note` from `gfn`.
    ///
    /// # Errors
    /// `NotFound` if that note is not there.
    pub fn clear_note(&self, gfn: Gfn, note: Note) -> Result<(), Located<Error>> {
        let entry = self.walk_at(gfn.number(), LAST_LEVEL)?;
        if !entry.is_page() || entry.raw != note.raw() {
            return Err(Located::gfn(Error::NotFound, gfn));
        }
        entry.table.store(entry.index, 0);
        Ok(())
    }

    fn replace(
        &self,
        range: FrameRange<Gfn>,
        note: Option<Note>,
        tlb: &impl Stage2Tlb,
        pages: &mut dyn TablePages,
    ) -> Result<Unmapped, Located<Error>> {
        self.plan_with(range, if note.is_some() { Want::Note } else { Want::Unmapped }, pages)?;
        let mut broken = Broken::default();
        let mut failed = Ok(());
        for chunk in chunks(range) {
            if let Err(error) = self.break_chunk(chunk, note, &mut broken, pages) {
                failed = Err(at(error, chunk.start));
                break;
            }
        }
        // Even when the map is damaged half-way: what was broken becomes whole again.
        broken.invalidate(self, tlb);
        if broken.splits {
            for chunk in chunks(range) {
                self.make_split(chunk.start);
            }
            tlb.publish();
        }
        failed.map(|()| Unmapped { frames: broken.frames })
    }

    fn break_chunk(
        &self,
        chunk: Chunk,
        note: Option<Note>,
        broken: &mut Broken,
        pages: &mut dyn TablePages,
    ) -> Result<(), Error> {
        let raw = note.map_or(0, Note::raw);
        let mut entry = self.walk(chunk.start, LAST_LEVEL)?;
        if !entry.is_page() {
            if entry.raw == 0 && note.is_none() {
                return Ok(());
            }
            if entry.raw != 0 {
                if chunk.is_block() && note.is_none() {
                    entry.table.store(entry.index, 0);
                } else {
                    let table = self.break_block(&entry, pages)?;
                    set(table, chunk, raw);
                    broken.splits = true;
                }
                broken.add(chunk.start, chunk.count);
                return Ok(());
            }
            entry = self.reach(chunk.start, LAST_LEVEL, pages)?;
        }
        for i in 0..chunk.count {
            let index = entry.index + i as usize;
            if entry.table.load(index) & descriptor::VALID != 0 {
                broken.add(chunk.start + i, 1);
                entry.table.store(index, raw);
            } else if note.is_some() {
                entry.table.store(index, raw);
            }
        }
        Ok(())
    }

    /// The entry for `number` at `level`, with the tables on the way there made.
    pub(super) fn reach(&self, number: u64, level: u32, pages: &mut dyn TablePages) -> Result<Entry<'_>, Error> {
        loop {
            let entry = self.walk(number, level)?;
            if entry.level() == level || entry.raw != 0 {
                return if entry.level() == level { Ok(entry) } else { Err(Error::Internal) };
            }
            let (page, table) = self.new_table(pages)?;
            table.fill(0);
            entry.table.link(entry.index, descriptor::table(page));
        }
    }

    /// The guest frames that `frames` are mapped at from `gfn` on.
    fn guest_side(&self, gfn: Gfn, frames: FrameRange<Pfn>) -> Result<FrameRange<Gfn>, Located<Error>> {
        if frames.end() > descriptor::ADDRESS / tenure_abi::PAGE_SIZE + 1 {
            return Err(Located::pfn(Error::Invalid, frames.first()));
        }
        FrameRange::new(gfn, frames.count(), self.geometry.ipa()).map_err(|error| Located::gfn(error, gfn))
    }
}

/// Writes `raw` to the pages of `chunk` in their level-3 table.
fn set(table: &super::Table, chunk: Chunk, raw: u64) {
    for i in 0..chunk.count {
        table.store((chunk.start % BLOCK + i) as usize, raw);
    }
}

/// The leaves that a call made invalid and has to invalidate.
#[derive(Default)]
struct Broken {
    /// Frames of the range that were mapped.
    frames: u64,
    leaves: u64,
    first: u64,
    end: u64,
    /// Whether some entry is broken for a split.
    splits: bool,
}

impl Broken {
    fn add(&mut self, start: u64, count: u64) {
        if self.leaves == 0 {
            self.first = start;
        }
        self.leaves += 1;
        self.frames += count;
        self.end = start + count;
    }

    fn invalidate<W: Window>(&self, map: &Stage2<'_, W>, tlb: &impl Stage2Tlb) {
        match self.leaves {
            0 => {}
            1 => tlb.invalidate(map.context, self.first, 1),
            _ => tlb.invalidate(map.context, self.first, self.end - self.first),
        }
    }
}
