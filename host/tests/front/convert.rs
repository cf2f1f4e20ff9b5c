//! Ranges over several files: the order of things, and what is left after a failure.

use crate::fake::{Fake, G, Watched, front, request};
use tenure_abi::{ContentMode, Error, Gfn, Visibility};
use tenure_host::convert::{Front, Stopped};

const ANY: ContentMode = ContentMode::Unspecified;

fn gfn(at: u64) -> Gfn {
    Gfn::new(G + at).unwrap()
}

#[test]
fn leases_end_before_the_conversion_and_hear_of_it_after() {
    let fake = Fake::default();
    let front = front(&fake);
    front.convert(request(2, 4, Visibility::Private), ANY).unwrap();
    front.convert(request(2, 1, Visibility::Shared), ANY).unwrap();
    let expected = [
        "revoke 0x102",
        "convert Private of file 1 at 0x2000",
        "commit",
        "revoke 0x104",
        "convert Private of file 2 at 0x10000",
        "commit",
        "convert Shared of file 1 at 0x2000",
        "shared 0x102",
    ];
    assert_eq!(*fake.log.borrow(), expected);
}

#[test]
fn a_failure_in_the_second_file_keeps_the_first_and_names_the_guest_frame() {
    let fake = Fake { refuses: Some((6, Error::Busy, 1)).into(), ..Fake::default() };
    let front = front(&fake);
    let stopped = front.convert(request(0, 8, Visibility::Private), ANY);
    assert_eq!(stopped, Err(Stopped { done: 4, at: gfn(6), error: Error::Busy }));
    assert_eq!(*fake.private.borrow(), [true, true, true, true, false, false, false, false]);
    assert_eq!(fake.log.borrow().last().unwrap(), "abort");
    // The same again goes on from there: the first file is not touched.
    fake.log.borrow_mut().clear();
    front.convert(request(0, 8, Visibility::Private), ANY).unwrap();
    assert_eq!(fake.log.borrow().len(), 3);
    assert_eq!(*fake.private.borrow(), [true; 8]);
}

#[test]
fn a_hole_or_a_refused_mode_is_found_before_anything_changes() {
    let fake = Fake::default();
    let front = front(&fake);
    let hole = front.convert(request(4, 5, Visibility::Private), ANY);
    assert_eq!(hole, Err(Stopped { done: 0, at: gfn(8), error: Error::NotFound }));
    let mode = front.convert(request(0, 8, Visibility::Private), ContentMode::Zero);
    assert_eq!(mode, Err(Stopped { done: 0, at: gfn(4), error: Error::NotSupported }));
    assert!(fake.log.borrow().is_empty());
}

#[test]
fn what_is_so_already_is_left_alone_unless_the_mode_has_work() {
    let fake = Fake::default();
    let front = front(&fake);
    front.convert(request(0, 4, Visibility::Shared), ANY).unwrap();
    assert!(fake.log.borrow().is_empty());
    front.convert(request(0, 4, Visibility::Shared), ContentMode::Zero).unwrap();
    assert_eq!(*fake.log.borrow(), ["convert Shared of file 1 at 0x0", "shared 0x100"]);
}

#[test]
fn a_lease_that_does_not_end_stops_the_range_where_it_lies() {
    let fake = Fake::default();
    let front = Front::new(&fake, Watched(&fake, Some(5)));
    let stopped = front.convert(request(0, 8, Visibility::Private), ANY);
    assert_eq!(stopped, Err(Stopped { done: 4, at: gfn(5), error: Error::Busy }));
    assert_eq!(*fake.private.borrow(), [true, true, true, true, false, false, false, false]);
}
