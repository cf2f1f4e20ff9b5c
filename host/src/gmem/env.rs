//! What a host kernel or hypervisor supplies to its files: frames, page tables, references, and patience.

use super::{FileId, FilePages};
use crate::platform::{Fault, Memory};
use tenure_abi::{FrameRange, Gfn, PageSize, Pfn, VmHandle};
use tenure_arch::lock::RawLock;

/// The integrator's side of a [`File`](super::File).
///
/// Everything but what is said otherwise is called without the file's lock, on pages that the call in progress has
/// claimed: no other call of the same file touches them meanwhile, and new faults there are told to retry.
pub trait Env: Memory {
    /// The lock of a file's state. It is held for table work only, never across a method of this trait.
    type Lock: RawLock;

    /// A frame of `size`, aligned to it, holding anything; `None` if there is none of that size.
    fn page(&self, size: PageSize) -> Option<Pfn>;

    /// Takes a frame back: a whole one, a part of one that was split, or small ones that lie together as one. Somebody may still hold a reference; the
    /// frame must not be used for anything else before that ends.
    fn give_back(&self, pfn: Pfn, size: PageSize);

    /// Takes a frame that nobody may use again before [`Platform::recover`](crate::platform::Platform::recover) proves it safe.
    fn withdraw(&self, pfn: Pfn, size: PageSize, why: Fault);

    /// Removes every host mapping of `pages`, of every process. On return no CPU can use one.
    fn zap_host(&self, file: FileId, pages: FilePages);

    /// Removes the guest's mappings of `gfns`; effective after [`Env::flush_guests`].
    fn zap_guest(&self, guest: VmHandle, gfns: FrameRange<Gfn>);

    /// Makes all [`Env::zap_guest`] so far effective on every CPU; once for a batch.
    fn flush_guests(&self);

    /// Ends the references that nobody means to keep: per-CPU batches, faults in flight.
    fn drain_references(&self);

    /// The index of the first frame that somebody still holds a reference to beyond the file's own.
    fn first_held(&self, frames: FrameRange<Pfn>) -> Option<u64>;

    /// Fills the frames with bytes that nobody can have a use for; called only where the platform has work with
    /// [`ContentMode::Unspecified`](tenure_abi::ContentMode).
    fn scramble(&self, frames: FrameRange<Pfn>) {
        self.zero(frames);
    }

    /// Waits a little for another call to finish; `attempt` counts from 0. False: give up.
    fn pause(&self, attempt: u32) -> bool;
}
