//! A stage-2 map, and what an address leads to in it.
//!
//! A [`Stage2`] is a handle on tables in memory. It holds no lock: its methods take `&self`, and the
//! caller holds the lock that guards the entries concerned, usually the one the handle is kept behind.
//! Once [`Stage2::prepare`] has built the tables down to level 2, changes inside different 2 MiB
//! regions touch no common entry, so each region may be guarded by a lock of its own.

use super::descriptor::{self, Attributes, Descriptor, Note};
use super::geometry::{self, Geometry, LAST_LEVEL};
use super::table::{ENTRIES, Table};
use crate::tlb::Vttbr;
use crate::window::Window;
use tenure_abi::{Error, FrameRange, Gfn, Located, PageSize, Pfn};

/// One stage-2 map.
pub struct Stage2<'w, W: Window> {
    pub(super) window: &'w W,
    pub(super) geometry: Geometry,
    pub(super) context: Vttbr,
    /// Frame number of the first root table, a multiple of their number.
    root: u64,
    /// log2 of the frames that a root entry covers.
    start_shift: u32,
}

/// What an address leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// Memory.
    Leaf(Leaf),
    /// No memory, but a note.
    Note(Note),
    /// Nothing.
    Empty,
    /// The tables are damaged here: a contradiction for the caller to contain.
    Damaged,
}

/// The leaf that maps an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// The frame of the address that was looked up, not of the leaf's start.
    pub pfn: Pfn,
    /// The size of the leaf.
    pub size: PageSize,
    /// Its descriptor.
    pub raw: u64,
}

impl Leaf {
    /// What it allows, and as what kind of memory.
    pub const fn attributes(self) -> Attributes {
        Attributes::of(self.raw)
    }

    /// Whether stores are allowed.
    #[inline]
    pub const fn writable(self) -> bool {
        self.raw & descriptor::S2AP_W != 0
    }
}

/// An entry that a walk ended at.
pub(super) struct Entry<'a> {
    pub(super) table: &'a Table,
    /// Its place in the table, modulo 512.
    pub(super) index: usize,
    /// log2 of the frames it covers: 27, 18, 9 or 0.
    shift: u32,
    /// What it held when the walk read it.
    pub(super) raw: u64,
}

impl Entry<'_> {
    /// The level of its table: 0..=3.
    #[inline]
    pub(super) const fn level(&self) -> u32 {
        geometry::entry_level(self.shift)
    }

    /// Whether it stands in a level-3 table.
    #[inline]
    pub(super) const fn is_page(&self) -> bool {
        self.shift == 0
    }
}

impl<'w, W: Window> Stage2<'w, W> {
    /// An empty map of shape `geometry` in the root tables `root`, which are zeroed, tagged `vmid`.
    ///
    /// # Errors
    /// [`Error::Invalid`] if `root` has not exactly the number of tables, or its first frame is not a
    /// multiple of it; [`Error::Fault`] if the window does not reach them.
    ///
    /// # Safety
    /// The root tables, and every page that a later call takes for a table, belong to this map alone.
    /// For each 2 MiB of guest addresses at most one call is in progress at a time, and at most one in
    /// the whole map if it creates or frees a table above level 3.
    pub unsafe fn new(root: FrameRange<Pfn>, geometry: Geometry, vmid: u16, window: &'w W) -> Result<Self, Error> {
        let first = root.first();
        if root.count() != geometry.root_tables() || !first.number().is_multiple_of(root.count()) {
            return Err(Error::Invalid);
        }
        let map = Self {
            window,
            geometry,
            context: Vttbr::new(first, vmid)?,
            root: first.number(),
            start_shift: geometry::entry_shift(geometry.start_level()),
        };
        for i in 0..root.count() {
            map.root_table(i).ok_or(Error::Fault)?;
        }
        for i in 0..root.count() {
            map.root_table(i).ok_or(Error::Fault)?.fill(0);
        }
        Ok(map)
    }

    /// Its shape.
    pub const fn geometry(&self) -> Geometry {
        self.geometry
    }

    /// Root and VMID, as they go into `VTTBR_EL2`.
    #[inline]
    pub const fn context(&self) -> Vttbr {
        self.context
    }

    /// Root table `i` modulo their number, which keeps a mispredicted walk inside the root.
    #[inline]
    pub(super) fn root_table(&self, i: u64) -> Option<&'w Table> {
        let number = self.root | (i & (self.geometry.root_tables() - 1));
        self.window.table(Pfn::new(number).ok()?)
    }

    /// The deepest entry for `number` at or above level `stop`.
    #[inline]
    pub(super) fn walk(&self, number: u64, stop: u32) -> Result<Entry<'w>, Error> {
        if number >= self.geometry.frames() {
            return Err(Error::Invalid);
        }
        let last = geometry::entry_shift(stop);
        let mut shift = self.start_shift;
        let mut table = self.root_table((number >> shift) / ENTRIES as u64).ok_or(Error::Internal)?;
        loop {
            let index = (number >> shift) as usize;
            let raw = table.load(index);
            // Shifts are multiples of 9: one that is above `last` is at least 9.
            if shift <= last || !descriptor::is_table(raw) {
                return Ok(Entry { table, index, shift, raw });
            }
            table = self.window.table(descriptor::frame(raw)).ok_or(Error::Internal)?;
            shift -= geometry::INDEX_BITS;
        }
    }

    /// As [`Stage2::walk`], with the error at its address.
    #[inline]
    pub(super) fn walk_at(&self, number: u64, stop: u32) -> Result<Entry<'w>, Located<Error>> {
        self.walk(number, stop).map_err(|error| at(error, number))
    }

    /// The frame `gfn` is mapped to and the size of the leaf, if it is mapped: [`Stage2::lookup`] for who needs to know no
    /// more, in registers.
    #[inline]
    pub fn frame(&self, gfn: Gfn) -> Option<(Pfn, PageSize)> {
        let entry = self.walk(gfn.number(), LAST_LEVEL).ok()?;
        // The walk went on at every table, so bits 0 and 1 tell leaves from the rest, once the level is known.
        let (size, kind) = match entry.shift {
            0 => (PageSize::Size4K, descriptor::VALID | descriptor::TABLE_OR_PAGE),
            9 => (PageSize::Size2M, descriptor::VALID),
            18 => (PageSize::Size1G, descriptor::VALID),
            _ => return None,
        };
        if entry.raw & (descriptor::VALID | descriptor::TABLE_OR_PAGE) != kind {
            return None;
        }
        let inside = gfn.number() & (size.frames() - 1);
        Some((Pfn::new(descriptor::frame(entry.raw).number() | inside).ok()?, size))
    }

    /// What `gfn` leads to. An address beyond the map is empty.
    #[inline]
    pub fn lookup(&self, gfn: Gfn) -> Lookup {
        let entry = match self.walk(gfn.number(), LAST_LEVEL) {
            Ok(entry) => entry,
            Err(Error::Invalid) => return Lookup::Empty,
            Err(_) => return Lookup::Damaged,
        };
        // The walk went on at every table, so a valid entry is a leaf, if its level has leaves.
        let size = match entry.shift {
            _ if entry.raw & descriptor::VALID == 0 => return unmapped(entry.raw, entry.level()),
            0 if descriptor::is_table(entry.raw) => PageSize::Size4K,
            9 => PageSize::Size2M,
            18 => PageSize::Size1G,
            _ => return Lookup::Damaged,
        };
        let inside = gfn.number() & (size.frames() - 1);
        match Pfn::new(descriptor::frame(entry.raw).number() | inside) {
            Ok(pfn) => Lookup::Leaf(Leaf { pfn, size, raw: entry.raw }),
            Err(_) => Lookup::Damaged,
        }
    }
}

/// What an address is whose walk ended at the invalid entry `raw`.
fn unmapped(raw: u64, level: u32) -> Lookup {
    match Descriptor::decode(raw, level) {
        Descriptor::Empty => Lookup::Empty,
        Descriptor::Note(note) => Lookup::Note(note),
        _ => Lookup::Damaged,
    }
}

/// `error` at guest frame `number`; at no page if there is no such frame.
#[cold]
pub(super) fn at(error: Error, number: u64) -> Located<Error> {
    Gfn::new(number).map_or(Located::call(error), |gfn| Located::gfn(error, gfn))
}
