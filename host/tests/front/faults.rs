//! Memory faults: spurious ones, mistakes, requests, and those that do not end.

use crate::fake::{Fake, G, front, request};
use tenure_abi::{ContentMode, Error, Visibility};
use tenure_host::faults::{Fault, FaultLog, Policy, Verdict};

fn fault(at: u64, access: Visibility) -> Fault {
    Fault { gpa: (G + at) << 12 | 0x123, size: 1, access }
}

#[test]
fn a_fault_that_agrees_with_the_state_is_run_again_and_changes_nothing() {
    let fake = Fake::default();
    let front = front(&fake);
    let verdict = front.fault(&fault(1, Visibility::Shared), front.entering(), Policy::Convert, &mut FaultLog::new(9));
    assert_eq!(verdict, Verdict::RunAgain);
    assert!(fake.log.borrow().is_empty());
}

#[test]
fn a_fault_that_differs_follows_the_policy() {
    let fake = Fake::default();
    let front = front(&fake);
    let differs = fault(1, Visibility::Private);
    assert_eq!(front.fault(&differs, front.entering(), Policy::Deny, &mut FaultLog::new(9)), Verdict::Denied);
    assert!(!fake.private.borrow()[1]);
    assert_eq!(front.fault(&differs, front.entering(), Policy::Convert, &mut FaultLog::new(9)), Verdict::Converted);
    assert_eq!(*fake.private.borrow(), [false, true, false, false, false, false, false, false]);
}

#[test]
fn the_same_address_again_and_again_escalates_and_another_one_starts_afresh() {
    let fake = Fake::default();
    let front = front(&fake);
    let mut log = FaultLog::new(3);
    let mut at = |page| front.fault(&fault(page, Visibility::Shared), front.entering(), Policy::Deny, &mut log);
    for _ in 0..3 {
        assert_eq!(at(1), Verdict::RunAgain);
    }
    assert_eq!(at(1), Verdict::Stuck { times: 4 });
    assert_eq!(at(2), Verdict::RunAgain);
    assert_eq!(at(1), Verdict::RunAgain);
    let mut log = FaultLog::new(1);
    for _ in 0..5 {
        assert_eq!(
            front.fault(&fault(1, Visibility::Shared), front.entering(), Policy::Deny, &mut log),
            Verdict::RunAgain
        );
        log.got_on();
    }
}

#[test]
fn a_fault_outside_of_memory_or_of_an_absurd_size_is_unbacked() {
    let fake = Fake::default();
    let front = front(&fake);
    let mut log = FaultLog::new(9);
    for fault in [
        fault(8, Visibility::Private),
        Fault { size: 0x1000, ..fault(7, Visibility::Private) },
        Fault { gpa: u64::MAX, size: 2, access: Visibility::Shared },
        Fault { gpa: 1 << 52, size: 1, access: Visibility::Shared },
        Fault { gpa: G << 12, size: u64::MAX, access: Visibility::Shared },
    ] {
        assert_eq!(front.fault(&fault, front.entering(), Policy::Convert, &mut log), Verdict::Unbacked, "{fault:?}");
    }
    assert_eq!(*fake.private.borrow(), [false; 8]);
}

#[test]
fn a_page_that_is_held_for_a_moment_is_tried_again_and_a_held_one_is_named() {
    let fake = Fake { refuses: Some((3, Error::Retry, 1)).into(), ..Fake::default() };
    let front = front(&fake);
    let mut log = FaultLog::new(9);
    let differs = fault(3, Visibility::Private);
    assert_eq!(front.fault(&differs, front.entering(), Policy::Convert, &mut log), Verdict::RunAgain);
    *fake.refuses.borrow_mut() = Some((3, Error::Busy, 1));
    assert!(
        matches!(front.fault(&differs, front.entering(), Policy::Convert, &mut log), Verdict::Failed(stopped) if stopped.error == Error::Busy)
    );
    assert_eq!(front.fault(&differs, front.entering(), Policy::Convert, &mut log), Verdict::Converted);
}

#[test]
fn a_fault_from_before_a_conversion_is_stale_whatever_it_says() {
    let fake = Fake::default();
    let front = front(&fake);
    let mut log = FaultLog::new(9);
    let entered = front.entering();
    front.convert(request(1, 1, Visibility::Private), ContentMode::Unspecified).unwrap();
    let stale = fault(1, Visibility::Shared);
    assert_eq!(front.fault(&stale, entered, Policy::Convert, &mut log), Verdict::RunAgain);
    assert_eq!(front.fault(&stale, entered, Policy::Deny, &mut log), Verdict::RunAgain);
    assert!(fake.private.borrow()[1]);
    assert_eq!(front.fault(&stale, front.entering(), Policy::Deny, &mut log), Verdict::Denied);
}

#[test]
fn a_conversion_that_was_refused_makes_faults_stale_too() {
    let fake = Fake { refuses: Some((1, Error::Busy, 1)).into(), ..Fake::default() };
    let front = front(&fake);
    let mut log = FaultLog::new(9);
    let entered = front.entering();
    front.convert(request(1, 1, Visibility::Private), ContentMode::Unspecified).unwrap_err();
    assert_eq!(front.fault(&fault(1, Visibility::Private), entered, Policy::Deny, &mut log), Verdict::RunAgain);
}
