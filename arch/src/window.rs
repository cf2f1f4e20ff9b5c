//! How code at EL2 reaches a physical page that holds a table.
//!
//! A table names its children by physical frame; a [`Window`] turns the frame into a reference. An
//! image that maps its table pages one to one uses [`Identity`], tests and small images an [`Arena`].

use crate::stage2::Table;
use tenure_abi::{Error, FrameRange, Pfn};

/// A view of the physical pages that may hold tables.
///
/// # Safety
/// `table` answers the same page for the same frame each time. The page stays mapped, readable and
/// writable while `self` is borrowed, and all code reaches it by atomic accesses only.
pub unsafe trait Window: Sync {
    /// The page `pfn` as a table; `None` if it is not mapped here.
    fn table(&self, pfn: Pfn) -> Option<&Table>;
}

/// Frames that are mapped at their own physical address.
pub struct Identity {
    first: u64,
    count: u64,
}

impl Identity {
    /// The frames of `range`.
    ///
    /// # Safety
    /// For as long as the value lives, each of them is mapped writable at the address that equals its
    /// physical address whenever it is used as a table, and is then reached by atomic accesses only.
    pub unsafe fn new(range: FrameRange<Pfn>) -> Self {
        Self { first: range.first().number(), count: range.count() }
    }
}

// SAFETY: the maker of the value promised the mapping; addresses are a function of the frame alone.
unsafe impl Window for Identity {
    #[inline]
    fn table(&self, pfn: Pfn) -> Option<&Table> {
        if pfn.number().wrapping_sub(self.first) >= self.count {
            return None;
        }
        let page = core::ptr::with_exposed_provenance::<Table>(usize::try_from(pfn.address()).ok()?);
        // SAFETY: the frame lies in the range that the maker promised is mapped; frames are 4 KiB
        // aligned, and every bit pattern is a table.
        Some(unsafe { &*page })
    }
}

/// Pages in a fixed array that stand for the frames from `first` on.
pub struct Arena<const PAGES: usize> {
    first: Pfn,
    tables: [Table; PAGES],
}

impl<const PAGES: usize> Arena<PAGES> {
    /// Zeroed pages for the frames `first .. first + PAGES`.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the last frame would lie beyond a 52-bit address.
    pub const fn new(first: Pfn) -> Result<Self, Error> {
        match first.checked_add(PAGES as u64) {
            Some(_) => Ok(Self { first, tables: [const { Table::new() }; PAGES] }),
            None => Err(Error::Invalid),
        }
    }

    /// The frame of page `index`, if there is such a page.
    pub fn frame(&self, index: usize) -> Option<Pfn> {
        self.first.checked_add(index as u64).filter(|_| index < PAGES)
    }
}

// SAFETY: the pages are part of the value, and a `Table` can only be accessed atomically.
unsafe impl<const PAGES: usize> Window for Arena<PAGES> {
    #[inline]
    fn table(&self, pfn: Pfn) -> Option<&Table> {
        let index = pfn.number().checked_sub(self.first.number())?;
        self.tables.get(usize::try_from(index).ok()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arena_answers_its_own_frames_only() {
        let first = Pfn::new(100).unwrap();
        let arena = Arena::<3>::new(first).unwrap();
        for (number, inside) in [(99, false), (100, true), (102, true), (103, false), (0, false)] {
            assert_eq!(arena.table(Pfn::new(number).unwrap()).is_some(), inside, "{number}");
        }
        assert_eq!(arena.frame(2), Pfn::new(102).ok());
        assert_eq!(arena.frame(3), None);
        assert!(Arena::<3>::new(Pfn::new((1 << 40) - 2).unwrap()).is_err());
    }

    #[test]
    fn an_identity_window_answers_its_range_only() {
        let tables = [const { Table::new() }; 2];
        let base = tables.as_ptr().expose_provenance() as u64;
        let first = Pfn::from_address(base).unwrap();
        let range = FrameRange::new(first, 2, tenure_abi::AddressWidth::MAX).unwrap();
        // SAFETY: the array is mapped where it is, lives to the end of the test and is atomic.
        let window = unsafe { Identity::new(range) };
        window.table(first.checked_add(1).unwrap()).unwrap().store(7, 42);
        assert_eq!(tables[1].load(7), 42);
        assert!(window.table(first.checked_add(2).unwrap()).is_none());
        assert!(window.table(Pfn::new(first.number() - 1).unwrap()).is_none());
    }
}
