//! The shape of a stage-2 map: how wide, how many levels, how many root tables.
//!
//! Arm lets up to 16 tables stand side by side at the start level ("concatenated"), which saves a
//! level. The shape here is the shallowest one for a width, 4 KiB granule:
//!
//! | IPA bits | start level | root tables | `VTCR_EL2.SL0` |
//! |---|---|---|---|
//! | 32..=34 | 2 | 4, 8, 16 | 0 |
//! | 35..=39 | 1 | 1 | 1 |
//! | 40..=43 | 1 | 2, 4, 8, 16 | 1 |
//! | 44..=48 | 0 | 1 | 2 |
//!
//! Source: Arm ARM DDI 0487, VMSAv8-64 stage 2, and the register description of `VTCR_EL2`.

use tenure_abi::{AddressWidth, Error, PageSize};

/// log2 of the entries of a table.
pub(super) const INDEX_BITS: u32 = 9;
/// The level whose leaves are pages.
pub(super) const LAST_LEVEL: u32 = 3;

/// The shape of one map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    ipa: AddressWidth,
    start_level: u32,
    root_tables: u64,
}

impl Geometry {
    /// The shape of a map for addresses of `ipa` bits.
    ///
    /// # Errors
    /// [`Error::NotSupported`] above 48 bits: those need LPA2 or a larger granule.
    pub const fn new(ipa: AddressWidth) -> Result<Self, Error> {
        let bits = ipa.bits() as u32;
        let start_level = match bits {
            32..=34 => 2,
            35..=43 => 1,
            44..=48 => 0,
            _ => return Err(Error::NotSupported),
        };
        // One table at the start level resolves this many bits.
        let one_table = 12 + INDEX_BITS * (LAST_LEVEL + 1 - start_level);
        Ok(Self { ipa, start_level, root_tables: 1 << bits.saturating_sub(one_table) })
    }

    /// The address width.
    pub const fn ipa(self) -> AddressWidth {
        self.ipa
    }

    /// The level of the root tables: 0, 1 or 2.
    pub const fn start_level(self) -> u32 {
        self.start_level
    }

    /// How many root tables stand side by side; the first frame is a multiple of it.
    pub const fn root_tables(self) -> u64 {
        self.root_tables
    }

    /// The first frame number beyond the map.
    pub const fn frames(self) -> u64 {
        self.ipa.frames()
    }

    /// The `VTCR_EL2` of this shape on a machine with `pa` physical address bits.
    ///
    /// Walks are inner shareable and write-back cacheable. `wide_vmid` asks for 16-bit VMIDs
    /// (`ID_AA64MMFR1_EL1.VMIDBits` is 2). Hardware access and dirty flags stay off.
    pub const fn vtcr(self, pa: AddressWidth, wide_vmid: bool) -> u64 {
        let t0sz = 64 - self.ipa.bits() as u64;
        let sl0 = 2 - self.start_level as u64;
        let ps = match pa.bits() {
            ..36 => 0,
            36..40 => 1,
            40..42 => 2,
            42..44 => 3,
            44..48 => 4,
            _ => 5,
        };
        vtcr::RES1 | (wide_vmid as u64) << vtcr::VS | ps << vtcr::PS | vtcr::WALKS | sl0 << vtcr::SL0 | t0sz
    }
}

/// Fields of `VTCR_EL2`, named as in the Arm ARM; T0SZ stands at bit 0, TG0 is 0 for 4 KiB.
mod vtcr {
    pub(super) const SL0: u32 = 6;
    /// SH0 inner shareable, ORGN0 and IRGN0 write-back, read- and write-allocate.
    pub(super) const WALKS: u64 = 0b11 << 12 | 0b01 << 10 | 0b01 << 8;
    pub(super) const PS: u32 = 16;
    pub(super) const VS: u32 = 19;
    pub(super) const RES1: u64 = 1 << 31;
}

/// How many frames an entry at `level` (0..=3) covers, as log2.
#[inline]
pub(super) const fn entry_shift(level: u32) -> u32 {
    INDEX_BITS * LAST_LEVEL.saturating_sub(level)
}

/// The level whose entries cover `1 << shift` frames.
#[inline]
pub(super) const fn entry_level(shift: u32) -> u32 {
    LAST_LEVEL.saturating_sub(shift / INDEX_BITS)
}

/// The size of a leaf at `level`; level 0 has none.
#[inline]
pub(super) const fn leaf_size(level: u32) -> Option<PageSize> {
    match level {
        1 => Some(PageSize::Size1G),
        2 => Some(PageSize::Size2M),
        3 => Some(PageSize::Size4K),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn geometry(bits: u8) -> Geometry {
        Geometry::new(AddressWidth::new(bits).unwrap()).unwrap()
    }

    #[test]
    fn every_width_has_the_shape_of_the_table() {
        let shapes = (32..=48u8).map(|bits| (geometry(bits).start_level(), geometry(bits).root_tables()));
        let one = |n, level| std::vec![(level, 1); n];
        let many = |level| std::vec![(level, 2), (level, 4), (level, 8), (level, 16)];
        let expected = [many(2)[1..].to_vec(), one(5, 1), many(1), one(5, 0)].concat();
        assert_eq!(shapes.collect::<std::vec::Vec<_>>(), expected);
        assert_eq!(Geometry::new(AddressWidth::new(49).unwrap()), Err(Error::NotSupported));
    }

    #[test]
    fn the_root_tables_cover_exactly_the_width() {
        for bits in 32..=48 {
            let g = geometry(bits);
            let covered = g.root_tables() << (entry_shift(g.start_level()) + INDEX_BITS);
            assert!(covered >= g.frames(), "{bits}");
            assert!(g.root_tables() == 1 || covered == g.frames(), "{bits}");
        }
    }

    #[test]
    fn vtcr_has_the_value_of_the_manual() {
        let pa = |bits| AddressWidth::new(bits).unwrap();
        // T0SZ 24, SL0 1, walks write-back inner shareable, PS 40 bits, RES1.
        assert_eq!(geometry(40).vtcr(pa(40), false), 0x8002_3558);
        assert_eq!(geometry(48).vtcr(pa(48), true), 0x800d_3590);
        assert_eq!(geometry(32).vtcr(pa(32), false), 0x8000_3520);
        // 52-bit output needs LPA2: the entries here reach 48 bits.
        assert_eq!(geometry(39).vtcr(pa(52), false), 0x8005_3559);
    }
}
