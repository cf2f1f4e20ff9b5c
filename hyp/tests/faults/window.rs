//! A page that the host gives for tables, and that the image cannot reach: the call is refused and the page stays the host's.

use tenure_abi::service::VmKind;
use tenure_abi::{Error, Located, Pfn};
use tenure_test_board::pfns;
use tenure_test_board::rig::{GFN, HOST, ROOT, Rig};

#[test]
fn tables_out_of_reach_are_refused_and_stay_the_hosts() {
    for pages in (1..5).step_by(if cfg!(miri) { 2 } else { 1 }) {
        for hidden in 0..pages {
            let mut rig = Rig::protected();
            rig.board.hide(HOST + hidden);
            let before = rig.snapshot();
            let fault = Located::pfn(Error::Fault, Pfn::new(HOST + hidden).unwrap());
            assert_eq!(rig.el2.vm_topup(rig.vm, pfns(HOST, pages)), Err(fault), "{hidden} of {pages}");
            assert!(rig.snapshot() == before, "{hidden} of {pages} changed something");
            if pages == 2 {
                assert_eq!(rig.el2.vm_create(VmKind::Protected, pfns(HOST, 2)), Err(fault));
                assert!(rig.snapshot() == before, "{hidden} of {pages} changed something");
            }
            rig.sound();
            // It is good for everything else.
            rig.donate(HOST + hidden, GFN, 1);
            rig.sound();
            rig.end(ROOT + 200);
            rig.all_is_the_hosts();
        }
    }
}
