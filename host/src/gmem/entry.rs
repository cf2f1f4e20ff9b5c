//! What is known of one page of a file that is backed: 8 bytes.
//!
//! | bits | what |
//! |---|---|
//! | 0 | 1: backed. A page that is not backed is the word 0 |
//! | 1 | 0: this is an entry, not a link to a node |
//! | 2..4 | size of the hardware's entry while assigned: 0 4K, 1 2M, 2 1G |
//! | 4 | [`Facts::INITIALISED`] |
//! | 5 | [`Facts::POPULATED`] |
//! | 6 | [`Facts::ASSIGNED`] |
//! | 7 | [`Facts::MAPPED`] |
//! | 8 | [`Facts::POISONED`] |
//! | 9..12 | 0 |
//! | 12..52 | pfn |
//! | 52..62 | slot of the guest it is assigned to, while assigned |
//! | 62..64 | 0 |
//!
//! Entries of neighbours that differ in nothing but consecutive pfns differ as words by 2^12 a page.

use tenure_abi::{PAGE_SHIFT, PageSize, Pfn, VmSlot};

const BACKED: u64 = 1;
const SIZE_SHIFT: u32 = 2;
const SIZE_MASK: u64 = 3 << SIZE_SHIFT;
const OWNER_SHIFT: u32 = 52;
const OWNER_MASK: u64 = (VmSlot::COUNT as u64 - 1) << OWNER_SHIFT;
const PFN_MASK: u64 = ((1 << 40) - 1) << PAGE_SHIFT;
/// What says to whom a page is assigned, if it is.
const ASSIGNMENT: u64 = OWNER_MASK | SIZE_MASK | Facts::ASSIGNED.bits();

bitflags::bitflags! {
    /// The facts about a backed page, none of which follows from another.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub struct Facts: u64 {
        /// Its content was made by its one initialiser: zeroed at first use, or populated.
        const INITIALISED = 1 << 4;
        /// Launch content was copied in and given to the platform.
        const POPULATED = 1 << 5;
        /// The hardware says that it is the guest's.
        const ASSIGNED = 1 << 6;
        /// A guest may have it mapped.
        const MAPPED = 1 << 7;
        /// A memory error was reported for it.
        const POISONED = 1 << 8;
    }
}

/// What is known of a backed page.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Entry(u64);

impl Entry {
    /// A page backed by `pfn`; `hw` counts while it is assigned.
    pub const fn new(pfn: Pfn, facts: Facts, hw: PageSize) -> Self {
        Self(pfn.address() & PFN_MASK | facts.bits() & Facts::all().bits() | (hw as u64) << SIZE_SHIFT | BACKED)
    }

    /// A page without facts on a frame that does not count.
    pub(super) const NOWHERE: Self = Self(BACKED);

    /// The entry in a word that is no link; `None` where nothing is backed.
    #[inline]
    pub(super) const fn from_word(word: u64) -> Option<Self> {
        if word & BACKED == 0 { None } else { Some(Self(word)) }
    }

    #[inline]
    pub(super) const fn word(self) -> u64 {
        self.0
    }

    /// The entry of the page `pages` further on, of the same backing.
    #[inline]
    pub(super) const fn further(self, pages: u64) -> Self {
        Self(self.0 & !PFN_MASK | self.0.wrapping_add(pages << PAGE_SHIFT) & PFN_MASK)
    }

    /// Whether `other`, `pages` further on, is of the same facts and on the frame that follows: there is none after the last.
    #[inline]
    pub(super) const fn goes_on(self, pages: u64, other: Self) -> bool {
        self.further(pages).0 == other.0 && self.0 & PFN_MASK <= other.0 & PFN_MASK
    }

    /// Whether the word `next`, `pages` behind `word`, goes on where that ends, or neither is backed. None of them is a link.
    #[inline]
    pub(super) const fn follows(word: u64, pages: u64, next: u64) -> bool {
        if word & BACKED == 0 {
            return next == word;
        }
        // The last frame of all has none after it.
        next == word.wrapping_add(pages << PAGE_SHIFT) && (word ^ next) & !PFN_MASK == 0
    }

    /// Whether two words, none of which is a link, are of pages with the same [owner](Entry::owner), or both without.
    #[inline]
    pub(super) const fn same_owner(word: u64, other: u64) -> bool {
        (word ^ other) & (OWNER_MASK | Facts::ASSIGNED.bits()) == 0
    }

    /// The host frame.
    ///
    /// # Panics
    /// Never: every number of 40 bits is a frame.
    #[inline]
    pub const fn pfn(self) -> Pfn {
        match Pfn::from_address(self.0 & PFN_MASK) {
            Ok(pfn) => pfn,
            Err(_) => unreachable!(),
        }
    }

    /// The facts.
    #[inline]
    pub const fn facts(self) -> Facts {
        Facts::from_bits_truncate(self.0)
    }

    /// The size of the hardware's entry, while [`Facts::ASSIGNED`].
    #[inline]
    pub const fn hw(self) -> PageSize {
        match (self.0 & SIZE_MASK) >> SIZE_SHIFT {
            0 => PageSize::Size4K,
            1 => PageSize::Size2M,
            _ => PageSize::Size1G,
        }
    }

    /// The same page with other facts.
    #[inline]
    #[must_use]
    pub const fn with_facts(self, facts: Facts) -> Self {
        Self(self.0 & !Facts::all().bits() | facts.bits() & Facts::all().bits())
    }

    /// The same page under a hardware entry of another size.
    #[inline]
    #[must_use]
    pub const fn with_hw(self, hw: PageSize) -> Self {
        Self(self.0 & !SIZE_MASK | (hw as u64) << SIZE_SHIFT)
    }

    /// A page that has just been given a frame: nothing else is known of it.
    pub const fn backed(pfn: Pfn) -> Self {
        Self::new(pfn, Facts::empty(), PageSize::Size4K)
    }

    /// The same page with `facts` besides.
    #[inline]
    #[must_use]
    pub const fn with(self, facts: Facts) -> Self {
        self.with_facts(self.facts().union(facts))
    }

    /// The same page without `facts`.
    #[inline]
    #[must_use]
    pub const fn without(self, facts: Facts) -> Self {
        self.with_facts(self.facts().difference(facts))
    }

    /// Whether all of `facts` hold.
    #[inline]
    pub const fn has(self, facts: Facts) -> bool {
        self.facts().contains(facts)
    }

    /// Assigned to the guest in `slot`, in a hardware entry of size `hw`.
    #[inline]
    #[must_use]
    pub const fn assigned_to(self, slot: VmSlot, hw: PageSize) -> Self {
        let slot = (slot.index() as u64) << OWNER_SHIFT;
        Self(self.0 & !OWNER_MASK | slot).with_hw(hw).with(Facts::ASSIGNED)
    }

    /// Not assigned to anybody.
    #[inline]
    #[must_use]
    pub const fn unassigned(self) -> Self {
        Self(self.0 & !OWNER_MASK).with_hw(PageSize::Size4K).without(Facts::ASSIGNED)
    }

    /// The slot of the guest it is assigned to; `None` while it is not.
    #[inline]
    pub fn owner(self) -> Option<VmSlot> {
        let slot = VmSlot::new(((self.0 & OWNER_MASK) >> OWNER_SHIFT) as u16).ok()?;
        self.has(Facts::ASSIGNED).then_some(slot)
    }

    /// This entry, assigned or not as `other` is, and with its facts besides.
    #[inline]
    pub(super) const fn assigned_like(self, other: Self) -> Self {
        Self(self.0 & !ASSIGNMENT | other.0 & !PFN_MASK)
    }

    /// This entry on the frame of `other`.
    #[inline]
    pub(super) const fn on_frame_of(self, other: Self) -> Self {
        Self(self.0 & !PFN_MASK | other.0 & PFN_MASK)
    }
}

impl core::fmt::Debug for Entry {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{:?} {:?} {:?}", self.pfn(), self.facts(), self.hw())
    }
}
