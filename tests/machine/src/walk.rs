//! The stage-2 table walker, from the raw registers and descriptors.
//!
//! VMSAv8-64, stage 2, 4 KiB granule, 48-bit output addresses (Arm ARM DDI 0487: "VMSAv8-64 translation table format
//! descriptors", `VTCR_EL2`, `VTTBR_EL2`):
//!
//! | register bits | meaning |
//! |---|---|
//! | `VTCR_EL2` 0..=5 | T0SZ: addresses have 64 - T0SZ bits |
//! | `VTCR_EL2` 6..=7 | SL0: the walk starts at level 2 - SL0 |
//! | `VTTBR_EL2` 1..=47, 48..=63 | address of the first table, VMID |
//!
//! | descriptor bits | meaning |
//! |---|---|
//! | 0 | 0: nothing here, whatever the rest says |
//! | 1 | levels 0..=2: 1 a table follows, 0 a block (not at level 0); level 3: must be 1 |
//! | 6, 7 | may be read, may be written |
//! | 10 | accessed; 0 faults |
//! | 12..=47 | address: of the next table, or of the memory (low bits within a block count as 0) |

use crate::memory::Memory;
use crate::stores;
use tenure_abi::Pfn;

/// The registers that say which tables are walked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Regime {
    /// `VTTBR_EL2`.
    pub vttbr: u64,
    /// `VTCR_EL2`.
    pub vtcr: u64,
}

/// Why an access did not happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing is mapped, found at this level.
    Translation(u32),
    /// It is mapped, but not for this.
    Permission(u32),
    /// The access flag is clear.
    AccessFlag(u32),
    /// Beyond the address width of the regime.
    AddressSize,
    /// A table, or the memory itself, is not RAM.
    External,
    /// The device may not access anything.
    Stream,
}

/// What a walk found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Leaf {
    /// The first guest frame that it covers.
    pub(crate) first: u64,
    /// How many.
    pub(crate) frames: u64,
    /// The first frame they lead to.
    pub(crate) leads_to: u64,
    pub(crate) read: bool,
    pub(crate) write: bool,
}

/// A table that a walk came by, and from which a later one may start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) level: u32,
    pub(crate) first: u64,
    pub(crate) frames: u64,
    pub(crate) table: u64,
}

impl Regime {
    /// The tag of its translations.
    pub const fn vmid(self) -> u16 {
        (self.vttbr >> 48) as u16
    }

    const fn frame_bits(self) -> u32 {
        (64 - (self.vtcr & 0x3f) as u32).saturating_sub(12)
    }

    const fn start(self) -> Option<u32> {
        2u32.checked_sub((self.vtcr >> 6 & 3) as u32)
    }
}

const fn shift(level: u32) -> u32 {
    9 * (3 - level)
}

/// Walks for guest frame `number`, from the table `from` if one is remembered. Tables on the way go to `steps`.
pub(crate) fn walk(
    memory: &Memory,
    regime: Regime,
    number: u64,
    from: Option<Step>,
    steps: &mut Vec<Step>,
) -> Result<Leaf, Fault> {
    if number >> regime.frame_bits() != 0 {
        return Err(Fault::AddressSize);
    }
    stores::advance();
    let start = regime.start().ok_or(Fault::AddressSize)?;
    let (mut level, mut table, mut index) = match from {
        Some(step) => (step.level, step.table, number >> shift(step.level) & 0x1ff),
        // At the start level up to 16 tables stand side by side: the index is not cut to 9 bits.
        None => (start, (regime.vttbr & 0xffff_ffff_fffe) >> 12, number >> shift(start)),
    };
    loop {
        let frame = Pfn::new(table + (index >> 9)).ok().and_then(|pfn| memory.frame(pfn)).ok_or(Fault::External)?;
        let raw = frame.walked((index & 0x1ff) as usize);
        if raw & 1 == 0 {
            return Err(Fault::Translation(level));
        }
        let address = raw >> 12 & 0xf_ffff_ffff;
        let covers = 1 << shift(level);
        let first = number & !(covers - 1);
        match (level, raw & 2 != 0) {
            (0..=2, true) => {
                level += 1;
                table = address;
                index = number >> shift(level) & 0x1ff;
                steps.push(Step { level, first, frames: covers, table });
            }
            (0 | 3, false) => return Err(Fault::Translation(level)),
            _ if raw & 1 << 10 == 0 => return Err(Fault::AccessFlag(level)),
            _ => {
                let leads_to = address & !(covers - 1);
                return Ok(Leaf { first, frames: covers, leads_to, read: raw & 1 << 6 != 0, write: raw & 1 << 7 != 0 });
            }
        }
    }
}
