//! A guest's calls that are not about pages of its own, and what the image is told to do.

use super::*;
use tenure_abi::run::StopReason;
use tenure_abi::service::Prot;
use tenure_abi::smccc::psci;
use tenure_hyp::el2::Stop;

#[test]
fn each_kind_of_guest_is_offered_what_it_can_use() {
    let features = |kind| Rig::new(kind).call(GuestCall::Features);
    assert_eq!(features(VmKind::Protected), GuestOutcome::Reply([0x21d, 0, 0, 0]));
    assert_eq!(features(VmKind::NonProtected), GuestOutcome::Reply([0x201, 0, 0, 0]));
}

#[test]
fn a_guest_that_powers_off_or_resets_stops() {
    let rig = Rig::protected();
    for function in [psci::SYSTEM_OFF, psci::SYSTEM_RESET] {
        let outcome = rig.el2.guest_call(rig.vcpu.as_ref().unwrap(), [function.into(), 0, 0, 0]);
        assert_eq!(outcome, GuestOutcome::RewindAndStop(Stop::plain(StopReason::SystemOff)), "{function:#x}");
    }
}

#[test]
fn what_a_non_protected_guest_gives_back_it_keeps() {
    let rig = Rig::new(VmKind::NonProtected);
    rig.el2.share_guest(rig.vm, pfns(HOST, 1), gfn(GFN), Prot::R).unwrap();
    assert_eq!(rig.call(GuestCall::MemRelinquish(gfn(GFN))), GuestOutcome::Reply([0; 4]));
    assert_eq!(rig.board.leaves(RAM + OWN).get(&GFN), Some(&HOST));
    assert_eq!(rig.el2.unshare_guest(rig.vm, gfns(GFN, 1)), Ok(1));
    rig.sound();
}
