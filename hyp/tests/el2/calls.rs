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
    assert_eq!(rig.board.leaves(RAM + OWN).get(GFN), Some(HOST));
    assert_eq!(rig.el2.unshare_guest(rig.vm, gfns(GFN, 1)), Ok(1));
    rig.sound();
}

#[test]
fn the_fast_path_knows_one_guest_from_another() {
    let rig = Rig::protected();
    let second = create(&rig.el2, VmKind::Protected, RAM + OWN + 200);
    rig.el2.share_hyp(pfns(RAM + OWN + 300, 1)).unwrap();
    rig.el2.vcpu_create(second, Pfn::new(RAM + OWN + 300).unwrap(), Start { entry: 0, argument: 0 }).unwrap();
    let (token, _) = rig.el2.vcpu_run(second, 0).unwrap();
    // Both have a page at the same address.
    rig.donate(HOST, GFN, 1).unwrap();
    assert_eq!(rig.el2.donate_guest(second, pfns(HOST + 1, 1), gfn(GFN)), Ok(1));
    let share = GuestCall::MemShare(gfns(GFN, 1)).to_regs();
    assert_eq!(rig.el2.guest_call_fast(&token, share), Some([0, 1, 0, 0]));
    assert!(rig.touch(HOST + 1) && !rig.touch(HOST));
    rig.sound();
}
