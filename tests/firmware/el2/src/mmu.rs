//! EL2's own stage 1: identity, and nothing in it that belongs to a host or a guest.
//!
//! | range | rights |
//! |---|---|
//! | text | read, execute |
//! | rodata | read |
//! | data, bss, carve-out | read, write; stack guards are holes |
//! | UART | device |
//! | other RAM | nothing, until [`map_page`] |
//! | [`FIXMAP`] | one page per CPU, [`with_fixmap`] |
//!
//! 39-bit addresses, 4 KiB granule: one level-1 table, a level-2 table per GiB used, and a level-3 table
//! for *every* 2 MiB of RAM, all in bss. So mapping a page is one store and cannot fail for want of memory.

use crate::boot;
use core::arch::asm;
use core::sync::atomic::{AtomicU64, Ordering};
use firmware_board::layout::{CARVEOUT_END, CPUS, FIXMAP, IMAGE, RAM, RAM_END, UART};
use firmware_board::{read_reg, write_reg};

const SHIFT_L1: u32 = 30;
const SHIFT_L2: u32 = 21;
const SHIFT_L3: u32 = 12;
const PAGE: u64 = 1 << SHIFT_L3;
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
const DATA: u64 = NORMAL | NO_EXECUTE;

/// A translation table. Entries are atomics: any CPU may change one while another's walker reads it.
#[repr(C, align(4096))]
struct Table([AtomicU64; 512]);

impl Table {
    const fn new() -> Self {
        Self([const { AtomicU64::new(0) }; 512])
    }

    /// The entry for `va` at the level whose entries cover `1 << shift` bytes.
    fn entry(&self, va: u64, shift: u32) -> &AtomicU64 {
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
static FIXMAP_PAGES: Table = Table::new();
static RAM_GIB: Table = Table::new();
static RAM_PAGES: [Table; RAM_TABLES] = [const { Table::new() }; RAM_TABLES];

/// The page is not RAM, or it is EL2's own: its mapping never changes.
#[derive(Debug)]
pub(crate) struct NotMappable;

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

fn ram_entry(pa: u64) -> Option<&'static AtomicU64> {
    let table = usize::try_from(pa.checked_sub(RAM)? >> SHIFT_L2).ok()?;
    Some(RAM_PAGES.get(table)?.entry(pa, SHIFT_L3))
}

fn set_ram(pa: u64, descriptor: u64) {
    if let Some(entry) = ram_entry(pa) {
        entry.store(descriptor, Ordering::Relaxed);
    }
}

/// The entry of a page that EL2 does not own from the start.
fn dynamic(pfn: u64) -> Result<(u64, &'static AtomicU64), NotMappable> {
    let pa = pfn.checked_mul(PAGE).ok_or(NotMappable)?;
    if (IMAGE..CARVEOUT_END).contains(&pa) {
        return Err(NotMappable);
    }
    Ok((pa, ram_entry(pa).ok_or(NotMappable)?))
}

/// Makes the page readable and writable for every CPU at EL2, at its own address.
///
/// # Errors
/// [`NotMappable`] for what is not RAM and for EL2's own memory.
pub(crate) fn map_page(pfn: u64) -> Result<(), NotMappable> {
    let (pa, entry) = dynamic(pfn)?;
    entry.store(pa | DATA, Ordering::Relaxed);
    // SAFETY: barriers. The entry was invalid or the same before, so no TLB holds another translation.
    unsafe { asm!("dsb ishst", "isb", options(nostack, preserves_flags)) };
    Ok(())
}

/// Takes the page out of every CPU's reach at EL2; when it returns, no CPU can touch it through EL2.
///
/// # Safety
/// Nothing at EL2 uses the page any more: the caller holds the lock under which it was in use.
///
/// # Errors
/// As [`map_page`].
pub(crate) unsafe fn unmap_page(pfn: u64) -> Result<(), NotMappable> {
    let (pa, entry) = dynamic(pfn)?;
    retire(entry, pa);
    Ok(())
}

fn retire(entry: &AtomicU64, va: u64) {
    entry.store(0, Ordering::Relaxed);
    // SAFETY: drops translations of an address that nothing uses, as the callers argue.
    unsafe {
        asm!("dsb ishst", "tlbi vae2is, {}", "dsb ish", "isb", in(reg) va >> SHIFT_L3, options(nostack, preserves_flags));
    }
}

/// A page as the fixmap shows it.
pub(crate) type Page = [u64; 512];

/// Lets `work` use the page, which EL2 maps nowhere else, through the slot of this CPU.
///
/// # Safety
/// `cpu` is the CPU this runs on, and nobody else uses the page: neither EL2, which would alias `&mut`,
/// nor host or guest, who have been cut off.
///
/// # Errors
/// As [`map_page`], or there is no such CPU.
pub(crate) unsafe fn with_fixmap<R>(cpu: usize, pfn: u64, work: impl FnOnce(&mut Page) -> R) -> Result<R, NotMappable> {
    let (pa, _) = dynamic(pfn)?;
    if cpu >= CPUS {
        return Err(NotMappable);
    }
    let va = FIXMAP + cpu as u64 * PAGE;
    let entry = FIXMAP_PAGES.entry(va, SHIFT_L3);
    entry.store(pa | DATA, Ordering::Relaxed);
    // SAFETY: barriers; the slot was invalid, `retire` made sure of it.
    unsafe { asm!("dsb ishst", "isb", options(nostack, preserves_flags)) };
    // SAFETY: the slot is mapped, aligned, this CPU's alone, and the caller owns the page behind it.
    let result = work(unsafe { &mut *(va as *mut Page) });
    retire(entry, va);
    Ok(result)
}

/// Zeroes the page and writes it back to memory, so that an accessor without caches sees zeroes too.
///
/// # Safety
/// As [`with_fixmap`].
///
/// # Errors
/// As [`with_fixmap`].
pub(crate) unsafe fn scrub_page(cpu: usize, pfn: u64) -> Result<(), NotMappable> {
    let scrub = |page: &mut Page| {
        page.fill(0);
        clean_to_memory(page.as_ptr() as u64, PAGE);
    };
    // SAFETY: passed on to the caller.
    unsafe { with_fixmap(cpu, pfn, scrub) }
}

/// Whether EL2's translation of `va` lets it read (bit 0) and write (bit 1), as the hardware sees it.
pub(crate) fn reach(va: u64) -> u64 {
    const FAULT: u64 = 1;
    // The answer comes in a register that belongs to EL1.
    let par = read_reg!("par_el1");
    // SAFETY: address translation without an access; PAR_EL1 gets back what it held.
    let (read, write) = unsafe {
        asm!("at s1e2r, {}", "isb", in(reg) va, options(nostack, preserves_flags));
        let read = read_reg!("par_el1");
        asm!("at s1e2w, {}", "isb", in(reg) va, options(nostack, preserves_flags));
        let write = read_reg!("par_el1");
        write_reg!("par_el1", par);
        (read, write)
    };
    (!read & FAULT) | (!write & FAULT) << 1
}

/// Cleans the data cache lines of a mapped range to the point of coherency.
fn clean_to_memory(va: u64, bytes: u64) {
    // CTR_EL0.DminLine: log2 of the words in the smallest data cache line.
    let line = 4 << (read_reg!("ctr_el0") >> 16 & 0xf);
    for at in (va..va + bytes).step_by(line) {
        // SAFETY: cleaning writes back what the line holds; it changes no value.
        unsafe { asm!("dc cvac, {}", in(reg) at, options(nostack, preserves_flags)) };
    }
    // SAFETY: a barrier.
    unsafe { asm!("dsb sy", options(nostack, preserves_flags)) };
}
