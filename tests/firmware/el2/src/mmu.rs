//! EL2's own stage 1: identity, and nothing in it that belongs to a host or a guest.
//!
//! | range | rights |
//! |---|---|
//! | text | read, execute |
//! | rodata | read |
//! | data, bss, carve-out | read, write; stack guards are holes |
//! | UART | device |
//! | other RAM | nothing, until [`crate::pages::map_page`] |
//! | [`FIXMAP`] | one page per CPU, [`crate::pages::with_fixmap`] |
//!
//! 39-bit addresses, 4 KiB granule: one level-1 table, a level-2 table per GiB used, and a level-3 table
//! for *every* 2 MiB of RAM, all in bss. So mapping a page is one store and cannot fail for want of memory.

use crate::boot;
use core::sync::atomic::{AtomicU64, Ordering};
use firmware_board::layout::{CARVEOUT_END, FIXMAP, IMAGE, RAM, RAM_END, UART};

const SHIFT_L1: u32 = 30;
const SHIFT_L2: u32 = 21;
pub(crate) const SHIFT_L3: u32 = 12;
pub(crate) const PAGE: u64 = 1 << SHIFT_L3;
const RAM_TABLES: usize = ((RAM_END - RAM) >> SHIFT_L2) as usize;

/// `MAIR_EL2`: 0 device nGnRnE, 1 normal write-back.
pub(crate) const MAIR: u64 = 0xff << 8;
/// `TCR_EL2`: 39-bit addresses, 40-bit output, inner shareable write-back walks; bits 23 and 31 are RES1.
pub(crate) const TCR: u64 = 1 << 31 | 1 << 23 | 2 << 16 | 3 << 12 | 1 << 10 | 1 << 8 | (64 - 39);
/// `SCTLR_EL2`: RES1 bits, WXN, I, SA, C, M.
pub(crate) const SCTLR: u64 = 0x30c5_0830 | 1 << 19 | 1 << 12 | 1 << 3 | 1 << 2 | 1;

const TABLE: u64 = 3;
/// Level-3 page: valid, AF, inner shareable; AP bit 1 is RES1 at EL2.
const NORMAL: u64 = 3 | 1 << 2 | 1 << 6 | 3 << 8 | 1 << 10;
const DEVICE: u64 = 3 | 1 << 6 | 1 << 10;
const READ_ONLY: u64 = 1 << 7;
const NO_EXECUTE: u64 = 1 << 54;
/// What EL2 may do with data: read and write.
pub(crate) const DATA: u64 = NORMAL | NO_EXECUTE;

/// A translation table. Entries are atomics: any CPU may change one while another's walker reads it.
#[repr(C, align(4096))]
pub(crate) struct Table([AtomicU64; 512]);

impl Table {
    const fn new() -> Self {
        Self([const { AtomicU64::new(0) }; 512])
    }

    /// The entry for `va` at the level whose entries cover `1 << shift` bytes.
    pub(crate) fn entry(&self, va: u64, shift: u32) -> &AtomicU64 {
        &self.0[(va >> shift) as usize & 511]
    }

    fn set(&self, va: u64, shift: u32, descriptor: u64) {
        self.entry(va, shift).store(descriptor, Ordering::Relaxed);
    }

    /// A descriptor that points here; physical and virtual addresses are equal.
    fn pointer(&self) -> u64 {
        core::ptr::from_ref(self) as u64 | TABLE
    }
}

#[unsafe(no_mangle)]
static EL2_ROOT: Table = Table::new();
static LOW: Table = Table::new();
static UART_PAGES: Table = Table::new();
pub(crate) static FIXMAP_PAGES: Table = Table::new();
static RAM_GIB: Table = Table::new();
static RAM_PAGES: [Table; RAM_TABLES] = [const { Table::new() }; RAM_TABLES];

unsafe extern "C" {
    static __text_end: u8;
    static __rodata_end: u8;
}

/// Fills the tables. Runs once, on CPU 0, before any MMU is on.
pub(crate) fn build() {
    EL2_ROOT.set(0, SHIFT_L1, LOW.pointer());
    EL2_ROOT.set(RAM, SHIFT_L1, RAM_GIB.pointer());
    LOW.set(UART, SHIFT_L2, UART_PAGES.pointer());
    LOW.set(FIXMAP, SHIFT_L2, FIXMAP_PAGES.pointer());
    UART_PAGES.set(UART, SHIFT_L3, UART | DEVICE | NO_EXECUTE);
    for (table, base) in RAM_PAGES.iter().zip((RAM..).step_by(1 << SHIFT_L2)) {
        RAM_GIB.set(base, SHIFT_L2, table.pointer());
    }
    let (text_end, rodata_end) = (&raw const __text_end as u64, &raw const __rodata_end as u64);
    for pa in (IMAGE..CARVEOUT_END).step_by(PAGE as usize) {
        let rights = match pa {
            _ if pa < text_end => NORMAL | READ_ONLY,
            _ if pa < rodata_end => NORMAL | READ_ONLY | NO_EXECUTE,
            _ => DATA,
        };
        set_ram(pa, pa | rights);
    }
    for guard in boot::guards() {
        set_ram(guard, 0);
    }
}

/// The level-3 entry of a page of RAM.
pub(crate) fn ram_entry(pa: u64) -> Option<&'static AtomicU64> {
    let table = usize::try_from(pa.checked_sub(RAM)? >> SHIFT_L2).ok()?;
    Some(RAM_PAGES.get(table)?.entry(pa, SHIFT_L3))
}

fn set_ram(pa: u64, descriptor: u64) {
    if let Some(entry) = ram_entry(pa) {
        entry.store(descriptor, Ordering::Relaxed);
    }
}
