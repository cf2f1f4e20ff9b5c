//! Single rules of conversions, by name.

use crate::calls::{Call, Outcome};
use crate::campaign::{LARGE, bind, convert};
use crate::exhaustive::{SCRAMBLING, SMALL, unenforced};
use crate::hardware::{self, Enforcer};
use crate::oracle::Setup;
use crate::plan::{Failure, Step};
use crate::pool::Pool;
use crate::system::{System, gfn, vm, with};
use crate::world::World;
use std::cell::Cell;
use tenure_abi::{ContentMode, Error, PAGE_SHIFT, PageSize, Visibility};
use tenure_host::gmem::{Access, Facts, File, FileId, Options, Tracking};
use tenure_host::platform::{Capabilities, ContentRules, Here, Phase, Retry, Rule};

fn zero(first: u64, count: u64, to: Visibility) -> Call {
    Call::Convert { first, count, to, mode: ContentMode::Zero }
}

fn touch(gfn: u64, bytes: u64) -> Call {
    Call::GuestTouch { guest: 0, gfn, access: Access::Untold, largest: PageSize::Size1G, bytes }
}

#[test]
fn a_mode_is_applied_to_pages_that_do_not_change() {
    with(Setup { pages: 4, ..SMALL }, |system| {
        system.check(&bind(0, 0x300, 0, 4));
        for page in 0..3 {
            system.check(&Call::HostTouch { page, bytes: 7 });
        }
        system.check(&convert(1, 1, Visibility::Private));
        system.check(&touch(0x301, 8));
        system.check(&zero(0, 4, Visibility::Shared));
        let bytes = |page| system.frame(page).map(|pfn| system.world.lock().frame(pfn).bytes);
        assert_eq!([0, 1, 2, 3].map(bytes), [Some(0), Some(0), Some(0), None]);
    });
}

#[test]
fn a_free_mode_walks_no_page_that_does_not_change() {
    let setup = Setup { pages: 1024, nodes: 64, frames: 1100, initially: Visibility::Shared, ..LARGE };
    let (world, reads) = (World::new(setup.frames, false), Cell::new(0));
    let platform = Enforcer::new(&world, true, setup.capabilities);
    let mut system = System::new(Setup { largest: PageSize::Size4K, ..setup }, &world, &platform, &reads);
    system.quick(&Call::Allocate { first: 0, count: 1024 });
    let asked = world.lock().asked;
    world.lock().plan.start(Vec::new());
    let all = system.file.all();
    reads.set(0);
    system.file.convert(all, Visibility::Shared, ContentMode::Unspecified).unwrap();
    let reads = reads.get();
    assert_eq!(world.lock().asked, asked);
    assert_eq!(world.lock().plan.steps(), []);
    // Of the two nodes that say what backs it, and the store's single word.
    assert_eq!(reads, 0, "reads of nodes");
}

#[test]
fn a_free_conversion_of_a_huge_file_asks_a_bounded_number_of_questions() {
    let (world, reads) = (World::new(16, false), Cell::new(0));
    let platform = Enforcer::new(&world, true, hardware::CAPABILITIES);
    let options = Options { initially: Visibility::Shared, tracking: Tracking::File, largest: PageSize::Size1G };
    let pool = Pool::new(&world, 8, &reads);
    let file: File<'_, _, _, _, 4> = File::new(FileId(1), 1 << 40, options, &world, &platform, pool).unwrap();
    let pages = file.pages(0, 1 << 40).unwrap();
    file.bind(vm(0), gfn(0), pages, Phase::Running).unwrap();
    file.convert(pages, Visibility::Private, ContentMode::Unspecified).unwrap();
    let asked = world.lock().asked;
    assert!(asked.zap_guest <= 1 && asked.zap_host <= 1 && asked.held <= 1, "{asked:?}");
    assert!(reads.get() < 16 && world.nodes() == 0, "{} reads", reads.get());
    assert_eq!(file.visibility((1 << 40) - 1), Ok(Visibility::Private));
}

#[test]
fn a_conversion_that_changes_nothing_removes_no_mapping() {
    with(Setup { pages: 2, ..SMALL }, |system| {
        system.check(&bind(0, 0x300, 0, 2));
        system.check(&Call::HostTouch { page: 0, bytes: 7 });
        system.check(&touch(0x300, 8));
        let asked = system.world.lock().asked;
        system.check(&convert(0, 2, Visibility::Shared));
        assert_eq!(system.world.lock().asked, asked);
        assert_eq!(system.mapped(0), (true, [true, false]));
    });
}

#[test]
fn the_first_page_that_is_held_is_named_and_nothing_is_converted() {
    with(Setup { pages: 8, ..SMALL }, |system| {
        for page in [2, 3, 5] {
            system.check(&Call::HostTouch { page, bytes: 7 });
        }
        system.check(&Call::Pin { page: 5 });
        system.check(&Call::Pin { page: 3 });
        assert_eq!(system.run(&convert(1, 6, Visibility::Private)), Outcome::At(3, Error::Busy));
        system.compare();
        assert!(!system.mapped(2).0, "a refusal takes the host's mappings all the same");
        system.check(&Call::Unpin { page: 3 });
        system.check(&Call::Unpin { page: 5 });
        system.check(&convert(1, 6, Visibility::Private));
    });
}

#[test]
fn scattered_frames_far_into_a_range_are_treated_as_the_first_ones() {
    // More runs than are looked up at a time, more than once.
    let setup = Setup { pages: 200, frames: 240, nodes: 16, scatter: true, ..SMALL };
    with(setup, |system| {
        // The middle is somebody else's.
        for (guest, gfn, first, count) in [(0, 0x400, 0, 70), (1, 0x800, 70, 20), (0, 0x45a, 90, 110)] {
            system.check(&bind(guest, gfn, first, count));
        }
        for page in (0..200).filter(|page| page % 50 != 7) {
            system.check(&Call::HostTouch { page, bytes: page });
        }
        for page in [199, 130, 128, 127, 65, 64, 63] {
            system.check(&Call::Pin { page });
            assert_eq!(system.run(&convert(0, 200, Visibility::Private)), Outcome::At(page, Error::Busy));
        }
        system.compare();
        for page in [199, 130, 128, 127, 65, 64, 63] {
            system.check(&Call::Unpin { page });
        }
        // Every third page is private already, and a stretch.
        for page in (0..200).step_by(3) {
            system.check(&convert(page, 1, Visibility::Private));
        }
        system.check(&convert(60, 80, Visibility::Private));
        system.check(&convert(0, 200, Visibility::Private));
        system.check(&convert(1, 198, Visibility::Shared));
        system.check(&convert(0, 200, Visibility::Shared));
    });
}

#[test]
fn references_that_pass_are_drained_before_any_is_refused() {
    with(Setup { pages: 2, ..SMALL }, |system| {
        system.check(&Call::HostTouch { page: 0, bytes: 7 });
        system.check(&convert(0, 1, Visibility::Private));
        let asked = system.world.lock().asked;
        assert_eq!((asked.drain, asked.held), (1, 1));
    });
}

#[test]
fn a_mode_that_cannot_be_promised_is_refused_before_anything_changes() {
    with(Setup { pages: 2, ..SMALL }, |system| {
        system.check(&Call::HostTouch { page: 1, bytes: 7 });
        let asked = system.world.lock().asked;
        assert_eq!(system.run(&zero(1, 1, Visibility::Private)), Outcome::At(1, Error::NotSupported));
        assert_eq!(system.world.lock().asked, asked);
        system.compare();
    });
}

#[test]
fn several_guests_and_files_agree() {
    let (world, reads) = (World::new(16, false), Cell::new(0));
    let platform = Enforcer::new(&world, true, hardware::CAPABILITIES);
    let options = Options { initially: Visibility::Shared, tracking: Tracking::File, largest: PageSize::Size4K };
    let file = |id| -> File<'_, _, _, _, 4> {
        File::new(FileId(id), 2 << PAGE_SHIFT, options, &world, &platform, Pool::new(&world, 4, &reads)).unwrap()
    };
    let (one, other) = (file(1), file(2));
    for guest in [0, 1] {
        one.bind(vm(guest), gfn(0x100), one.all(), Phase::Running).unwrap();
        other.bind(vm(guest), gfn(0x200), other.all(), Phase::Running).unwrap();
    }
    for (file, at) in [(&one, 0x100), (&other, 0x200)] {
        file.host_fault(0, |mapping| world.map_host(file.id(), 0, mapping)).unwrap();
        for guest in [0, 1] {
            let install = |mapping| world.map_guest(vm(guest), at, mapping, false);
            file.guest_fault(vm(guest), gfn(at), Access::Shared, PageSize::Size1G, install).unwrap();
        }
    }
    one.convert(one.all(), Visibility::Private, ContentMode::Unspecified).unwrap();
    for guest in [0, 1] {
        assert!(world.guest_map(vm(guest), 0x100).is_none(), "guest {guest} keeps its view");
        assert!(world.guest_map(vm(guest), 0x200).is_some(), "another file's view is gone");
        let fault = one.guest_fault(vm(guest), gfn(0x100), Access::Shared, PageSize::Size1G, |_| ());
        assert_eq!(fault, Err(Error::Denied));
    }
    assert!(world.host_map(FileId(1), 0).is_none() && world.host_map(FileId(2), 0).is_some());
    assert_eq!(one.host_fault(0, |_| ()), Err(Error::Denied));
    assert_eq!(one.guest_fault(vm(0), gfn(0x100), Access::Private, PageSize::Size1G, |_| ()), Ok(()));
    assert_eq!(one.guest_fault(vm(1), gfn(0x100), Access::Private, PageSize::Size1G, |_| ()), Err(Error::Denied));
}

#[test]
fn a_first_touch_takes_one_frame_when_large_ones_are_out() {
    with(Setup { frames: 514, ..LARGE }, |system| {
        system.check(&bind(0, 0x1000, 0, 514));
        // The staged frames leave no large one.
        system.check(&touch(0x1009, 3));
        assert_eq!((0..514).filter(|page| system.frame(*page).is_some()).count(), 1);
    });
}

#[test]
fn zeroes_promised_to_a_page_that_the_platform_refuses_come_with_its_first_use() {
    let mut content = hardware::RULES;
    content.table[Phase::Running as usize][Visibility::Private as usize][ContentMode::Zero as usize] = Rule::PerPage;
    let capabilities = Capabilities { content, ..hardware::CAPABILITIES };
    with(Setup { pages: 2, capabilities, ..SMALL }, |system| {
        system.check(&bind(0, 0x300, 0, 2));
        system.check(&Call::HostTouch { page: 0, bytes: 7 });
        let refused = Failure { after: 0, here: Here::AsBefore, retry: Retry::No, lasting: false };
        let call = zero(0, 1, Visibility::Private);
        let steps = |system: &System<'_>| system.world.lock().plan.steps().to_vec();
        let at = |steps: &[Step]| steps.iter().position(|step| *step == Step::Transfer);
        // Nodes and the reservation come first.
        let number = (0..8).find(|number| {
            with(Setup { pages: 2, capabilities, ..SMALL }, |other| {
                other.quick(&bind(0, 0x300, 0, 2));
                other.quick(&Call::HostTouch { page: 0, bytes: 7 });
                other.run_with(&call, Vec::new());
                at(&steps(other)) == Some(*number)
            })
        });
        assert_eq!(system.run_with(&call, vec![(number.unwrap(), refused)]), Outcome::Ok);
        assert_eq!(system.file.counts().deferred, 1);
        let facts = system.file.facts(0).unwrap().0;
        assert_eq!(facts, Facts::empty(), "bytes that were to be zeroes");
        system.world.lock().plan.start(Vec::new());
        let install = |mapping| system.world.map_guest(vm(0), 0x300, mapping, false);
        system.file.guest_fault(vm(0), gfn(0x300), Access::Untold, PageSize::Size1G, install).unwrap();
        let pfn = system.frame(0).unwrap();
        assert_eq!(system.world.lock().frame(pfn).bytes, 0);
    });
}

#[test]
fn unspecified_contents_are_scrambled_where_the_platform_has_work_with_them() {
    let capabilities = unenforced(SCRAMBLING);
    with(Setup { pages: 2, hardware: false, capabilities, ..SMALL }, |system| {
        system.check(&Call::HostTouch { page: 0, bytes: 7 });
        system.check(&convert(0, 2, Visibility::Private));
        let pfn = system.frame(0).unwrap();
        assert!(system.world.lock().frame(pfn).bytes > crate::world::JUNK);
        assert_eq!(system.world.lock().asked.scramble, 1);
    });
}

#[test]
fn bytes_are_kept_at_first_use_where_the_platform_can() {
    let keeps = [Rule::Free, Rule::Refused, Rule::Free];
    let content = ContentRules { table: [[keeps; 2]; 2] };
    let capabilities = Capabilities { content, assigns_on_conversion: false, ..hardware::CAPABILITIES };
    with(Setup { pages: 1, capabilities, ..SMALL }, |system| {
        system.check(&bind(0, 0x300, 0, 1));
        system.check(&Call::HostTouch { page: 0, bytes: 7 });
        system.check(&Call::Convert { first: 0, count: 1, to: Visibility::Private, mode: ContentMode::Preserve });
        let install = |mapping| system.world.map_guest(vm(0), 0x300, mapping, false);
        system.file.guest_fault(vm(0), gfn(0x300), Access::Private, PageSize::Size1G, install).unwrap();
        let pfn = system.frame(0).unwrap();
        assert_eq!(system.world.lock().frame(pfn).bytes, 7);
    });
}

#[test]
fn a_departed_page_bound_elsewhere_takes_nothing_from_its_neighbours() {
    with(LARGE, |system| {
        system.check(&Call::Allocate { first: 0, count: 514 });
        system.check(&bind(0, 0x1000, 0, 8));
        system.check(&bind(0, 0x1008, 8, 504));
        system.check(&Call::Prefault { guest: 0, gfn: 0x1000, count: 512, access: Access::Untold });
        system.check(&touch(0x1100, 77));
        system.check(&Call::Unbind { guest: 0, gfn: 0x1000 });
        system.check(&bind(1, 0x2000, 0, 4));
        system.check(&touch(0x1100, 78));
        system.check(&bind(0, 0x1004, 4, 4));
        system.check(&convert(0, 512, Visibility::Shared));
    });
}

#[test]
fn binding_and_unbinding_again_and_again_needs_no_more_room() {
    with(Setup { pages: 2, initially: Visibility::Private, ..SMALL }, |system| {
        for _ in 0..100 {
            system.check(&bind(0, 0x300, 0, 2));
            system.check(&touch(0x300, 3));
            system.check(&Call::Unbind { guest: 0, gfn: 0x300 });
        }
    });
}
