//! What an EL2 image supplies: access to pages, TLBs, caches.

use tenure_abi::Pfn;
use tenure_arch::lock::RawLock;
use tenure_arch::tlb::Stage2Tlb;
use tenure_arch::window::Window;

/// The image's side of the contract.
///
/// The window reaches pages between [`Hardware::attach`] and [`Hardware::detach`], and the image's own. EL2 maps no
/// other host or guest memory. Nothing here can fail: what it takes is set aside when the image starts.
///
/// # Safety
/// `detach` returns only when no CPU can reach the page at EL2; `scrub` leaves only zeroes in the page, visible
/// to every observer that does not snoop caches.
#[allow(unsafe_code)] // What its implementors promise cannot be checked here.
pub unsafe trait Hardware: Window + Stage2Tlb {
    /// The lock used for VMs and table pools.
    type Lock: RawLock;

    /// Maps a page at EL2: one that was donated or is being pinned.
    fn attach(&self, pfn: Pfn);

    /// Unmaps it on all CPUs.
    fn detach(&self, pfn: Pfn);

    /// Zeroes a page that nobody maps and cleans it to the point of coherency.
    fn scrub(&self, pfn: Pfn);

    /// Makes the bytes of a page visible to a guest that may run with its caches off, and its instructions
    /// to all instruction caches. Nothing where the hardware does both by itself (FWB, DIC).
    fn prepare_for_guest(&self, pfn: Pfn);
}
