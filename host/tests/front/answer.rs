//! What guests are told: three answers, and on SNP a death with its reason.

use crate::fake::{Fake, G, front, request, wire};
use tenure_abi::gmem::{MapGpaRange, MapGpaReply as Reply};
use tenure_abi::{ContentMode, Error, Gfn, Visibility};
use tenure_host::convert::{Death, Dialect, Request, Stopped};

const PRIVATE: u64 = 1 << 4;

#[test]
fn requests_that_mean_nothing_are_invalid_and_change_nothing() {
    let fake = Fake::default();
    let front = front(&fake);
    let good = wire(0, 1, PRIVATE);
    let bad = [
        MapGpaRange { gpa: good.gpa + 1, ..good },
        MapGpaRange { pages: 0, ..good },
        MapGpaRange { pages: u64::MAX, ..good },
        MapGpaRange { pages: 1 << 52, ..good },
        MapGpaRange { gpa: 1 << 52, ..good },
        MapGpaRange { attributes: PRIVATE | 1 << 5, ..good },
        MapGpaRange { attributes: PRIVATE | 3, ..good },
        MapGpaRange { attributes: PRIVATE | 0xf, ..good },
        MapGpaRange { attributes: u64::MAX, ..good },
    ];
    for wire in bad {
        assert_eq!(Request::decode(&wire), Err(Error::Invalid), "{wire:?}");
        assert_eq!(front.answer(&wire, Dialect::Plain, |_| true), Reply::Invalid, "{wire:?}");
    }
    assert!(fake.log.borrow().is_empty());
    for size in 0..3 {
        let decoded = Request::decode(&wire(2, 3, PRIVATE | size));
        assert_eq!(decoded, Ok(request(2, 3, Visibility::Private)));
        assert_eq!(Request::decode(&wire(2, 3, size)), Ok(request(2, 3, Visibility::Shared)));
    }
}

#[test]
fn a_tdx_guest_is_told_to_ask_again() {
    let fake = Fake { refuses: Some((1, Error::Busy, 2)).into(), ..Fake::default() };
    let front = front(&fake);
    let never = |_| panic!("the guest repeats, not the host");
    assert_eq!(front.answer(&wire(0, 8, PRIVATE), Dialect::Tdx, never), Reply::Again);
    assert_eq!(front.answer(&wire(0, 8, PRIVATE), Dialect::Tdx, never), Reply::Again);
    assert_eq!(front.answer(&wire(0, 8, PRIVATE), Dialect::Tdx, never), Reply::Done);
    assert_eq!(front.death(), None);
}

#[test]
fn an_snp_guest_hears_of_a_failure_only_when_the_retries_are_used_up() {
    let fake = Fake { refuses: Some((1, Error::Retry, 3)).into(), ..Fake::default() };
    let front = front(&fake);
    let mut pauses = Vec::new();
    let pause = |attempt| {
        pauses.push(attempt);
        true
    };
    assert_eq!(front.answer(&wire(0, 8, PRIVATE), Dialect::Snp { retries: 5 }, pause), Reply::Done);
    assert_eq!(pauses, [0, 1, 2]);
    assert_eq!(front.death(), None);
}

#[test]
fn an_snp_guest_that_was_refused_is_dead_and_says_why() {
    let fake = Fake { refuses: Some((6, Error::Busy, 9)).into(), ..Fake::default() };
    let front = front(&fake);
    assert_eq!(front.answer(&wire(0, 8, PRIVATE), Dialect::Snp { retries: 2 }, |_| true), Reply::Invalid);
    let stopped = Stopped { done: 4, at: Gfn::new(G + 6).unwrap(), error: Error::Busy };
    let death = Death { request: request(0, 8, Visibility::Private), stopped };
    assert_eq!(front.death(), Some(death));
    *fake.refuses.borrow_mut() = None;
    let later = front.convert(request(0, 1, Visibility::Shared), ContentMode::Unspecified);
    assert_eq!(later, Err(Stopped { done: 0, ..stopped }));
    assert_eq!(front.answer(&wire(0, 8, PRIVATE), Dialect::Snp { retries: 2 }, |_| true), Reply::Invalid);
}

#[test]
fn a_pause_that_gives_up_ends_the_retries() {
    let fake = Fake { refuses: Some((0, Error::Retry, 9)).into(), ..Fake::default() };
    let front = front(&fake);
    let mut asked = 0;
    let reply = front.answer(&wire(0, 1, PRIVATE), Dialect::Snp { retries: 100 }, |_| {
        asked += 1;
        asked < 3
    });
    assert_eq!((reply, asked), (Reply::Invalid, 3));
}

#[test]
fn an_unbacked_range_is_invalid_for_everybody() {
    let fake = Fake::default();
    let front = front(&fake);
    for dialect in [Dialect::Plain, Dialect::Tdx] {
        assert_eq!(front.answer(&wire(7, 2, PRIVATE), dialect, |_| true), Reply::Invalid);
    }
    assert_eq!(*fake.private.borrow(), [false; 8]);
}
