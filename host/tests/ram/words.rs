//! What the kernel's errnos become, and where they happened.

use crate::fake::{Fake, gfn, gfns};
use tenure_abi::{ContentMode, Errno, Error, Visibility};
use tenure_host::convert::{Front, NoLeases, Request, Stopped};
use tenure_host::ram::{Offers, Strategy};

const PRIVATE: Visibility = Visibility::Private;
const SHARED: Visibility = Visibility::Shared;

/// Converts 0x102 to 0x107, in two regions, to private; the first request of the kernel fails.
fn refused(strategy: Strategy, errno: Errno, blames: Option<u64>) -> Stopped {
    let fake = Fake::default();
    let front = Front::new(fake.ram(strategy), NoLeases);
    front.backing().add(gfns(0x100, 4), SHARED).unwrap();
    front.backing().add(gfns(0x104, 4), SHARED).unwrap();
    let calls = fake.state().calls;
    fake.state().fails = Some((calls + 1, errno));
    fake.state().blames = blames;
    front.convert(Request { gfns: gfns(0x102, 6), to: PRIVATE }, ContentMode::Unspecified).unwrap_err()
}

#[test]
fn every_errno_has_a_word() {
    for (errno, error) in [
        (Errno::EAGAIN, Error::Retry),
        (Errno::EBUSY, Error::Busy),
        (Errno::ENOMEM, Error::NoMemory),
        (Errno::EINVAL, Error::Invalid),
        (Errno::EPERM, Error::Denied),
        (Errno::EFAULT, Error::Fault),
        (Errno::EHWPOISON, Error::Quarantined),
        (Errno::ENOTTY, Error::NotSupported),
        (Errno::EOPNOTSUPP, Error::NotSupported),
        (Errno::EBADF, Error::NotFound),
        (Errno::EIO, Error::Internal),
        (Errno(999), Error::Internal),
    ] {
        let stopped = Stopped { done: 0, at: gfn(0x102), error };
        assert_eq!(refused(Strategy::TwoBackings, errno, None), stopped, "{errno:?}");
    }
}

#[test]
fn a_page_that_the_kernel_blames_is_named_by_its_guest_address() {
    let in_place = Strategy::InPlace { content_modes: false };
    let held = Stopped { done: 0, at: gfn(0x103), error: Error::Busy };
    assert_eq!(refused(in_place, Errno::EAGAIN, Some(0x3000)), held);
    // Nothing was blamed: nobody knows who is in the way.
    let passing = Stopped { done: 0, at: gfn(0x102), error: Error::Retry };
    assert_eq!(refused(in_place, Errno::EAGAIN, None), passing);
    // A place that was not asked about is not believed.
    for elsewhere in [0, 0x1000, 0x4000, 1 << 40] {
        assert_eq!(refused(in_place, Errno::EAGAIN, Some(elsewhere)).at, gfn(0x102), "{elsewhere:#x}");
    }
}

#[test]
fn what_a_strategy_cannot_promise_is_refused_before_anything_changes() {
    use ContentMode::{Preserve, Unspecified, Zero};
    let modes = Strategy::InPlace { content_modes: true };
    let in_place = Strategy::InPlace { content_modes: false };
    for (strategy, initially, to, mode) in [
        (in_place, SHARED, PRIVATE, Zero),
        (in_place, SHARED, PRIVATE, Preserve),
        (in_place, PRIVATE, SHARED, Preserve),
        (Strategy::TwoBackings, SHARED, PRIVATE, Zero),
        (Strategy::TwoBackings, PRIVATE, SHARED, Preserve),
        (Strategy::SharedOnly { file: true }, SHARED, PRIVATE, Unspecified),
        (Strategy::SharedOnly { file: false }, SHARED, PRIVATE, Zero),
        (Strategy::Protected, PRIVATE, SHARED, Unspecified),
        (Strategy::Protected, PRIVATE, PRIVATE, Unspecified),
    ] {
        let fake = Fake::default();
        let front = Front::new(fake.ram(strategy), NoLeases);
        front.backing().add(gfns(0x100, 4), initially).unwrap();
        let calls = fake.state().calls;
        let stopped = front.convert(Request { gfns: gfns(0x101, 2), to }, mode).unwrap_err();
        assert_eq!(stopped, Stopped { done: 0, at: gfn(0x101), error: Error::NotSupported }, "{strategy:?} {to:?}");
        assert_eq!(fake.state().calls, calls);
    }
    for mode in [Unspecified, Zero, Preserve] {
        let fake = Fake::default();
        let front = Front::new(fake.ram(modes), NoLeases);
        front.backing().add(gfns(0x100, 4), SHARED).unwrap();
        front.convert(Request { gfns: gfns(0x101, 2), to: PRIVATE }, mode).unwrap();
        assert_eq!(front.backing().visibility(gfn(0x101)), Some(PRIVATE));
    }
}

#[test]
fn a_kernel_from_before_guest_memory_files_serves_shared_memory() {
    let fake = Fake::default();
    fake.state().old = true;
    let strategy = Offers::probe(&fake).strategy(true);
    assert_eq!(strategy, Strategy::SharedOnly { file: false });
    let front = Front::new(fake.ram(strategy), NoLeases);
    front.backing().add(gfns(0x100, 4), SHARED).unwrap();
    front.convert(Request { gfns: gfns(0x101, 2), to: SHARED }, ContentMode::Zero).unwrap();
    let refused = front.convert(Request { gfns: gfns(0x101, 2), to: PRIVATE }, ContentMode::Unspecified).unwrap_err();
    assert_eq!((refused.done, refused.error), (0, Error::NotSupported));
    front.backing().remove(gfn(0x100)).unwrap();
    assert!(fake.state().open.is_empty());
}

#[test]
fn probing_leaves_nothing_and_finds_what_is_there() {
    let fake = Fake::default();
    let offers = Offers::probe(&fake);
    assert!(offers.files && offers.shared_files && offers.attributes && offers.in_place);
    let state = fake.state();
    assert_eq!((state.open.len(), state.private.len(), state.slots.len()), (0, 0, 0));
}
