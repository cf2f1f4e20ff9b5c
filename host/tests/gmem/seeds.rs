//! What the founding discussion asked for, as facts: preparation at first use, no fragmentation, entries that are larger than mappings.

use crate::calls::{Call, From, Outcome};
use crate::campaign::{LARGE, bind, convert};
use crate::exhaustive::SMALL;
use crate::hardware::{self, Enforcer};
use crate::oracle::Setup;
use crate::plan::Step;
use crate::pool::Pool;
use crate::system::{System, gfn, gfns, vm, with};
use crate::world::{Place, World};
use std::cell::Cell;
use tenure_abi::{ContentMode, Error, PAGE_SHIFT, PageSize, Visibility};
use tenure_host::gmem::{Access, File, FileId, Options, Tracking};
use tenure_host::platform::{Capabilities, Phase};

const BUILDING: Setup = Setup { running: [false, true], ..LARGE };
const EARLY: Capabilities = Capabilities { prefault_while_building: true, ..hardware::CAPABILITIES };

/// The sizes of the hardware's entries of all pages; `None` for pages that are nobody's.
fn sizes(system: &System<'_>) -> Vec<Option<PageSize>> {
    let owned = |page| system.frame(page).and_then(|pfn| system.world.lock().frame(pfn).owned);
    (0..system.oracle.setup.pages).map(|page| owned(page).map(|owned| owned.size)).collect()
}

fn backing(system: &System<'_>, page: u64) -> PageSize {
    system.file.facts(page << PAGE_SHIFT).unwrap().1
}

fn steps(system: &System<'_>, kind: Step) -> usize {
    system.world.lock().plan.steps().iter().filter(|step| **step == kind).count()
}

fn ahead(gfn: u64, count: u64) -> Call {
    Call::Prefault { guest: 0, gfn, count, access: Access::Untold }
}

fn populate(gfn: u64, count: u64) -> Call {
    Call::Populate { guest: 0, gfn, count, source: From::Frames }
}

#[test]
fn a_prefault_after_the_end_of_building_assigns_everything_at_the_largest_size() {
    with(Setup { pages: 1024, ..BUILDING }, |system| {
        system.check(&bind(0, 0x1000, 0, 1024));
        system.check(&Call::Finish { guest: 0 });
        system.check(&ahead(0x1000, 1024));
        assert_eq!(sizes(system), vec![Some(PageSize::Size2M); 1024]);
        let maps: Vec<u64> = system.world.lock().guests.iter().map(|map| map.count).collect();
        assert_eq!(maps, [512, 512]);
    });
}

#[test]
fn a_prefault_that_begins_inside_a_large_entry_maps_it_where_it_begins() {
    with(LARGE, |system| {
        system.check(&Call::Allocate { first: 0, count: 514 });
        system.check(&bind(0, 0x1000, 0, 514));
        system.check(&ahead(0x1000, 512));
        system.check(&Call::Unbind { guest: 0, gfn: 0x1000 });
        system.check(&bind(0, 0x1000, 0, 514));
        system.check(&ahead(0x1007, 1));
        let (map, pfn) = system.world.guest_map(vm(0), 0x1007).unwrap();
        assert_eq!((map.gfn, map.count, Some(pfn)), (0x1000, 512, system.frame(7)));
    });
}

#[test]
fn allocating_before_populating_works() {
    with(BUILDING, |system| {
        system.check(&Call::Allocate { first: 0, count: 514 });
        let frames: Vec<_> = (0..514).map(|page| system.frame(page)).collect();
        system.check(&bind(0, 0x1000, 0, 514));
        system.check(&populate(0x1000, 2));
        assert_eq!((0..514).map(|page| system.frame(page)).collect::<Vec<_>>(), frames);
        assert_eq!(sizes(system)[..3], [Some(PageSize::Size4K), Some(PageSize::Size4K), None]);
        assert_eq!(system.world.lock().asked.zero, 0, "somebody zeroed what firmware overwrites");
    });
}

#[test]
fn populating_a_page_twice_is_refused() {
    with(BUILDING, |system| {
        system.check(&bind(0, 0x1000, 0, 514));
        system.check(&populate(0x1001, 1));
        assert_eq!(system.run(&populate(0x1000, 3)), Outcome::Stopped(1, Error::Exists));
        system.oracle.apply(&populate(0x1000, 1));
        system.compare();
    });
}

#[test]
fn a_prefault_before_the_end_of_building_is_refused_where_the_platform_says_so() {
    with(BUILDING, |system| {
        system.check(&bind(0, 0x1000, 0, 514));
        system.world.lock().plan.start(Vec::new());
        assert_eq!(system.run(&ahead(0x1000, 3)), Outcome::Stopped(0, Error::NotSupported));
        assert_eq!(system.world.lock().plan.steps(), []);
        system.compare();
    });
}

#[test]
fn first_use_prepares_for_the_guest_that_touches_and_no_other() {
    with(Setup { running: [true, true], pages: 2, initially: Visibility::Private, ..SMALL }, |system| {
        system.check(&bind(0, 0x300, 0, 2));
        system.check(&bind(1, 0x700, 0, 2));
        let touch =
            Call::GuestTouch { guest: 1, gfn: 0x701, access: Access::Untold, largest: PageSize::Size1G, bytes: 3 };
        system.check(&touch);
        assert_eq!(steps(system, Step::Transfer), 1);
        assert_eq!(system.world.lock().asked.zero, 0, "the platform writes the zeroes");
        assert_eq!(system.oracle.page(1).owner, Some((1, 0x701)));
    });
}

#[test]
fn a_partial_conversion_splits_and_the_way_back_merges_on_the_same_frame() {
    with(LARGE, |system| {
        system.check(&Call::Allocate { first: 0, count: 514 });
        system.check(&bind(0, 0x1000, 0, 514));
        system.check(&ahead(0x1000, 514));
        let frames: Vec<_> = (0..514).map(|page| system.frame(page)).collect();
        let nodes = system.world.nodes();
        assert_eq!((backing(system, 0), sizes(system)[0]), (PageSize::Size2M, Some(PageSize::Size2M)));

        system.world.lock().plan.start(Vec::new());
        system.check(&convert(3, 1, Visibility::Shared));
        assert_eq!((backing(system, 0), backing(system, 511)), (PageSize::Size4K, PageSize::Size4K));
        assert_eq!(sizes(system)[2..5], [Some(PageSize::Size4K), None, Some(PageSize::Size4K)]);
        assert_eq!(steps(system, Step::Resize), 1);
        system.check(&Call::HostTouch { page: 3, bytes: 5 });

        system.check(&convert(3, 1, Visibility::Private));
        assert_eq!(backing(system, 0), PageSize::Size2M, "the record is one again");
        assert_eq!(sizes(system)[..512], [Some(PageSize::Size4K); 512], "no entry merges by itself");
        let (access, largest) = (Access::Untold, PageSize::Size1G);
        system.check(&Call::GuestTouch { guest: 0, gfn: 0x1000, access, largest, bytes: 6 });
        assert_eq!(system.world.guest_map(vm(0), 0x1000).unwrap().0.count, 1, "larger than the entry");
        assert_eq!(system.world.nodes(), nodes);

        // An entry that is made anew is a large one.
        system.check(&convert(0, 512, Visibility::Shared));
        system.check(&convert(0, 512, Visibility::Private));
        assert_eq!(sizes(system)[..512], [Some(PageSize::Size2M); 512]);
        assert_eq!((0..514).map(|page| system.frame(page)).collect::<Vec<_>>(), frames);
        assert_eq!(steps(system, Step::Page), 0);
        assert_eq!(system.world.count(Place::Given), 514);
    });
}

#[test]
fn one_frame_under_512_slots_keeps_one_hardware_entry() {
    let (world, reads) = (World::new(2048, false), Cell::new(0));
    let platform = Enforcer::new(&world, true, hardware::CAPABILITIES);
    let (initially, tracking) = (Visibility::Private, Tracking::File);
    let options = Options { initially, tracking, largest: PageSize::Size2M };
    let pool = Pool::new(&world, 4, &reads);
    let file: File<'_, _, _, _, 600> =
        File::new(FileId(1), 512 << PAGE_SHIFT, options, &world, &platform, pool).unwrap();
    for page in 0..512 {
        let one = file.pages(page << PAGE_SHIFT, 1 << PAGE_SHIFT).unwrap();
        file.bind(vm(0), gfn(0x1000 + page), one, Phase::Running).unwrap();
    }
    for page in [7, 0, 511] {
        let at = gfn(0x1000 + page);
        let install = |mapping| world.map_guest(vm(0), at.number(), mapping, false);
        file.guest_fault(vm(0), at, Access::Private, PageSize::Size1G, install).unwrap();
        assert_eq!(world.guest_map(vm(0), at.number()).unwrap().0.count, 1, "a mapping leaves its slot");
    }
    let first = file.frame(0).unwrap().number();
    let large = |pfn| world.lock().frame(pfn).owned.is_some_and(|owned| owned.size == PageSize::Size2M);
    assert!((first..first + 512).all(large), "512 slots cut the entry");
    let all = file.all();
    file.convert(all, Visibility::Shared, ContentMode::Unspecified).unwrap();
    let steps = world.lock().plan.steps().to_vec();
    assert!(!steps.contains(&Step::Resize), "an entry was split");
    assert_eq!(steps.iter().filter(|step| **step == Step::Transfer).count(), 2, "one way and back, each in one step");
}

#[test]
fn small_mappings_leave_the_hardware_entry_large() {
    with(LARGE, |system| {
        system.check(&Call::Allocate { first: 0, count: 514 });
        system.check(&bind(0, 0x1000, 0, 514));
        system.check(&ahead(0x1000, 512));
        for page in [0, 1, 300] {
            let (gfn, largest) = (0x1000 + page, PageSize::Size4K);
            system.check(&Call::GuestTouch { guest: 0, gfn, access: Access::Untold, largest, bytes: 4 });
            assert_eq!(system.world.guest_map(vm(0), gfn).unwrap().0.count, 1);
        }
        assert_eq!(sizes(system)[..512], [Some(PageSize::Size2M); 512]);
        assert_eq!(steps(system, Step::Resize), 0);
    });
}

#[test]
fn where_the_shared_backing_differs_entries_are_left_alone() {
    with(Setup { tracking: Tracking::Guest, ..LARGE }, |system| {
        system.check(&Call::Allocate { first: 0, count: 514 });
        system.check(&bind(0, 0x1000, 0, 514));
        system.run(&Call::GuestTouch {
            guest: 0,
            gfn: 0x1000,
            access: Access::Private,
            largest: PageSize::Size1G,
            bytes: 2,
        });
        system.world.lock().plan.start(Vec::new());
        assert_eq!(system.run(&convert(3, 1, Visibility::Shared)), Outcome::At(3, Error::NotSupported));
        assert_eq!(system.world.lock().plan.steps(), []);
        assert_eq!(sizes(system)[..512], [Some(PageSize::Size2M); 512]);
        assert!(system.world.guest_map(vm(0), 0x1003).is_some(), "a mapping went for nothing");
    });
}

#[test]
fn a_prefault_while_building_and_then_populating_works() {
    with(Setup { capabilities: EARLY, largest: PageSize::Size4K, ..BUILDING }, |system| {
        system.check(&bind(0, 0x1000, 0, 514));
        system.check(&ahead(0x1000, 3));
        system.check(&populate(0x1000, 3));
        system.check(&Call::Finish { guest: 0 });
        for page in 0..3 {
            assert!(system.world.guest_map(vm(0), 0x1000 + page).is_some(), "the mapping of page {page} did not last");
        }
    });
}

#[test]
fn finishing_lists_what_was_mapped_and_never_populated() {
    with(Setup { capabilities: EARLY, largest: PageSize::Size4K, ..BUILDING }, |system| {
        system.check(&bind(0, 0x1000, 0, 514));
        system.check(&ahead(0x1000, 6));
        system.check(&populate(0x1001, 1));
        system.check(&convert(4, 1, Visibility::Shared));
        assert_eq!(system.run(&Call::Finish { guest: 0 }), Outcome::Forgotten(vec![0x1000, 0x1002, 0x1003, 0x1005]));
        system.oracle.apply(&Call::Finish { guest: 0 });
        system.compare();
        assert!(system.world.guest_map(vm(0), 0x1000).is_none(), "what nobody measured is still mapped");
        let mut stretches = Vec::new();
        system.file.finish(vm(0), |gfns| stretches.push(gfns)).unwrap();
        assert_eq!(stretches, []);
        assert_eq!(gfns(0x1000, 6).count(), 6);
    });
}

#[test]
fn the_end_of_building_of_one_guest_leaves_the_marks_of_another() {
    let setup = Setup { running: [false, false], capabilities: EARLY, pages: 2, largest: PageSize::Size4K, ..LARGE };
    with(setup, |system| {
        system.check(&bind(0, 0x1000, 0, 2));
        system.check(&bind(1, 0x2000, 0, 2));
        system.check(&ahead(0x1000, 1));
        system.check(&Call::Finish { guest: 1 });
        assert_eq!(system.run(&Call::Finish { guest: 0 }), Outcome::Forgotten(vec![0x1000]));
        system.oracle.apply(&Call::Finish { guest: 0 });
        system.compare();
        assert!(system.world.guest_map(vm(0), 0x1000).is_none());
    });
}
