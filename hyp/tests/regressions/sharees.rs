//! With whom a page is shared, and who can end that.

use tenure_abi::service::{Prot, VmKind};
use tenure_abi::{Borrower, Error, Gfn, Located, Owner, PageState, Pfn, VmSlot};
use tenure_hyp::tracker::{Identity, Transition};
use tenure_test_board::rig::{GFN, HOST, Rig, gfn, gfns};
use tenure_test_board::{OWN, RAM, pfns};

/// Pages in every shared state: with the hypervisor, with an unprotected guest, by a guest with the host.
const WITH_HYP: u64 = HOST;
const WITH_GUESTS: u64 = HOST + 1;
const WITH_HOST: u64 = HOST + 2;

fn rig() -> (Rig, tenure_abi::VmHandle) {
    let mut rig = Rig::protected();
    let np = rig.el2.vm_create(VmKind::NonProtected, pfns(RAM + OWN + 120, 2)).unwrap();
    rig.el2.vm_topup(np, pfns(RAM + OWN + 122, 8)).unwrap();
    rig.views.push(tenure_test_board::check::View { slot: np.slot(), root: RAM + OWN + 120 });
    rig.el2.share_hyp(pfns(WITH_HYP, 1)).unwrap();
    rig.el2.share_guest(np, pfns(WITH_GUESTS, 1), gfn(GFN), Prot::R).unwrap();
    rig.donate(WITH_HOST, GFN, 1);
    rig.share(GFN, 1);
    (rig, np)
}

/// RS-09: to end a share its own sharee must be named; for every other pair the page stays as it is.
#[test]
fn only_the_sharee_is_unshared() {
    let (rig, _) = rig();
    let me = Identity::guest(rig.vm.slot(), Gfn::new(GFN).unwrap()).unwrap();
    let ends = [
        (Transition::HostUnshareHyp, WITH_HYP),
        (Transition::HostUnshareGuest, WITH_GUESTS),
        (Transition::GuestUnshareHost, WITH_HOST),
    ];
    let before = rig.snapshot();
    for (op, own) in ends {
        for page in [WITH_HYP, WITH_GUESTS, WITH_HOST].into_iter().filter(|&page| page != own) {
            let refused = rig.el2.tracker().claim(op, pfns(page, 1), me).err();
            assert_eq!(refused, Some(Located::pfn(Error::Denied, Pfn::new(page).unwrap())), "{op:?} of {page:#x}");
        }
    }
    for page in [WITH_GUESTS, WITH_HOST] {
        let denied = Located::pfn(Error::Denied, Pfn::new(page).unwrap());
        assert_eq!(rig.el2.unshare_hyp(pfns(page, 1)), Err(denied));
        assert_eq!(rig.el2.pin(pfns(page, 1)), Err(denied));
    }
    assert!(rig.snapshot() == before, "a refused call changed something");
    rig.sound();
}

/// RS-31: the record of a shared page says with whom it is shared.
#[test]
fn the_record_says_with_whom() {
    let (rig, np) = rig();
    let shared = |owner, with| PageState::Shared { owner, with };
    assert_eq!(rig.state(WITH_HYP), shared(Owner::Host, Borrower::Hyp { pins: 0 }));
    assert_eq!(rig.state(WITH_GUESTS), shared(Owner::Host, Borrower::Guests { mappings: 1 }));
    assert_eq!(rig.state(WITH_HOST), shared(Owner::Guest(rig.vm.slot()), Borrower::Host));
    assert_eq!(rig.entry(WITH_HOST).guest(), Some((VmSlot::new(0).unwrap(), gfn(GFN))));
    rig.el2.share_guest(np, pfns(WITH_GUESTS, 1), gfn(GFN + 9), Prot::R).unwrap();
    assert_eq!(rig.state(WITH_GUESTS), shared(Owner::Host, Borrower::Guests { mappings: 2 }));
    assert_eq!(rig.el2.unshare_guest(np, gfns(GFN, 1)), Ok(1));
    assert_eq!(rig.state(WITH_GUESTS), shared(Owner::Host, Borrower::Guests { mappings: 1 }));
    rig.sound();
}
