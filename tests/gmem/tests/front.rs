//! A hypervisor's own front: the one VMMs use, over the provider's files and no request in between.

use tenure_abi::gmem::{
    CreateFlags, CreateGuestMemfd, RegionFlags, UserspaceMemoryRegion, UserspaceMemoryRegion2, VmType,
};
use tenure_abi::{AddressWidth, ContentMode, Error, FrameRange, Gfn, Visibility};
use tenure_host::convert::{Request, Stopped};
use tenure_test_gmem::provider::Provider;
use tenure_test_gmem::target::{FileId, Files, Guest, MapKind, MappingId, Memory, Personality, ProcessId, VmId, Vmm};

/// Two files of eight pages each stand behind guest frames 0x200 to 0x20f.
const FIRST: u64 = 0x200;

struct World {
    provider: Provider,
    vm: VmId,
    files: [FileId; 2],
    maps: [MappingId; 2],
}

impl World {
    fn new(personality: Personality, kind: VmType) -> Self {
        let mut provider = Provider::new(personality);
        let vm = provider.create_vm(kind).unwrap();
        let mut one = |nth: u64| {
            let flags = CreateFlags::MMAP;
            let file = provider.create_file(vm, &CreateGuestMemfd::new(0x8000, flags)).unwrap();
            let map = provider.map(file, 0, 0x8000, MapKind::Shared).unwrap();
            let region = UserspaceMemoryRegion {
                slot: 1 + nth as u32,
                flags: RegionFlags::GUEST_MEMFD.bits(),
                guest_phys_addr: (FIRST + nth * 8) << 12,
                memory_size: 0x8000,
                userspace_addr: provider.address(map),
            };
            let guest_memfd = provider.number(file);
            let region = UserspaceMemoryRegion2 { region, guest_memfd, ..UserspaceMemoryRegion2::default() };
            provider.set_region2(vm, &region).unwrap();
            (file, map)
        };
        let [(a, x), (b, y)] = [0, 1].map(&mut one);
        Self { provider, vm, files: [a, b], maps: [x, y] }
    }

    fn convert(&mut self, first: u64, count: u64, to: Visibility, mode: ContentMode) -> Result<(), Stopped> {
        let gfns = FrameRange::new(gfn(first), count, AddressWidth::MAX).unwrap();
        self.provider.front(self.vm, |front| front.convert(Request { gfns, to }, mode))
    }

    /// What the host loads of a page, if it may.
    fn host(&mut self, page: u64) -> Option<u8> {
        let map = self.maps[(page / 8) as usize];
        self.provider.load(ProcessId::VMM, map, (page % 8) << 12).ok()
    }
}

fn gfn(page: u64) -> Gfn {
    Gfn::new(FIRST + page).unwrap()
}

const SHARED: Visibility = Visibility::Shared;
const PRIVATE: Visibility = Visibility::Private;
const ANY: ContentMode = ContentMode::Unspecified;

#[test]
fn a_range_over_two_files_turns_in_place_and_back() {
    let mut world = World::new(Personality::V8, VmType::SW_PROTECTED);
    for page in 0..16 {
        world.provider.guest_store(world.vm, (FIRST + page) << 12, 0x40 + page as u8).unwrap();
        assert_eq!(world.host(page), None, "page {page} is private");
    }
    world.convert(6, 4, SHARED, ANY).unwrap();
    for page in 0..16 {
        let seen = (6..10).contains(&page).then_some(0x40 + page as u8);
        assert_eq!(world.host(page), seen, "page {page}");
    }
    world.convert(6, 4, SHARED, ANY).unwrap();
    world.convert(0, 16, PRIVATE, ANY).unwrap();
    assert_eq!(world.host(7), None);
    assert_eq!(world.provider.guest_load(world.vm, (FIRST + 7) << 12), Ok(0x47));
}

#[test]
fn a_page_that_is_held_is_named_by_its_guest_frame_and_the_prefix_stays() {
    let mut world = World::new(Personality::V8, VmType::SW_PROTECTED);
    world.convert(0, 16, SHARED, ANY).unwrap();
    let pin = world.provider.pin(world.maps[1], 0x3000, 0x1000).unwrap();
    let stopped = world.convert(4, 10, PRIVATE, ANY).unwrap_err();
    assert_eq!(stopped, Stopped { done: 4, at: gfn(11), error: Error::Busy });
    assert_eq!((world.host(7), world.host(8)), (None, Some(0)));
    world.provider.unpin(pin);
    world.convert(4, 10, PRIVATE, ANY).unwrap();
    assert_eq!((world.host(8), world.host(14)), (None, Some(0)));
}

#[test]
fn content_modes_are_the_platforms_and_refused_before_anything_changes() {
    let mut world = World::new(Personality::RfcV5, VmType::SW_PROTECTED);
    world.provider.guest_store(world.vm, (FIRST + 2) << 12, 9).unwrap();
    world.convert(2, 1, SHARED, ContentMode::Preserve).unwrap();
    assert_eq!(world.host(2), Some(9));
    let refused = world.convert(0, 16, PRIVATE, ContentMode::Zero).unwrap_err();
    assert_eq!(refused, Stopped { done: 0, at: gfn(0), error: Error::NotSupported });
    assert_eq!(world.host(2), Some(9));
    world.convert(2, 2, SHARED, ContentMode::Zero).unwrap();
    assert_eq!(world.host(2), Some(0));
}

#[test]
fn files_that_do_not_decide_and_memory_that_is_not_there_are_refused() {
    let mut world = World::new(Personality::V7_3, VmType::SW_PROTECTED);
    let refused = world.convert(0, 2, SHARED, ANY).unwrap_err();
    assert_eq!(refused, Stopped { done: 0, at: gfn(0), error: Error::NotSupported });
    let mut world = World::new(Personality::V8, VmType::SW_PROTECTED);
    let beyond = world.convert(12, 8, SHARED, ANY).unwrap_err();
    assert_eq!(beyond, Stopped { done: 0, at: gfn(16), error: Error::NotFound });
    assert_eq!(world.host(12), None);
    for file in world.files {
        world.provider.close(file);
    }
}
