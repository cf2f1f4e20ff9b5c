//! A hypervisor that lies, in one struct: each test scripts the answers and sees what the guest believed.

extern crate std;
use super::*;
use crate::guest::converted;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::{thread_local, vec::Vec};
use tenure_abi::pkvm::id;
use tenure_abi::{AddressWidth, Place};

thread_local! {
    /// Every call made: function, x1, x2, x3.
    static MADE: RefCell<Vec<[u64; 4]>> = const { RefCell::new(Vec::new()) };
    /// Answers to the memory calls, x0 and x1; when none is left, success of all that was asked.
    static ANSWERS: RefCell<VecDeque<[u64; 2]>> = const { RefCell::new(VecDeque::new()) };
    /// What the probe finds: UID, features, x0 and x1 of `HYP_MEMINFO`.
    static WORLD: RefCell<([u32; 4], u32, [u64; 2])> = const { RefCell::new((UID, 0x1d, [4096, 0])) };
}

struct Fake;

impl Call for Fake {
    fn call32(function: u32, _: [u32; 7]) -> [u32; 8] {
        let (uid, features, _) = WORLD.with_borrow(|world| *world);
        let [a, b, c, d] = match function {
            id::CALL_UID => uid,
            id::FEATURES => [features, 0, 0, 0],
            _ => [u32::MAX, 0, 0, 0],
        };
        [a, b, c, d, 0, 0, 0, 0]
    }

    fn call64(function: u32, args: [u64; 17]) -> [u64; 18] {
        MADE.with_borrow_mut(|made| made.push([function.into(), args[0], args[1], args[2]]));
        let (_, _, info) = WORLD.with_borrow(|world| *world);
        let [x0, x1] = match function {
            id::HYP_MEMINFO => info,
            _ => ANSWERS.with_borrow_mut(VecDeque::pop_front).unwrap_or([0, args[1].max(1) * info[1]]),
        };
        let mut out = [0xbad; 18];
        out[..2].copy_from_slice(&[x0, x1]);
        out
    }
}

fn world(uid: [u32; 4], features: u32, info: [u64; 2]) {
    WORLD.set((uid, features, info));
}

fn probed(ranges: bool, answers: &[[u64; 2]]) -> Pkvm<Fake> {
    world(UID, 0x1d, [4096, ranges.into()]);
    let pkvm = Pkvm::probe().unwrap();
    MADE.take();
    ANSWERS.set(answers.iter().copied().collect());
    pkvm
}

fn pages(count: u64) -> FrameRange<Gfn> {
    FrameRange::new(Gfn::new(0x40100).unwrap(), count, AddressWidth::GUEST_MAX).unwrap()
}

fn failed_at(offset: u64, why: Failure) -> Result<(), Located<Failure>> {
    Err(Located { error: why, at: Place::Gfn(Gfn::new(0x40100 + offset).unwrap()) })
}

#[test]
fn a_foreign_hypervisor_is_not_believed() {
    world([UID[0], UID[1], UID[2], 0], 0x1d, [4096, 0]);
    assert_eq!(Pkvm::<Fake>::probe().err(), Some(Error::NotSupported));
    world([u32::MAX, 0, 0, 0], 0x1d, [4096, 0]);
    assert_eq!(Pkvm::<Fake>::probe().err(), Some(Error::NotSupported));
}

#[test]
fn each_missing_feature_ends_the_probe() {
    for features in [0, 0x3, 0x1d & !0x4, 0x1d & !0x8, 0x1d & !0x10, u32::MAX] {
        world(UID, features, [4096, 0]);
        assert_eq!(Pkvm::<Fake>::probe().err(), Some(Error::NotSupported), "{features:#x}");
    }
}

#[test]
fn a_granule_other_than_4k_ends_the_probe() {
    for granule in [0, 1, 2048, 16384, u64::MAX, u64::MAX - 2] {
        world(UID, 0x1d, [granule, 0]);
        assert_eq!(Pkvm::<Fake>::probe().err(), Some(Error::NotSupported), "{granule:#x}");
    }
}

#[test]
fn without_ranges_every_page_is_its_own_call_with_x2_zero() {
    let pkvm = probed(false, &[]);
    assert_eq!(pkvm.share(pages(3)), Ok(()));
    let share = u64::from(id::MEM_SHARE);
    let expected = [[share, 0x4010_0000, 0, 0], [share, 0x4010_1000, 0, 0], [share, 0x4010_2000, 0, 0]];
    assert_eq!(MADE.take(), expected);
}

#[test]
fn with_ranges_short_counts_are_continued_where_they_stopped() {
    let pkvm = probed(true, &[[0, 200], [0, 1]]);
    assert_eq!(pkvm.unshare(pages(512)), Ok(()));
    let unshare = u64::from(id::MEM_UNSHARE);
    let expected = [[unshare, 0x4010_0000, 512, 0], [unshare, 0x401c_8000, 312, 0], [unshare, 0x401c_9000, 311, 0]];
    assert_eq!(MADE.take(), expected);
}

#[test]
fn success_without_progress_is_a_surprise_not_a_loop() {
    let pkvm = probed(true, &[[0, 4], [0, 0]]);
    assert_eq!(pkvm.share(pages(8)), failed_at(4, Failure::Surprise(0)));
    assert_eq!(MADE.take().len(), 2);
}

#[test]
fn progress_past_the_end_is_a_surprise() {
    for lie in [9, 1 << 40, u64::MAX] {
        let pkvm = probed(true, &[[0, lie]]);
        assert_eq!(pkvm.share(pages(8)), failed_at(0, Failure::Surprise(lie)));
    }
    let pkvm = probed(true, &[[0, 6], [0, 3]]);
    assert_eq!(pkvm.share(pages(8)), failed_at(6, Failure::Surprise(3)));
}

#[test]
fn a_code_nobody_defined_is_a_surprise() {
    for code in [1, 4096, u64::MAX - 1, u64::MAX - 3, 1 << 63, u64::from(u32::MAX)] {
        let pkvm = probed(false, &[[0, 0], [code, 0]]);
        assert_eq!(pkvm.share(pages(4)), failed_at(1, Failure::Surprise(code)), "{code:#x}");
    }
}

#[test]
fn a_refusal_names_the_page_and_progress_is_exact() {
    let pkvm = probed(false, &[[0, 0], [0, 0], [u64::MAX - 2, 0]]);
    let result = pkvm.share(pages(5));
    assert_eq!(result, failed_at(2, Failure::Refused(Error::Denied)));
    assert_eq!(converted(pages(5), result), 2);
    let pkvm = probed(true, &[[0, 3], [u64::MAX, 0]]);
    let result = pkvm.unshare(pages(5));
    assert_eq!(result, failed_at(3, Failure::Refused(Error::NotSupported)));
    assert_eq!(converted(pages(5), result), 3);
    assert_eq!(converted(pages(5), Ok(())), 5);
}

#[test]
fn without_ranges_a_count_in_x1_is_not_believed() {
    let pkvm = probed(false, &[[0, 5]]);
    assert_eq!(pkvm.share(pages(5)), Ok(()));
    assert_eq!(MADE.take().len(), 5);
}

#[test]
fn relinquish_is_called_only_where_offered() {
    let gfn = Gfn::new(0x40100).unwrap();
    let pkvm = probed(false, &[]);
    assert_eq!(pkvm.relinquish(gfn), failed_at(0, Failure::Refused(Error::NotSupported)));
    assert_eq!(MADE.take(), Vec::<[u64; 4]>::new());
    world(UID, 0x21d, [4096, 1]);
    let pkvm = Pkvm::<Fake>::probe().unwrap();
    MADE.take();
    assert_eq!(pkvm.relinquish(gfn), Ok(()));
    assert_eq!(MADE.take(), [[u64::from(id::MEM_RELINQUISH), 0x4010_0000, 0, 0]]);
}
