//! Where things are in the guest's address space, and the values the two sides write.
//!
//! | IPA | what |
//! |---|---|
//! | `0900_0000` | the mailbox: nothing is mapped there, every store exits |
//! | `4000_0000` | RAM: the blob, entered at its first byte with the MMU off |
//! | `4004_0000` | the end of the guest's stack |
//! | `4010_0000` | single pages under test, [`Page`] |
//! | `4020_0000` | a run of 1024 pages under test, aligned to 2 MiB |
//! | `4080_0000` | the end of RAM |

/// First byte of the guest's RAM, and its entry point.
pub const RAM_BASE: u64 = 0x4000_0000;
/// Size of the guest's RAM in bytes: 8 MiB.
pub const RAM_BYTES: u64 = 0x80_0000;
/// The most bytes a guest blob may have.
pub const BLOB_MAX: u64 = 0x2_0000;
/// One past the highest byte of the guest's stack.
pub const STACK_TOP: u64 = RAM_BASE + 0x4_0000;
/// First byte of the run of pages that range calls work on.
pub const RANGE_BASE: u64 = RAM_BASE + 0x20_0000;
/// How many 4 KiB pages the largest range call asks for: one 2 MiB leaf.
pub const RANGE_PAGES: u64 = 512;
/// The mailbox page.
pub const MAILBOX: u64 = 0x0900_0000;
/// The mailbox's size in bytes.
pub const MAILBOX_BYTES: u64 = 0x1000;

/// What the host leaves in [`Page::A`] before the guest runs.
pub const HOST_LEFT_A: u64 = 0x1111_1111;
/// What the host leaves in [`Page::B`] before the guest runs.
pub const HOST_LEFT_B: u64 = 0x2222_2222;
/// What the host leaves in [`Page::C`] before the guest runs.
pub const HOST_LEFT_C: u64 = 0x3333_3333;
/// What the host stores whenever the guest asks it to store.
pub const HOST_VALUE: u64 = 0xb0b0_b0b0;
/// What the guest stores while a page is private.
pub const GUEST_PRIVATE: u64 = 0xa0a0_a0a0;
/// What the guest stores after it has shared a page.
pub const GUEST_SHARED: u64 = 0xc0c0_c0c0;
/// What the guest stores last, before it unshares or goes away.
pub const GUEST_LAST: u64 = 0xd0d0_d0d0;

/// The pages that scenarios name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Page {
    /// The page most scenarios convert; the guest touches it first.
    A,
    /// A page the guest shares without having touched it.
    B,
    /// A page the guest never touches.
    C,
    /// The first page of the range.
    RangeFirst,
    /// The last page of a full range.
    RangeLast,
    /// The page after a full range.
    RangeNext,
    /// An address where the guest has no memory.
    Outside,
}

impl Page {
    /// Every page a scenario names.
    pub const ALL: [Self; 7] =
        [Self::A, Self::B, Self::C, Self::RangeFirst, Self::RangeLast, Self::RangeNext, Self::Outside];

    /// Its guest-physical address.
    pub const fn ipa(self) -> u64 {
        match self {
            Self::A => RAM_BASE + 0x10_0000,
            Self::B => RAM_BASE + 0x10_1000,
            Self::C => RAM_BASE + 0x10_2000,
            Self::RangeFirst => RANGE_BASE,
            Self::RangeLast => RANGE_BASE + (RANGE_PAGES - 1) * 0x1000,
            Self::RangeNext => RANGE_BASE + RANGE_PAGES * 0x1000,
            Self::Outside => 0x8000_0000,
        }
    }

    /// The page at guest-physical address `ipa`.
    pub fn at(ipa: u64) -> Option<Self> {
        Self::ALL.into_iter().find(|page| page.ipa() == ipa)
    }

    /// Its name in an observation.
    pub const fn name(self) -> &'static str {
        match self {
            Self::A => "page_a",
            Self::B => "page_b",
            Self::C => "page_c",
            Self::RangeFirst => "range_first",
            Self::RangeLast => "range_last",
            Self::RangeNext => "range_next",
            Self::Outside => "outside_ram",
        }
    }
}

/// The bytes the host writes before the guest's first instruction, as (address, value).
pub const HOST_LEFT: [(u64, u64); 3] =
    [(Page::A.ipa(), HOST_LEFT_A), (Page::B.ipa(), HOST_LEFT_B), (Page::C.ipa(), HOST_LEFT_C)];

/// What the guest stores to page `index` of the range.
pub const fn range_value(index: u64) -> u64 {
    0x5a5a_0000_0000_0000 | index
}

/// Which page round `round` of the storm converts: eight pages, some of them in one 2 MiB region.
pub const fn storm_ipa(round: u64) -> u64 {
    RANGE_BASE + (round % 8) * 0x4_1000
}

/// What the guest stores in round `round` of the storm, after sharing.
pub const fn storm_guest_value(round: u64) -> u64 {
    0x6e5d_0000_0000_0000 ^ round.wrapping_mul(0x9e37_79b9)
}

/// What the host stores in round `round` of the storm, after it has checked the guest's value.
pub const fn storm_host_value(round: u64) -> u64 {
    !storm_guest_value(round)
}
