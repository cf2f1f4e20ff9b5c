//! Pages that EL2 reaches only for a while: pinned at their own address, or in this CPU's fixmap slot.
//!
//! The level-3 tables are all there (`mmu`), so taking a page in is one store and a barrier. Letting it go is
//! break, invalidate on every CPU, wait.

use crate::mmu::{self, DATA, PAGE, SHIFT_L3};
use core::arch::asm;
use core::sync::atomic::{AtomicU64, Ordering};
use firmware_board::layout::{CARVEOUT_END, CPUS, FIXMAP, IMAGE};
use firmware_board::{read_reg, write_reg};

/// The page is not RAM, or it is EL2's own: its mapping never changes.
#[derive(Debug)]
pub(crate) struct NotMappable;

/// The entry of a page that EL2 does not own from the start.
fn dynamic(pfn: u64) -> Result<(u64, &'static AtomicU64), NotMappable> {
    let pa = pfn.checked_mul(PAGE).ok_or(NotMappable)?;
    if (IMAGE..CARVEOUT_END).contains(&pa) {
        return Err(NotMappable);
    }
    Ok((pa, mmu::ram_entry(pa).ok_or(NotMappable)?))
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
/// `cpu` is the CPU this runs on, `work` does not come here again, and nobody else uses the page: neither EL2, which would alias `&mut`,
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
    let entry = mmu::FIXMAP_PAGES.entry(va, SHIFT_L3);
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
