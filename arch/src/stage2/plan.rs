//! What a change needs and what forbids it, found out before anything is touched.
//!
//! A change is looked at in chunks that end at 2 MiB boundaries: within one chunk either there is a
//! level-3 table for all of it, or one entry higher up decides.

use super::descriptor::{self, Descriptor, Note};
use super::geometry::{self, LAST_LEVEL};
use super::map::{Entry, Stage2, at};
use crate::pages::TablePages;
use crate::window::Window;
use tenure_abi::{Error, FrameRange, Gfn, Located, PageSize, Pfn};

/// Frames of a 2 MiB block.
pub(super) const BLOCK: u64 = PageSize::Size2M.frames();
/// The level of 2 MiB leaves.
pub(super) const BLOCK_LEVEL: u32 = 2;

/// What a range shall become.
#[derive(Clone, Copy)]
pub(super) enum Want {
    /// Tables down to level 2, nothing else.
    Prepared,
    /// Leaves to memory from this frame on, none larger than the size.
    Leaves(Pfn, PageSize),
    /// Empty; notes stay.
    Unmapped,
    /// This note on each page.
    Note,
}

/// A part of a range that ends at a 2 MiB boundary or at the range's end.
#[derive(Clone, Copy)]
pub(super) struct Chunk {
    /// Its first guest frame number.
    pub(super) start: u64,
    /// How many frames: 1..=512.
    pub(super) count: u64,
    /// How many frames of the range come before it.
    pub(super) offset: u64,
}

impl Chunk {
    /// Whether it is a whole 2 MiB block.
    pub(super) fn is_block(self) -> bool {
        self.count == BLOCK
    }
}

/// The chunks of `range`, in order.
pub(super) fn chunks(range: FrameRange<Gfn>) -> impl Iterator<Item = Chunk> {
    let (first, end) = (range.first().number(), range.end());
    let mut start = first;
    core::iter::from_fn(move || {
        let count = end.min((start | (BLOCK - 1)) + 1).checked_sub(start).filter(|&n| n != 0)?;
        let chunk = Chunk { start, count, offset: start - first };
        start += count;
        Some(chunk)
    })
}

/// Whether `chunk` of a range that leads to `pfn` can be one 2 MiB leaf, as far as alignment goes.
pub(super) fn fits_block(chunk: Chunk, pfn: Pfn, largest: PageSize) -> bool {
    largest >= PageSize::Size2M && chunk.is_block() && (pfn.number() + chunk.offset).is_multiple_of(BLOCK)
}

impl<W: Window> Stage2<'_, W> {
    /// How many table pages it takes to make `range` what `want` says.
    ///
    /// An error names the first page that forbids it.
    pub(super) fn plan(&self, range: FrameRange<Gfn>, want: Want) -> Result<u64, Located<Error>> {
        if range.end() > self.geometry.frames() {
            return Err(at(Error::Invalid, range.first().number()));
        }
        let mut tables = 0;
        for chunk in chunks(range) {
            let entry = self.walk_at(chunk.start, LAST_LEVEL)?;
            if entry.is_page() {
                allowed_pages(&entry, chunk, want)?;
                continue;
            }
            let deepest = deepest_level(&entry, chunk, want).map_err(|error| at(error, chunk.start))?;
            tables += new_tables(entry.level(), deepest, chunk);
        }
        Ok(tables)
    }

    /// As [`Stage2::plan`], and refuses unless `pages` has that many.
    pub(super) fn plan_with(
        &self,
        range: FrameRange<Gfn>,
        want: Want,
        pages: &dyn TablePages,
    ) -> Result<(), Located<Error>> {
        let tables = self.plan(range, want)?;
        if tables > pages.available() as u64 {
            return Err(Located::call(Error::NoMemory));
        }
        Ok(())
    }
}

/// The level that `chunk` needs tables down to, where its walk ended above level 3 at `entry`.
fn deepest_level(entry: &Entry<'_>, chunk: Chunk, want: Want) -> Result<u32, Error> {
    const BLOCK_LEAF: PageSize = PageSize::Size2M;
    match (Descriptor::decode(entry.raw, entry.level()), want) {
        (Descriptor::Empty, Want::Unmapped) | (Descriptor::Leaf { size: BLOCK_LEAF, .. }, Want::Prepared) => {
            Ok(entry.level())
        }
        (Descriptor::Leaf { size: BLOCK_LEAF, .. }, Want::Unmapped) if chunk.is_block() => Ok(entry.level()),
        (Descriptor::Empty, Want::Leaves(pfn, largest)) if fits_block(chunk, pfn, largest) => Ok(BLOCK_LEVEL),
        (Descriptor::Empty, Want::Prepared) => Ok(BLOCK_LEVEL),
        (Descriptor::Empty, Want::Leaves(..) | Want::Note)
        | (Descriptor::Leaf { size: BLOCK_LEAF, .. }, Want::Unmapped | Want::Note) => Ok(LAST_LEVEL),
        (Descriptor::Leaf { .. }, Want::Leaves(..)) => Err(Error::Exists),
        (Descriptor::Leaf { .. }, _) => Err(Error::TooBig),
        _ => Err(Error::Internal),
    }
}

/// Whether each page of `chunk`, in the level-3 table of `entry`, may become what `want` says.
fn allowed_pages(entry: &Entry<'_>, chunk: Chunk, want: Want) -> Result<(), Located<Error>> {
    for i in 0..chunk.count {
        let raw = entry.table.load(entry.index + i as usize);
        if raw == 0 {
            continue;
        }
        let refused = match (Descriptor::decode(raw, LAST_LEVEL), want) {
            (Descriptor::Leaf { .. } | Descriptor::Note(_), Want::Prepared | Want::Unmapped)
            | (Descriptor::Leaf { .. }, Want::Note) => continue,
            (Descriptor::Leaf { .. }, Want::Leaves(..)) | (Descriptor::Note(Note::MmioGuard), Want::Note) => {
                Error::Exists
            }
            (Descriptor::Note(_), Want::Leaves(..)) => Error::Denied,
            (Descriptor::Note(Note::Poisoned), Want::Note) => Error::Poisoned,
            _ => Error::Internal,
        };
        return Err(at(refused, chunk.start + i));
    }
    Ok(())
}

/// How many tables `chunk` adds to those that earlier chunks of its range add, if the walk for it ends
/// at level `found` and has to reach `deepest`.
fn new_tables(found: u32, deepest: u32, chunk: Chunk) -> u64 {
    let is_first_in_table = |level: u32| {
        // A table at `level` covers what one entry of the level above covers.
        let frames = 1 << geometry::entry_shift(level.saturating_sub(1));
        chunk.offset == 0 || chunk.start.is_multiple_of(frames)
    };
    (found + 1..=deepest).filter(|&level| is_first_in_table(level)).count() as u64
}

/// Whether an empty entry at the walk's end is where `chunk` becomes a 2 MiB leaf.
pub(super) fn becomes_block(entry: &Entry<'_>, chunk: Chunk, pfn: Pfn, largest: PageSize) -> bool {
    !entry.is_page() && fits_block(chunk, pfn, largest) && entry.raw & descriptor::VALID == 0
}
