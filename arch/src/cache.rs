//! How bytes reach memory, and how instructions follow them.
//!
//! Before a page changes hands its old bytes must be where the receiver looks, even with caches off:
//! at the point of coherency. Which work a CPU needs for that, it says in `CTR_EL0` ([`CacheType`]).

use core::ptr::NonNull;
use tenure_abi::PAGE_SIZE;

/// `CTR_EL0`: cache line sizes, and which maintenance the CPU makes unnecessary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheType(pub u64);

impl CacheType {
    /// Bytes of the smallest data cache line (`DminLine`, bits 16..=19, log2 of words).
    pub const fn data_line(self) -> usize {
        4 << (self.0 >> 16 & 0xf)
    }

    /// Bytes of the smallest instruction cache line (`IminLine`, bits 0..=3, log2 of words).
    pub const fn instruction_line(self) -> usize {
        4 << (self.0 & 0xf)
    }

    /// Whether new instructions are fetched without a data cache clean (`IDC`, bit 28).
    pub const fn idc(self) -> bool {
        self.0 & 1 << 28 != 0
    }

    /// Whether new instructions are fetched without an instruction cache invalidation (`DIC`, bit 29).
    pub const fn dic(self) -> bool {
        self.0 & 1 << 29 != 0
    }
}

/// How pages that change hands are scrubbed and cleaned; real work on a CPU, a record in a test.
///
/// # Safety
/// When `zero` returns, all 4096 bytes read 0, also for whoever bypasses caches. When `clean` returns,
/// they read at the point of coherency what they read through the cache.
pub unsafe trait PageContent: Sync {
    /// Zeroes a page, down to memory.
    ///
    /// # Safety
    /// The page is mapped writable as normal memory, 4 KiB aligned, and nobody else uses it.
    unsafe fn zero(&self, page: NonNull<[u8; PAGE_SIZE as usize]>);

    /// Writes a page's cached bytes back to memory and drops them from the caches.
    ///
    /// # Safety
    /// The page is mapped as normal memory and 4 KiB aligned.
    unsafe fn clean(&self, page: NonNull<[u8; PAGE_SIZE as usize]>);

    /// Makes sure that no CPU executes bytes that were there before.
    fn forget_instructions(&self);
}

#[cfg(target_arch = "aarch64")]
pub use cpu::{CpuCache, clean_invalidate, invalidate_instructions};

#[cfg(target_arch = "aarch64")]
mod cpu {
    use super::{CacheType, NonNull, PAGE_SIZE, PageContent};
    use core::arch::asm;

    impl CacheType {
        /// Of the CPU this runs on.
        #[inline]
        pub fn read() -> Self {
            let value;
            // SAFETY: reading CTR_EL0 changes nothing.
            unsafe { asm!("mrs {}, ctr_el0", out(reg) value, options(pure, nomem, nostack, preserves_flags)) };
            Self(value)
        }
    }

    /// Cleans and invalidates `bytes` bytes from `address` on to the point of coherency, and waits.
    ///
    /// # Safety
    /// The lines that the range touches are mapped as normal memory.
    pub unsafe fn clean_invalidate(address: *const u8, bytes: usize) {
        let line = CacheType::read().data_line();
        let end = address.addr().saturating_add(bytes);
        let mut at = address.addr() & !(line - 1);
        while at < end {
            // SAFETY: the caller promises the mapping; the operation changes where bytes are kept, not
            // what they are.
            unsafe { asm!("dc civac, {}", in(reg) at, options(nostack, preserves_flags)) };
            at = at.saturating_add(line);
        }
        // SAFETY: a barrier: the maintenance is complete for every observer.
        unsafe { asm!("dsb sy", options(nostack, preserves_flags)) };
    }

    /// Invalidates the instruction caches of all CPUs, unless they follow stores by themselves.
    pub fn invalidate_instructions() {
        if !CacheType::read().dic() {
            // SAFETY: instructions are only fetched again.
            unsafe { asm!("ic ialluis", "dsb ish", "isb", options(nostack, preserves_flags)) };
        }
    }

    /// The caches of the CPU.
    #[derive(Clone, Copy, Debug, Default)]
    pub struct CpuCache;

    // SAFETY: ordinary stores followed by a clean to the point of coherency; the assembly of the clean
    // may read memory as far as the compiler knows, so the stores come before it.
    unsafe impl PageContent for CpuCache {
        unsafe fn zero(&self, page: NonNull<[u8; PAGE_SIZE as usize]>) {
            // SAFETY: the caller promises a writable page that nobody else uses.
            unsafe { page.write_bytes(0, 1) };
            // SAFETY: the page is mapped as normal memory.
            unsafe { self.clean(page) };
        }

        unsafe fn clean(&self, page: NonNull<[u8; PAGE_SIZE as usize]>) {
            // SAFETY: the caller promises the mapping of these 4096 bytes.
            unsafe { clean_invalidate(page.as_ptr().cast(), PAGE_SIZE as usize) };
        }

        fn forget_instructions(&self) {
            invalidate_instructions();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cache_type_has_the_fields_of_the_manual() {
        // Cortex-A76: 64-byte lines, no IDC, no DIC.
        let a76 = CacheType(0x8444_c004);
        assert_eq!((a76.data_line(), a76.instruction_line(), a76.idc(), a76.dic()), (64, 64, false, false));
        // Neoverse N1 with coherent instruction caches.
        let n1 = CacheType(0xb444_c004);
        assert_eq!((n1.idc(), n1.dic()), (true, true));
    }
}
