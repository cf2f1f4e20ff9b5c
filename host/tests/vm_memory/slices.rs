//! Slices carry the lease: memory stays shared as long as one of them is there, and no longer.

use crate::provider::{BASE, convert, private, with_region};
use tenure_abi::Visibility::{Private, Shared};
use tenure_abi::{AddressWidth, Error, FrameRange, Gfn};
use tenure_host::lease::AtDeadline;
use tenure_host::vm_memory::Untouchable;
use vm_memory::{
    Bytes, GuestAddress, GuestMemoryBackend, GuestMemoryRegion, GuestRegionCollection, MemoryRegionAddress as At,
    VolatileMemory,
};

#[test]
fn no_page_turns_private_under_a_slice_or_what_was_made_from_it() {
    with_region(|region| {
        let busy = || convert(&region, 1, 1, Private).err().map(|stopped| stopped.error) == Some(Error::Busy);
        let slice = region.get_slice(At(0x1000), 0x1000).unwrap();
        assert!(busy(), "under a slice");
        let part = slice.subslice(0x10, 0x10).unwrap();
        drop(slice);
        assert!(busy(), "under a part of a slice");
        let (front, back) = part.split_at(8).unwrap();
        drop(part);
        assert!(busy(), "under two halves");
        drop(front);
        let word = back.get_ref::<u64>(0).unwrap();
        drop(back.clone());
        assert!(busy(), "under a half");
        word.store(5);
        drop(word);
        drop(back);
        assert!(!busy(), "after all of them");
        assert_eq!(private(region.get_slice(At(0x1000), 1)), Some(BASE + 0x1000));
    });
}

#[test]
fn slices_of_a_collection_carry_the_lease() {
    with_region(|region| {
        let front = region.front().clone();
        let memory = GuestRegionCollection::from_regions(vec![region]).unwrap();
        let access = || front.leases().leases;
        let gfns = FrameRange::single(Gfn::new((BASE >> 12) + 1).unwrap());
        let free = || access().revoke(gfns, core::time::Duration::ZERO, AtDeadline::Force).is_ok();
        let slices: Vec<_> = memory.get_slices(GuestAddress(BASE + 0x800), 0x1000).map(Result::unwrap).collect();
        assert_eq!(slices[0].bitmap().frames().map(FrameRange::count), Some(2));
        assert!(!free(), "under slices");
        drop(slices);
        assert!(free());
    });
}

#[test]
fn a_pointer_is_made_only_of_what_is_shared_and_keeps_nothing() {
    with_region(|region| {
        let pointer = region.get_host_address(At(0x1234)).unwrap();
        assert_eq!(pointer.addr() as u64, region.memory().address() + 0x1234);
        convert(&region, 1, 1, Private).unwrap();
        assert_eq!(private(region.get_host_address(At(0x1234))), Some(BASE + 0x1234));
        convert(&region, 1, 1, Shared).unwrap();
        assert!(region.get_host_address(At(0x1234)).is_ok());
    });
}

#[test]
fn an_access_that_meets_a_conversion_is_told_so() {
    with_region(|region| {
        let gfns = FrameRange::new(Gfn::new((BASE >> 12) + 1).unwrap(), 1, AddressWidth::MAX).unwrap();
        let revoked =
            region.front().leases().leases.revoke(gfns, core::time::Duration::ZERO, AtDeadline::Refuse).unwrap();
        let error = region.read_obj::<u8>(At(0x1000)).unwrap_err();
        assert_eq!(Untouchable::of(&error), Some(Untouchable::Converting(GuestAddress(BASE + 0x1000))));
        drop(revoked);
        assert_eq!(region.read_obj::<u8>(At(0x1000)).unwrap(), 0);
    });
}

#[test]
fn memory_that_is_no_guest_memory_file_has_no_file() {
    with_region(|region| {
        assert!(region.file_offset().is_none());
        assert_eq!(region.start_addr(), GuestAddress(BASE));
    });
}
