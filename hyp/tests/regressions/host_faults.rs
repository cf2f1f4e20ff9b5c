//! The host's faults: many at once, on pages that are there already, on pages in motion.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use tenure_hyp::el2::HostFault;
use tenure_test_board::rig::{GFN, HOST, RUN_PAGE, Rig};
use tenure_test_board::watch::Step;

/// RS-19: a fault that finds its page mapped is over, whatever the size it is mapped in.
#[test]
fn a_page_that_is_mapped_already_is_no_error() {
    let rig = Rig::protected();
    // A page of a mixed region, and one of a uniform one.
    for page in [RUN_PAGE + 1, HOST + 77] {
        for _ in 0..3 {
            assert!(rig.touch(page));
        }
        rig.sound();
    }
    // A neighbour's fault brought the block: its own is over.
    assert!(rig.touch(HOST + 78) && rig.touch(HOST));
}

/// RS-37: two CPUs that fault on one page at once: the second is told to look again, and finds it.
#[test]
fn two_faults_on_one_page_are_one() {
    for page in [RUN_PAGE + 1, HOST] {
        let rig = Rig::protected();
        let (el2, board) = (rig.el2, rig.board);
        let answers = Arc::new(AtomicU64::new(0));
        let seen = Arc::clone(&answers);
        board.watch(move |step| {
            if step == Step::Publish {
                assert_eq!(el2.host_fault(page << 12), HostFault::Retry);
                seen.fetch_add(1, Relaxed);
            }
        });
        assert!(rig.touch(page));
        board.unwatch();
        assert_eq!(answers.load(Relaxed), 1, "the second fault came while the first was at work");
        rig.sound();
    }
}

/// RS-37: a fault on a page that is being given away gets nothing at any step of it.
#[test]
fn a_fault_during_a_donation_maps_nothing() {
    for pages in [1, 5, 512] {
        let rig = Rig::protected();
        assert!(rig.touch(HOST));
        let (el2, board) = (rig.el2, rig.board);
        let steps = Arc::new(AtomicU64::new(0));
        let seen = Arc::clone(&steps);
        board.watch(move |_| {
            el2.host_fault(HOST << 12);
            seen.fetch_add(1, Relaxed);
        });
        rig.donate(HOST, GFN, pages);
        board.unwatch();
        assert!(steps.load(Relaxed) >= 2);
        assert!(!rig.touch(HOST));
        rig.sound();
    }
}
