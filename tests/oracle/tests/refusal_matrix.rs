//! What a second initiator may do with a page in each state: the refusal matrix of the facts (without
//! its FF-A row and column), and its counterpart for calls by guest address.

use tenure_abi::{Error, Gfn, Located, Pfn, Place, VmSlot};
use tenure_oracle::invariants;
use tenure_oracle::spec::{Answer, Limits, Machine, Span, Spec, VmKind};

const PAGE: Span = Span { first: 0x105, count: 1 };
const SEEN: Span = Span { first: 0x40, count: 1 };
const FREE: u64 = 0x50;

fn vm(index: u16) -> VmSlot {
    VmSlot::new(index).unwrap()
}

fn spec() -> Spec {
    let limits = Limits { pins: 3, mappings: 2, references: 3 };
    let mut spec = Spec::new(Machine { ram: vec![(0x100, 0x110)], pfn_end: 0x1000, gfn_end: 0x1000, limits });
    spec.vm_create(vm(1), VmKind::Protected).unwrap();
    spec.vm_create(vm(2), VmKind::NonProtected).unwrap();
    spec
}

type Step = fn(&mut Spec) -> Answer;

const SHARE_HYP: Step = |s| s.host_share_hyp(PAGE);
const UNSHARE_HYP: Step = |s| s.host_unshare_hyp(PAGE);
const PIN: Step = |s| s.hyp_pin(PAGE);
const DONATE_HYP: Step = |s| s.host_donate_hyp(PAGE);
const HYP_DONATE: Step = |s| s.hyp_donate_host(PAGE);
const HYP_GET: Step = |s| s.hyp_get(PAGE);
const MAP: Step = |s| s.host_share_guest(vm(2), PAGE, SEEN.first);
const MAP_AGAIN: Step = |s| s.host_share_guest(vm(2), PAGE, FREE);
const UNMAP: Step = |s| s.host_unshare_guest(vm(2), SEEN);
const UNMAP_PROTECTED: Step = |s| s.host_unshare_guest(vm(1), SEEN);
const GIVE: Step = |s| s.host_donate_guest(vm(1), PAGE, SEEN.first);
const GIVE_ELSEWHERE: Step = |s| s.host_donate_guest(vm(1), PAGE, FREE);
const LEND: Step = |s| s.guest_share_host(vm(1), SEEN);
const TAKE_BACK: Step = |s| s.guest_unshare_host(vm(1), SEEN);
const RECLAIM: Step = |s| s.reclaim(vm(1), SEEN);
const RECLAIM_BORROWED: Step = |s| s.reclaim(vm(2), SEEN);
const FORCE: Step = |s| s.force_reclaim(PAGE);
const RELINQUISH: Step = |s| s.relinquish(vm(1), SEEN);

/// How to get there from the host's exclusive page.
const STATES: [(&str, &[Step]); 8] = [
    ("host", &[]),
    ("hyp", &[DONATE_HYP]),
    ("hyp, in use", &[DONATE_HYP, HYP_GET]),
    ("lent to hyp", &[SHARE_HYP]),
    ("lent to hyp, pinned", &[SHARE_HYP, PIN]),
    ("lent to a guest", &[MAP]),
    ("guest", &[GIVE]),
    ("guest, lent to the host", &[GIVE, LEND]),
];

const OK: Option<Error> = None;
const D: Option<Error> = Some(Error::Denied);
const B: Option<Error> = Some(Error::Busy);
const N: Option<Error> = Some(Error::NotFound);
const R: Option<Error> = Some(Error::Retry);

/// A call, and its answer in each of the states above.
#[rustfmt::skip]
const MATRIX: [(&str, Step, [Option<Error>; 8]); 17] = [
    //                                      host hyp used lent pin  np  guest lent
    ("share_hyp", SHARE_HYP,               [OK,  D,  D,   D,   D,   D,  D,    D]),
    ("donate_hyp", DONATE_HYP,             [OK,  D,  D,   D,   D,   D,  D,    D]),
    ("share_guest", MAP_AGAIN,             [OK,  D,  D,   D,   D,   OK, D,    D]),
    ("donate_guest", GIVE_ELSEWHERE,       [OK,  D,  D,   D,   D,   D,  D,    D]),
    ("unshare_hyp", UNSHARE_HYP,           [D,   D,  D,   OK,  B,   D,  D,    D]),
    ("hyp_donate_host", HYP_DONATE,        [D,   OK, B,   D,   D,   D,  D,    D]),
    ("pin", PIN,                           [D,   D,  D,   OK,  OK,  D,  D,    D]),
    ("hyp_get", HYP_GET,                   [D,   OK, OK,  D,   D,   D,  D,    D]),
    ("share_guest, occupied", MAP,         [OK,  D,  D,   D,   D,   D,  D,    D]),
    ("donate_guest, occupied", GIVE,       [OK,  D,  D,   D,   D,   D,  D,    D]),
    ("unshare_guest", UNMAP,               [N,   N,  N,   N,   N,   OK, N,    N]),
    ("unshare_guest of owned", UNMAP_PROTECTED, [N, N, N, N,   N,   N,  D,    D]),
    ("guest_share_host", LEND,             [N,   N,  N,   N,   N,   N,  OK,   D]),
    ("guest_unshare_host", TAKE_BACK,      [N,   N,  N,   N,   N,   N,  D,    OK]),
    ("reclaim", RECLAIM,                   [N,   N,  N,   N,   N,   N,  OK,   OK]),
    ("reclaim of borrowed", RECLAIM_BORROWED, [N, N, N,   N,   N,   D,  N,    N]),
    ("force_reclaim", FORCE,               [R,   D,  D,   R,   R,   R,  OK,   R]),
];

fn in_state(path: &[Step]) -> Spec {
    let mut spec = spec();
    for step in path {
        step(&mut spec).unwrap();
    }
    spec
}

/// Everything that a refused call must leave alone.
fn everything(spec: &Spec) -> String {
    format!("{spec:?}")
}

#[test]
fn every_call_in_every_state_answers_as_the_matrix_says_and_refusals_change_nothing() {
    for (call, step, answers) in MATRIX {
        for ((state, path), expected) in STATES.into_iter().zip(answers) {
            let mut spec = in_state(path);
            let before = everything(&spec);
            let answer = step(&mut spec);
            assert_eq!(answer.as_ref().err().map(|e| e.error), expected, "{call} on a page of: {state}");
            assert_eq!(invariants::check(&spec), Ok(()), "{call} on a page of: {state}");
            assert_eq!(everything(&spec) == before, answer.is_err(), "{call} on a page of: {state}");
        }
    }
}

#[test]
fn relinquish_gives_only_what_the_guest_has_to_itself() {
    let answer = |path: &[Step]| RELINQUISH(&mut in_state(path)).map(|done| done.scrubbed.len()).map_err(|e| e.error);
    assert_eq!(answer(&[]), Ok(0));
    assert_eq!(answer(&[GIVE]), Ok(1));
    assert_eq!(answer(&[GIVE, LEND]), Err(Error::Denied));
    assert_eq!(answer(&[GIVE, FORCE]), Err(Error::Poisoned));
}

#[test]
fn only_a_page_its_guest_had_shared_comes_back_unscrubbed() {
    assert_eq!(RECLAIM(&mut in_state(&[GIVE])).unwrap().scrubbed.len(), 1);
    assert_eq!(RECLAIM(&mut in_state(&[GIVE, LEND])).unwrap().scrubbed.len(), 0);
    assert_eq!(FORCE(&mut in_state(&[GIVE])).unwrap().scrubbed.len(), 1);
}

#[test]
fn a_burnt_address_refuses_everything_but_reclaim() {
    let burnt = in_state(&[GIVE, FORCE]);
    let answer = |step: Step| step(&mut burnt.clone()).map(|done| done.pages).map_err(|e| e.error);
    assert_eq!(answer(GIVE), Err(Error::Denied));
    assert_eq!(answer(|s| s.host_share_guest(vm(1), PAGE, SEEN.first)), Err(Error::Denied));
    assert_eq!(answer(LEND), Err(Error::Poisoned));
    assert_eq!(answer(TAKE_BACK), Err(Error::Poisoned));
    assert_eq!(answer(RECLAIM), Ok(1));
}

#[test]
fn counters_at_their_maximum_refuse() {
    let error = |step: Step, path: &[Step]| step(&mut in_state(path)).map_err(|e| e.error);
    assert_eq!(error(PIN, &[SHARE_HYP, PIN, PIN, PIN]), Err(Error::Saturated));
    assert_eq!(error(HYP_GET, &[DONATE_HYP, HYP_GET, HYP_GET, HYP_GET]), Err(Error::Saturated));
    let third: Step = |s| s.host_share_guest(vm(2), PAGE, 0x60);
    assert_eq!(error(third, &[MAP, MAP_AGAIN]), Err(Error::Saturated));
}

#[test]
fn a_range_is_refused_at_its_first_page_that_refuses_and_changes_nothing() {
    let mut spec = spec();
    let range = Span { first: 0x100, count: 8 };
    spec.host_share_hyp(Span { first: 0x106, count: 1 }).unwrap();
    spec.host_donate_guest(vm(1), Span { first: 0x104, count: 1 }, 0x4).unwrap();
    let before = everything(&spec);
    let at = |n| Pfn::new(n).unwrap();
    assert_eq!(spec.host_donate_hyp(range), Err(Located::pfn(Error::Denied, at(0x104))));
    assert_eq!(spec.host_donate_guest(vm(1), range, 0x80), Err(Located::pfn(Error::Denied, at(0x104))));
    // Guest frame 4 is occupied; it is met with page 0x102, before page 0x104.
    let occupied = Located::gfn(Error::Denied, Gfn::new(4).unwrap());
    assert_eq!(spec.host_donate_guest(vm(1), range, 2), Err(occupied));
    assert_eq!(everything(&spec), before);
}

#[test]
fn form_is_judged_before_memory_and_memory_before_state() {
    let mut spec = spec();
    spec.host_donate_hyp(Span { first: 0x100, count: 16 }).unwrap();
    let mut share = |first, count| spec.host_share_hyp(Span { first, count }).unwrap_err();
    let at = |n| Place::Pfn(Pfn::new(n).unwrap());
    for (first, count) in [(0x100, 0), (0x100, u64::MAX), (u64::MAX, 2), (0xfff, 2), (0x1000, 1)] {
        assert_eq!(share(first, count), Located::call(Error::Invalid), "{first:#x} {count:#x}");
    }
    assert_eq!(share(0x10f, 2), Located { error: Error::Invalid, at: at(0x110) });
    assert_eq!(share(0xff, 2), Located { error: Error::Invalid, at: at(0xff) });
    assert_eq!(share(0xf0, 0x100), Located { error: Error::Invalid, at: at(0xf0) });
    assert_eq!(share(0x110, 0xef0), Located { error: Error::NotMemory, at: at(0x110) });
    assert_eq!(share(0x10f, 1), Located { error: Error::Denied, at: at(0x10f) });
    let force = spec.force_reclaim(Span { first: 0x110, count: 1 }).unwrap_err();
    assert_eq!(force, Located { error: Error::Fault, at: at(0x110) });
}
