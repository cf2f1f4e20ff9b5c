//! Records that contradict each other: a defect of the hypervisor, made here by going to the tracker behind `El2`'s back. Nobody gets
//! the page, and it is counted.

use super::*;
use std::sync::atomic::Ordering::Relaxed;
use tenure_abi::PageSize;
use tenure_hyp::tracker::{Identity, Transition};

/// Moves a page in the records alone.
fn forge(rig: &Rig, op: Transition, identity: Identity) {
    rig.el2.tracker().claim(op, pfns(HOST, 1), identity).unwrap().commit(PageSize::Size4K);
}

/// A page mapped for the guest at `GFN` and for the host, whose entry says another gfn.
fn contradicting() -> Rig {
    let rig = Rig::protected();
    let at = |number| Identity::guest(rig.vm.slot(), gfn(number)).unwrap();
    rig.donate(HOST, GFN, 1).unwrap();
    assert_eq!(rig.call(GuestCall::MemShare(gfns(GFN, 1))), done(1));
    assert!(rig.touch(HOST));
    forge(&rig, Transition::GuestUnshareHost, at(GFN));
    forge(&rig, Transition::ReclaimOwned, at(GFN));
    forge(&rig, Transition::HostDonateGuest, at(GFN + 1));
    rig
}

fn contained(rig: &Rig, invalidations: u64) {
    assert_eq!(rig.el2.tracker().contradictions(), 1);
    let state = rig.state(HOST);
    assert!(matches!(state, PageState::Quarantined { was, .. } if was == rig.owner()), "{state:?}");
    assert_eq!(rig.board.invalidations.load(Relaxed), invalidations + 1, "the host's leaf is gone");
    assert!(!rig.touch(HOST));
    assert!(rig.el2.host_call(tenure_abi::service::HostCall::Audit { cursor: 0, pages: 1 }.to_regs()).is_refused());
}

/// Whether a host's call was refused.
trait Refused {
    fn is_refused(&self) -> bool;
}

impl Refused for tenure_hyp::el2::HostOutcome {
    fn is_refused(&self) -> bool {
        matches!(self, tenure_hyp::el2::HostOutcome::Reply([0, code, ..]) if *code != 0)
    }
}

#[test]
fn a_guests_call_on_a_page_that_is_not_its_own_is_contained() {
    let rig = contradicting();
    let before = rig.board.invalidations.load(Relaxed);
    assert_eq!(rig.call(GuestCall::MemShare(gfns(GFN, 1))), refused(Error::Internal));
    contained(&rig, before);
}

#[test]
fn a_forced_reclaim_that_finds_another_map_is_contained() {
    let rig = contradicting();
    let before = rig.board.invalidations.load(Relaxed);
    assert_eq!(rig.el2.force_reclaim(pfns(HOST, 1)), Err(Located::pfn(Error::Internal, Pfn::new(HOST).unwrap())));
    contained(&rig, before);
    assert_eq!(rig.el2.force_reclaim(pfns(HOST, 1)), Err(Located::pfn(Error::Quarantined, Pfn::new(HOST).unwrap())));
}

#[test]
fn the_registers_of_both_worlds_are_those_of_their_maps() {
    let rig = Rig::protected();
    let geometry = tenure_arch::stage2::Geometry::new(AddressWidth::new(40).unwrap()).unwrap();
    let vtcr = geometry.vtcr(AddressWidth::new(40).unwrap(), false);
    assert_eq!((rig.el2.host_vtcr(), rig.el2.guest_vtcr()), (vtcr, vtcr));
    let (host, guest) = (rig.el2.host_context(), rig.el2.guest_context(rig.vcpu.as_ref().unwrap()).unwrap());
    assert_eq!((host.vmid(), host.root().number()), (0, RAM));
    assert_eq!((guest.vmid(), guest.root().number()), (rig.vm.slot().index() + 1, RAM + OWN));
}
