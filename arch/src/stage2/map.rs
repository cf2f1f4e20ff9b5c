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
    pub(super) level: u32,
    /// What it held when the walk read it.
    pub(super) raw: u64,
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
        let map = Self { window, geometry, context: Vttbr::new(first, vmid)?, root: first.number() };
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
        let mut level = self.geometry.start_level();
        let mut shift = geometry::entry_shift(level);
        let at_root = number >> shift;
        let mut table = self.root_table(at_root / ENTRIES as u64).ok_or(Error::Internal)?;
        loop {
            let index = (number >> shift) as usize;
            let raw = table.load(index);
            if level >= stop || !descriptor::is_table(raw) {
                return Ok(Entry { table, index, level, raw });
            }
            table = self.window.table(descriptor::frame(raw)).ok_or(Error::Internal)?;
            level += 1;
            shift = shift.saturating_sub(9);
        }
    }

    /// As [`Stage2::walk`], with the error at its address.
    #[inline]
    pub(super) fn walk_at(&self, number: u64, stop: u32) -> Result<Entry<'w>, Located<Error>> {
        self.walk(number, stop).map_err(|error| at(error, number))
    }

    /// What `gfn` leads to. An address beyond the map is empty.
    #[inline]
    pub fn lookup(&self, gfn: Gfn) -> Lookup {
        let entry = match self.walk(gfn.number(), LAST_LEVEL) {
            Ok(entry) => entry,
            Err(Error::Invalid) => return Lookup::Empty,
            Err(_) => return Lookup::Damaged,
        };
        if entry.raw & descriptor::VALID == 0 {
            return match Descriptor::decode(entry.raw, entry.level) {
                Descriptor::Empty => Lookup::Empty,
                Descriptor::Note(note) => Lookup::Note(note),
                _ => Lookup::Damaged,
            };
        }
        let page = entry.level == LAST_LEVEL;
        let Some(size) = geometry::leaf_size(entry.level) else { return Lookup::Damaged };
        // The walk went through every table, so only a level-3 block can be left to refuse.
        if page && !descriptor::is_table(entry.raw) {
            return Lookup::Damaged;
        }
        let inside = gfn.number() & (size.frames() - 1);
        let number = descriptor::frame(entry.raw).number() | inside;
        match Pfn::new(number) {
            Ok(pfn) => Lookup::Leaf(Leaf { pfn, size, raw: entry.raw }),
            Err(_) => Lookup::Damaged,
        }
    }
}

/// `error` at guest frame `number`; at no page if there is no such frame.
#[cold]
pub(super) fn at(error: Error, number: u64) -> Located<Error> {
    Gfn::new(number).map_or(Located::call(error), |gfn| Located::gfn(error, gfn))
}
