//! Pins that fail at any page of a range: nothing is pinned, and nothing mapped at EL2.

use tenure_abi::service::VmKind;
use tenure_abi::{Error, Located, Pfn};
use tenure_hyp::el2::Start;
use tenure_test_board::pfns;
use tenure_test_board::rig::{HOST, Rig};

/// A range of five pages over the end of a region.
const FIRST: u64 = HOST + 509;
const PAGES: u64 = 5;

/// What makes a page unfit.
type Spoil = fn(&Rig, u64);

/// What is wrong with one page, and the error that says so.
const WRONG: [(Spoil, Error); 3] = [
    (|rig, page| _ = rig.el2.unshare_hyp(pfns(page, 1)).unwrap(), Error::Denied),
    (
        |rig, page| {
            rig.el2.unshare_hyp(pfns(page, 1)).unwrap();
            rig.el2.donate_hyp(pfns(page, 1)).unwrap();
        },
        Error::Denied,
    ),
    (|rig, page| (0..0xffff).for_each(|_| rig.el2.pin(pfns(page, 1)).unwrap()), Error::Saturated),
];

#[test]
fn a_pin_refused_at_any_page_pins_none() {
    // Every counter that has to be filled is 65,535 calls: too many for an interpreter.
    let (kinds, every) = if cfg!(miri) { (2, 4) } else { (WRONG.len(), 1) };
    for (spoil, error) in WRONG.into_iter().take(kinds) {
        for at in (FIRST..FIRST + PAGES).step_by(every) {
            let rig = Rig::new(VmKind::Protected, 0);
            rig.el2.share_hyp(pfns(FIRST, PAGES)).unwrap();
            spoil(&rig, at);
            let before = rig.snapshot();
            let refused = Err(Located::pfn(error, Pfn::new(at).unwrap()));
            assert_eq!(rig.el2.pin(pfns(FIRST, PAGES)), refused);
            assert!(rig.snapshot() == before, "{error:?} at {at:#x} changed something");
            let start = Start { entry: 0, argument: 0 };
            let page = Pfn::new(at).unwrap();
            assert_eq!(rig.el2.vcpu_create(rig.vm, page, start), Err(Located::pfn(error, page)));
            assert!(rig.snapshot() == before, "{error:?} at {at:#x} changed something");
            rig.sound();
        }
    }
}

/// Pins of overlapping ranges come off in any order; a page is mapped at EL2 from its first to its last.
#[test]
fn overlapping_pins_come_off_in_any_order() {
    for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0], [1, 0, 2]] {
        let rig = Rig::new(VmKind::Protected, 0);
        rig.el2.share_hyp(pfns(FIRST, PAGES)).unwrap();
        let ranges = [pfns(FIRST, 3), pfns(FIRST + 2, 3), pfns(FIRST, PAGES)];
        for range in ranges {
            rig.el2.pin(range).unwrap();
            rig.sound();
        }
        for range in order {
            rig.el2.unpin(ranges[range]).unwrap();
            rig.sound();
        }
        assert_eq!(rig.board.attached(), 3, "the VM's roots and its run page");
        assert_eq!(rig.el2.unshare_hyp(pfns(FIRST, PAGES)), Ok(PAGES));
    }
}
