//! Reading and writing, by region and by collection.

use crate::provider::{BACKED, BASE, BYTES, convert, private, with_region};
use std::sync::atomic::Ordering::SeqCst;
use tenure_abi::Visibility::{Private, Shared};
use vm_memory::{
    Bytes, GuestAddress, GuestMemory, GuestMemoryBackend, GuestMemoryError, GuestMemoryRegion, GuestRegionCollection,
    MemoryRegionAddress as At, Permissions,
};

#[test]
fn shared_memory_is_read_and_written() {
    with_region(|region| {
        assert_eq!(region.write(&[1, 2, 3], At(0xfff)).unwrap(), 3);
        let mut back = [0; 5];
        region.read_slice(&mut back, At(0xffe)).unwrap();
        assert_eq!(back, [0, 1, 2, 3, 0]);
        assert_eq!(region.memory().load(0x1000), Some(0x0302), "it is the mapping's memory");
        region.store(7_u32, At(0x2000), SeqCst).unwrap();
        assert_eq!(region.load::<u32>(At(0x2000), SeqCst).unwrap(), 7);
        let mut sink = Vec::new();
        region.write_all_volatile_to(At(0xfff), &mut sink, 3).unwrap();
        assert_eq!(region.read_volatile_from(At(0x3000), &mut &sink[..], 3).unwrap(), 3);
        assert_eq!(region.read_obj::<[u8; 3]>(At(0x3000)).unwrap(), [1, 2, 3]);
    });
}

#[test]
fn every_access_to_a_private_page_is_an_error_that_names_the_address_and_touches_nothing() {
    with_region(|region| {
        region.write_slice(&[7; 0x4000], At(0)).unwrap();
        convert(&region, 2, 1, Private).unwrap();
        let at = Some(BASE + 0x2000);
        let mut buffer = [0; 0x2000];
        assert_eq!(private(region.write(&[9; 0x2000], At(0x1800))), at, "across the border");
        assert_eq!(private(region.write_slice(&[9; 0x2000], At(0x1800))), at);
        assert_eq!(private(region.read(&mut buffer, At(0x1800))), at);
        assert_eq!(private(region.read_slice(&mut buffer, At(0x1800))), at);
        assert_eq!(private(region.read_exact_volatile_from(At(0x1800), &mut &[9; 0x2000][..], 0x2000)), at);
        assert_eq!(private(region.read_volatile_from(At(0x1800), &mut &[9; 0x2000][..], 0x2000)), at);
        assert_eq!(private(region.write_volatile_to(At(0x1800), &mut Vec::new(), 0x2000)), at);
        assert_eq!(private(region.write_all_volatile_to(At(0x1800), &mut Vec::new(), 0x2000)), at);
        assert_eq!(
            private(region.store(9_u64, At(0x2ff8), SeqCst)),
            Some(BASE + 0x2ff8),
            "the byte that was asked for"
        );
        assert_eq!(private(region.load::<u64>(At(0x2ff8), SeqCst)), Some(BASE + 0x2ff8));
        assert_eq!(private(region.as_volatile_slice()), at, "the whole region");
        // The memory of the test is not taken away, so it shows whether anybody wrote.
        let kept = (0..0x4000 / 8).all(|word| region.memory().load(word * 8) == Some(0x0707_0707_0707_0707));
        assert!(kept, "something was touched");
        // Next to it all goes on.
        region.write_slice(&[9; 0x800], At(0x1800)).unwrap();
        region.write_slice(&[9; 0x800], At(0x3000)).unwrap();
        convert(&region, 2, 1, Shared).unwrap();
        region.read_slice(&mut buffer, At(0x1800)).unwrap();
    });
}

#[test]
fn the_first_of_several_private_pages_is_named() {
    for private_page in 0..8 {
        with_region(|region| {
            convert(&region, private_page, 8 - private_page, Private).unwrap();
            let mut all = vec![0; BACKED as usize];
            assert_eq!(private(region.read(&mut all, At(0))), Some(BASE + (private_page << 12)));
        });
    }
}

#[test]
fn what_is_outside_or_not_backed_is_no_private_page() {
    with_region(|region| {
        let mut byte = [0];
        let outside = region.read(&mut byte, At(BYTES));
        assert!(matches!(outside, Err(GuestMemoryError::InvalidBackendAddress)), "{outside:?}");
        let wraps = region.get_slice(At(u64::MAX), 2);
        assert!(matches!(wraps, Err(GuestMemoryError::InvalidBackendAddress)), "{wraps:?}");
        let hole = region.read(&mut byte, At(BACKED));
        assert!(matches!(hole, Err(GuestMemoryError::InvalidGuestAddress(GuestAddress(at))) if at == BASE + BACKED));
        let partial = region.read_slice(&mut [0; 2], At(BYTES - 1));
        assert!(partial.is_err());
        assert_eq!(region.write(&[], At(u64::MAX)).unwrap(), 0, "nothing is written anywhere");
        assert_eq!(region.get_slice(At(BYTES), 0).unwrap().len(), 0);
        assert!(region.get_slice(At(BYTES + 1), 0).is_err());
        let odd = region.load::<u32>(At(2), SeqCst);
        assert!(matches!(odd, Err(GuestMemoryError::InvalidBackendAddress)), "{odd:?}");
    });
}

#[test]
fn a_collection_of_regions_is_checked_too() {
    with_region(|region| {
        convert(&region, 1, 1, Private).unwrap();
        let memory = GuestRegionCollection::from_regions(vec![region]).unwrap();
        memory.write_obj(0x1122_u16, GuestAddress(BASE + 0x10)).unwrap();
        assert_eq!(memory.read_obj::<u16>(GuestAddress(BASE + 0x10)).unwrap(), 0x1122);
        assert_eq!(private(memory.write_obj(1_u64, GuestAddress(BASE + 0x1008))), Some(BASE + 0x1008));
        assert_eq!(private(memory.read_obj::<u64>(GuestAddress(BASE + 0xffc))), Some(BASE + 0x1000));
        assert_eq!(private(memory.load::<u64>(GuestAddress(BASE + 0x1008), SeqCst)), Some(BASE + 0x1008));
        assert!(GuestMemory::check_range(&memory, GuestAddress(BASE), 0x1000, Permissions::Read));
        assert!(!GuestMemory::check_range(&memory, GuestAddress(BASE), 0x1001, Permissions::Read));
        assert_eq!(
            private(GuestMemoryBackend::get_host_address(&memory, GuestAddress(BASE + 0x1004))),
            Some(BASE + 0x1004)
        );
    });
}
