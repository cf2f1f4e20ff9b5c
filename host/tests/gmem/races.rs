//! Calls in the middle of calls: whatever a call asks of the integrator or the platform, others may run meanwhile.

use crate::calls::{Call, From, Outcome};
use crate::campaign::{bind, convert};
use crate::exhaustive::SMALL;
use crate::hardware::{self, Enforcer};
use crate::oracle::Setup;
use crate::system::{System, gfn, vm};
use crate::world::{Place, World, meanwhile};
use std::cell::Cell;
use std::rc::Rc;
use tenure_abi::{ContentMode, Error, PAGE_SHIFT, PageSize, Visibility};
use tenure_host::gmem::Access;
use tenure_host::platform::Capabilities;

/// A system that lives as long as the test.
fn forever(setup: Setup) -> &'static mut System<'static> {
    let world: &'static World = Box::leak(Box::new(World::new(setup.frames, setup.scatter)));
    let platform = Box::leak(Box::new(Enforcer::new(world, setup.hardware, setup.capabilities)));
    let system = System::new(setup, world, platform, Box::leak(Box::new(Cell::new(0))));
    Box::leak(Box::new(system))
}

/// Makes `call` on pages 0 and 1 of 4; at each of its questions, faults and calls on the same pages are told to retry, and
/// page 2 is used as if nothing were going on. How often it asked.
fn disturbed(setup: Setup, path: &[Call], call: &Call) -> u64 {
    let system = forever(setup);
    for call in path {
        system.check(call);
    }
    system.world.be_patient(0);
    let asked = Rc::new(Cell::new(0));
    let (file, world, count) = (&raw const system.file, system.world, Rc::clone(&asked));
    // SAFETY: the system is never freed, and every method of a file takes `&self`.
    let file = unsafe { &*file };
    let (told, running) = (format!("{call:?}"), setup.running[0]);
    meanwhile(Some(Box::new(move || {
        count.set(count.get() + 1);
        assert_eq!(file.host_fault(0, |_| panic!("a mapping slips in")), Err(Error::Retry), "{told}");
        let fault = |gfn_| file.guest_fault(vm(0), gfn(gfn_), Access::Untold, PageSize::Size1G, |_| panic!("slips in"));
        let late = fault(0x301);
        assert!(matches!(late, Err(Error::Retry | Error::NotFound)), "{told}: {late:?}");
        let both = file.pages(0, 2 << PAGE_SHIFT).unwrap();
        let punched = file.punch(both).map_err(|located| located.error);
        assert_eq!(punched, Err(Error::Retry), "{told}");
        let converted =
            file.convert(both, Visibility::Shared, ContentMode::Unspecified).map_err(|located| located.error);
        assert_eq!(converted, Err(Error::Retry), "{told}");
        assert_eq!(file.memory_error(0), Err(Error::Retry), "{told}");
        if running {
            let beside = file.host_fault(2 << PAGE_SHIFT, |mapping| world.map_host(file.id(), 2, mapping));
            assert_eq!(beside, Ok(()), "{told}");
        }
    })));
    let answer = system.run(call);
    meanwhile(None);
    assert!(!matches!(answer.error(), Some(Error::Retry)), "{call:?}: {answer:?}");
    system.oracle.apply(call);
    if setup.running[0] && system.frame(2).is_some() {
        let pfn = system.frame(2).unwrap();
        let bytes = system.world.lock().frame(pfn).bytes;
        system.oracle.page_mut(2).begin();
        system.oracle.page_mut(2).bytes = crate::oracle::Bytes::Is(bytes);
    }
    system.compare();
    asked.get()
}

const FOUR: Setup = Setup { pages: 4, ..SMALL };

fn used(to: Visibility) -> Vec<Call> {
    let touched = (0..3).map(|page| Call::HostTouch { page, bytes: 5 });
    let mut path: Vec<Call> = std::iter::once(bind(0, 0x300, 0, 4)).chain(touched).collect();
    if to == Visibility::Private {
        path.push(convert(0, 2, Visibility::Private));
    }
    path
}

#[test]
fn nobody_gets_between_the_steps_of_a_conversion() {
    assert!(disturbed(FOUR, &used(Visibility::Shared), &convert(0, 2, Visibility::Private)) >= 6);
    assert!(disturbed(FOUR, &used(Visibility::Private), &convert(0, 2, Visibility::Shared)) >= 5);
}

#[test]
fn nobody_gets_between_the_steps_of_a_punch() {
    for to in [Visibility::Shared, Visibility::Private] {
        assert!(disturbed(FOUR, &used(to), &Call::Punch { first: 0, count: 2 }) >= 6);
    }
}

#[test]
fn nobody_gets_between_the_steps_of_an_allocation_or_a_binding() {
    assert!(disturbed(FOUR, &[bind(0, 0x300, 0, 4)], &Call::Allocate { first: 0, count: 2 }) >= 2);
    let departed = [used(Visibility::Private), vec![Call::Unbind { guest: 0, gfn: 0x300 }]].concat();
    assert!(disturbed(FOUR, &departed, &bind(1, 0x700, 0, 2)) >= 3);
}

#[test]
fn nobody_gets_between_the_steps_of_a_first_use() {
    let early = Capabilities { prefault_while_building: true, ..hardware::CAPABILITIES };
    let setup = Setup { initially: Visibility::Private, ..FOUR };
    let system = forever(setup);
    system.check(&bind(0, 0x300, 0, 4));
    system.world.be_patient(0);
    let asked = Rc::new(Cell::new(0));
    let (file, count) = (&raw const system.file, Rc::clone(&asked));
    // SAFETY: the system is never freed, and every method of a file takes `&self`.
    let file = unsafe { &*file };
    meanwhile(Some(Box::new(move || {
        count.set(count.get() + 1);
        let one = file.pages(0, 1 << PAGE_SHIFT).unwrap();
        assert_eq!(file.punch(one).map_err(|located| located.error), Err(Error::Retry));
        let late = file.convert(one, Visibility::Shared, ContentMode::Unspecified).map_err(|located| located.error);
        assert_eq!(late, Err(Error::Retry));
    })));
    let touch = Call::GuestTouch { guest: 0, gfn: 0x300, access: Access::Untold, largest: PageSize::Size1G, bytes: 4 };
    let answer = system.run(&touch);
    meanwhile(None);
    assert_eq!((answer, system.world.count(Place::Given)), (Outcome::Ok, 1));
    assert!(asked.get() >= 3, "a frame, a reservation, a transfer: {}", asked.get());
    system.oracle.apply(&touch);
    system.compare();

    let building = Setup { running: [false, true], capabilities: early, ..setup };
    let system = forever(building);
    system.check(&bind(0, 0x300, 0, 4));
    system.world.be_patient(0);
    let file = &raw const system.file;
    // SAFETY: the system is never freed, and every method of a file takes `&self`.
    let file = unsafe { &*file };
    meanwhile(Some(Box::new(move || {
        let one = file.pages(0, 1 << PAGE_SHIFT).unwrap();
        assert_eq!(file.punch(one).map_err(|located| located.error), Err(Error::Retry));
    })));
    let populate = Call::Populate { guest: 0, gfn: 0x300, count: 1, source: From::Frames };
    let answer = system.run(&populate);
    meanwhile(None);
    assert_eq!(answer, Outcome::Ok);
}

#[test]
fn a_page_punched_after_its_first_use_begins_again_with_zeroes() {
    let system = forever(Setup { initially: Visibility::Private, ..FOUR });
    system.check(&bind(0, 0x300, 0, 4));
    let touch =
        |bytes| Call::GuestTouch { guest: 0, gfn: 0x300, access: Access::Untold, largest: PageSize::Size1G, bytes };
    system.check(&touch(4));
    system.check(&Call::Punch { first: 0, count: 1 });
    let install = |mapping| system.world.map_guest(vm(0), 0x300, mapping, false);
    system.file.guest_fault(vm(0), gfn(0x300), Access::Private, PageSize::Size1G, install).unwrap();
    let pfn = system.frame(0).unwrap();
    assert_eq!(system.world.lock().frame(pfn).bytes, 0);
}
