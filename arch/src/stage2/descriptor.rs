//! Stage-2 descriptors: 4 KiB granule, 48-bit output addresses, VMSAv8-64 (no LPA2).
//!
//! | bits | valid leaf | table | invalid |
//! |---|---|---|---|
//! | 0 | 1 | 1 | 0 |
//! | 1 | page (level 3) 1, block (levels 1, 2) 0 | 1 | note: type, low bit |
//! | 2..=3 | `MemAttr[1:0]` | ignored | note: type, high bits |
//! | 4..=5 | `MemAttr[3:2]` | ignored | 0 |
//! | 6, 7 | `S2AP`: read, write | ignored | 0 |
//! | 8..=9 | `SH` | ignored | 0 |
//! | 10 | `AF` | ignored | 0 |
//! | 12..=47 | output address | next table | payload of the type |
//! | 53..=54 | `XN` | ignored | 0 |
//!
//! The walkers ignore all of an invalid descriptor but bit 0, so software keeps notes there:
//!
//! | type | level | payload | meaning |
//! |---|---|---|---|
//! | 0 | any | 0 | empty: nothing was ever here, or it was unmapped |
//! | 1 | 3 | 0 | [`Note::Poisoned`] |
//! | 2 | 3 | 0 | [`Note::MmioGuard`] |
//! | 7 | below 3 | a table | being replaced: broken, and not made again yet |
//!
//! Source: Arm ARM DDI 0487, section "VMSAv8-64 translation table format descriptors".

use super::geometry::{LAST_LEVEL, leaf_size};
use tenure_abi::service::Prot;
use tenure_abi::{Error, PageSize, Pfn};

/// Bit 0: the walkers use this descriptor.
pub const VALID: u64 = 1 << 0;
/// Bit 1: a table (levels 0 to 2) or a page (level 3).
pub const TABLE_OR_PAGE: u64 = 1 << 1;
/// `S2AP[0]`: loads are allowed.
pub const S2AP_R: u64 = 1 << 6;
/// `S2AP[1]`: stores are allowed.
pub const S2AP_W: u64 = 1 << 7;
/// `SH`: inner shareable.
pub const SH_INNER: u64 = 0b11 << 8;
/// `AF`: the first access was taken; without it the walker faults.
pub const AF: u64 = 1 << 10;
/// Bits 12..=47: output address or next table.
pub const ADDRESS: u64 = ((1 << 48) - 1) & !0xfff;
/// `XN[1:0]` 0b10: no execution at EL1 and EL0, with and without `FEAT_XNX`.
pub const XN: u64 = 0b10 << 53;
/// Every bit of a leaf that says what may be done with it rather than where it leads.
const ATTRIBUTES: u64 = 0b11 << 53 | 0x7fc;
/// `MemAttr[3:0]`.
const MEM_ATTR: u64 = 0xf << 2;
/// Type field of an invalid descriptor.
const TYPE: u64 = 0b111 << 1;
const TYPE_POISONED: u64 = 1 << 1;
const TYPE_MMIO_GUARD: u64 = 2 << 1;
const TYPE_BREAKING: u64 = 7 << 1;

/// How memory behind a leaf is accessed: `MemAttr` and `SH`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Memory {
    /// Normal write-back, if stage 1 says so too.
    Normal,
    /// Normal write-back whatever stage 1 says; means that only where `HCR_EL2.FWB` is 1.
    NormalForced,
    /// Device-nGnRE.
    Device,
}

impl Memory {
    const fn bits(self) -> u64 {
        match self {
            Self::Normal => 0b1111 << 2 | SH_INNER,
            Self::NormalForced => 0b0110 << 2 | SH_INNER,
            Self::Device => 0b0001 << 2,
        }
    }
}

/// What a leaf allows, and how: everything but its address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attributes(u64);

impl Attributes {
    /// Normal memory that may be read, written and executed.
    pub const NORMAL_RWX: Self = Self::new(Memory::Normal, Prot::all());
    /// A device that may be read and written.
    pub const DEVICE_RW: Self = Self::new(Memory::Device, Prot::R.union(Prot::W));

    /// `memory` on which `prot` is allowed.
    pub const fn new(memory: Memory, prot: Prot) -> Self {
        let r = if prot.contains(Prot::R) { S2AP_R } else { 0 };
        let w = if prot.contains(Prot::W) { S2AP_W } else { 0 };
        let xn = if prot.contains(Prot::X) { 0 } else { XN };
        Self(memory.bits() | AF | r | w | xn)
    }

    /// What is allowed.
    pub const fn prot(self) -> Prot {
        let r = if self.0 & S2AP_R != 0 { Prot::R } else { Prot::empty() };
        let w = if self.0 & S2AP_W != 0 { Prot::W } else { Prot::empty() };
        let x = if self.0 & XN == 0 { Prot::X } else { Prot::empty() };
        r.union(w).union(x)
    }

    /// The kind of memory, if it is one that [`Memory`] names.
    pub const fn memory(self) -> Option<Memory> {
        match (self.0 & MEM_ATTR) >> 2 {
            0b1111 => Some(Memory::Normal),
            0b0110 => Some(Memory::NormalForced),
            0b0001 => Some(Memory::Device),
            _ => None,
        }
    }

    /// The attribute bits of a leaf.
    #[inline]
    pub(super) const fn of(raw: u64) -> Self {
        Self(raw & ATTRIBUTES)
    }
}

/// What an address without a mapping is remembered for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Note {
    /// Burnt by a forced reclaim: nothing is ever mapped here again.
    Poisoned,
    /// The guest said that it is a device: accesses exit to the host.
    MmioGuard,
}

impl Note {
    /// Every note.
    pub const ALL: [Self; 2] = [Self::Poisoned, Self::MmioGuard];

    /// Its descriptor.
    pub const fn raw(self) -> u64 {
        match self {
            Self::Poisoned => TYPE_POISONED,
            Self::MmioGuard => TYPE_MMIO_GUARD,
        }
    }
}

/// A descriptor, understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Descriptor {
    /// All zeroes.
    Empty,
    /// No mapping, but a note.
    Note(Note),
    /// Leads to a table of the next level.
    Table(Pfn),
    /// Leads to memory.
    Leaf {
        /// The first frame.
        pfn: Pfn,
        /// How much.
        size: PageSize,
        /// What is allowed.
        attributes: Attributes,
    },
    /// Broken and about to lead to this table; seen only by whoever holds the map's lock meanwhile.
    Breaking(Pfn),
    /// Nothing that this crate writes: the map is damaged.
    Malformed,
}

impl Descriptor {
    /// What `raw` means at `level`. Total: there is no value it does not know what to do with.
    pub fn decode(raw: u64, level: u32) -> Self {
        if raw & VALID == 0 {
            return Self::decode_invalid(raw, level);
        }
        let pfn = frame(raw);
        match (raw & TABLE_OR_PAGE != 0, level) {
            (true, 0..LAST_LEVEL) => Self::Table(pfn),
            (true, LAST_LEVEL) | (false, 1..LAST_LEVEL) => match leaf_size(level) {
                Some(size) if pfn.number().is_multiple_of(size.frames()) => {
                    Self::Leaf { pfn, size, attributes: Attributes::of(raw) }
                }
                _ => Self::Malformed,
            },
            _ => Self::Malformed,
        }
    }

    fn decode_invalid(raw: u64, level: u32) -> Self {
        match (raw, raw & TYPE, level) {
            (0, ..) => Self::Empty,
            (TYPE_POISONED, _, LAST_LEVEL) => Self::Note(Note::Poisoned),
            (TYPE_MMIO_GUARD, _, LAST_LEVEL) => Self::Note(Note::MmioGuard),
            (_, TYPE_BREAKING, 0..LAST_LEVEL) if raw & !(ADDRESS | TYPE) == 0 => Self::Breaking(frame(raw)),
            _ => Self::Malformed,
        }
    }
}

/// The frame in the address field of `raw`.
#[inline]
pub(crate) const fn frame(raw: u64) -> Pfn {
    match Pfn::from_address(raw & ADDRESS) {
        Ok(pfn) => pfn,
        // 48 bits without the low 12 are always a frame: the compiler drops this arm.
        Err(_) => ZERO,
    }
}

const ZERO: Pfn = match Pfn::new(0) {
    Ok(pfn) => pfn,
    Err(_) => panic!("frame 0 exists"),
};

/// The descriptor of a leaf of `size`.
///
/// # Errors
/// [`Error::Invalid`] if `pfn` is not a multiple of the size or lies beyond 48 bits.
pub fn leaf(pfn: Pfn, size: PageSize, attributes: Attributes) -> Result<u64, Error> {
    if pfn.address() & !ADDRESS != 0 || !pfn.number().is_multiple_of(size.frames()) {
        return Err(Error::Invalid);
    }
    Ok(leaf_unchecked(pfn, size, attributes))
}

/// As [`leaf`], for frames whose whole range was checked before.
#[inline]
pub(super) const fn leaf_unchecked(pfn: Pfn, size: PageSize, attributes: Attributes) -> u64 {
    let page = if matches!(size, PageSize::Size4K) { TABLE_OR_PAGE } else { 0 };
    pfn.address() & ADDRESS | attributes.0 | page | VALID
}

/// The descriptor that leads to the table `pfn`.
#[inline]
pub(super) const fn table(pfn: Pfn) -> u64 {
    pfn.address() & ADDRESS | TABLE_OR_PAGE | VALID
}

/// The descriptor that remembers the table `pfn` while the entry is broken.
pub(super) const fn breaking(pfn: Pfn) -> u64 {
    pfn.address() & ADDRESS | TYPE_BREAKING
}

/// Whether `raw` leads to a table at a level below the last.
#[inline]
pub(super) const fn is_table(raw: u64) -> bool {
    raw & (VALID | TABLE_OR_PAGE) == VALID | TABLE_OR_PAGE
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADDR: u64 = 0x1234_4000_0000;

    fn pfn() -> Pfn {
        Pfn::from_address(ADDR).unwrap()
    }

    #[test]
    fn every_level_and_low_bit_pattern_has_its_meaning() {
        for level in 0..=4 {
            for low in 0..16u64 {
                let expected = match (low & 3, level) {
                    (3, 0..=2) => Descriptor::Table(pfn()),
                    (3, 3) => {
                        Descriptor::Leaf { pfn: pfn(), size: PageSize::Size4K, attributes: Attributes(low & 0xc) }
                    }
                    (1, 2) => {
                        Descriptor::Leaf { pfn: pfn(), size: PageSize::Size2M, attributes: Attributes(low & 0xc) }
                    }
                    (1, 1) => {
                        Descriptor::Leaf { pfn: pfn(), size: PageSize::Size1G, attributes: Attributes(low & 0xc) }
                    }
                    (2, 0..=2) if low == 14 => Descriptor::Breaking(pfn()),
                    _ => Descriptor::Malformed,
                };
                assert_eq!(Descriptor::decode(ADDR | low, level), expected, "level {level} low {low:#x}");
                // Without an address the invalid ones are notes, or nothing.
                let expected = match (low, level) {
                    (0, _) => Some(Descriptor::Empty),
                    (2, 3) => Some(Descriptor::Note(Note::Poisoned)),
                    (4, 3) => Some(Descriptor::Note(Note::MmioGuard)),
                    (14, 0..=2) => Some(Descriptor::Breaking(ZERO)),
                    _ if low & 1 == 0 => Some(Descriptor::Malformed),
                    _ => None,
                };
                if let Some(expected) = expected {
                    assert_eq!(Descriptor::decode(low, level), expected, "level {level} low {low:#x}");
                }
            }
        }
    }

    #[test]
    fn a_single_stray_bit_makes_a_note_malformed() {
        for note in Note::ALL {
            assert_eq!(Descriptor::decode(note.raw(), 3), Descriptor::Note(note));
            for bit in 4..64 {
                assert_eq!(Descriptor::decode(note.raw() | 1 << bit, 3), Descriptor::Malformed, "{note:?} bit {bit}");
            }
        }
    }

    #[test]
    fn a_block_that_is_not_aligned_to_its_size_is_malformed() {
        assert_eq!(Descriptor::decode(0x1000 | VALID, 2), Descriptor::Malformed);
        assert_eq!(Descriptor::decode(0x20_0000 | VALID, 1), Descriptor::Malformed);
    }

    #[test]
    fn leaves_have_the_bits_of_the_manual_and_survive_decoding() {
        let rwx = leaf(pfn(), PageSize::Size4K, Attributes::NORMAL_RWX).unwrap();
        assert_eq!(rwx, ADDR | 0x7ff);
        let device = leaf(pfn(), PageSize::Size2M, Attributes::DEVICE_RW).unwrap();
        assert_eq!(device, ADDR | 1 << 54 | 0x4c5);
        for memory in [Memory::Normal, Memory::NormalForced, Memory::Device] {
            for bits in 0..8 {
                let prot = Prot::from_bits(bits).unwrap();
                let attributes = Attributes::new(memory, prot);
                assert_eq!((attributes.memory(), attributes.prot()), (Some(memory), prot));
                for (size, level) in [(PageSize::Size4K, 3), (PageSize::Size2M, 2), (PageSize::Size1G, 1)] {
                    let raw = leaf(pfn(), size, attributes).unwrap();
                    assert_eq!(Descriptor::decode(raw, level), Descriptor::Leaf { pfn: pfn(), size, attributes });
                }
            }
        }
    }

    #[test]
    fn unaligned_and_far_frames_are_no_leaves() {
        let leaf = |number, size| leaf(Pfn::new(number).unwrap(), size, Attributes::NORMAL_RWX);
        assert_eq!(leaf(511, PageSize::Size2M), Err(Error::Invalid));
        assert_eq!(leaf(1 << 36, PageSize::Size4K), Err(Error::Invalid));
        assert!(leaf((1 << 36) - 1, PageSize::Size4K).is_ok());
    }
}
