//! Calls with arguments nobody would make, and calls out of order.

use tenure_abi::pkvm::{GuestCall, GuestReply};
use tenure_abi::service::{HostCall, VmKind};
use tenure_abi::{Error, Pfn, VmHandle, VmSlot};
use tenure_hyp::el2::{HostOutcome, Start};
use tenure_test_board::rig::{GFN, HOST, RUN_PAGE, Rig, gfn, gfns};
use tenure_test_board::{OWN, RAM, pfns};

const EINVAL: i64 = -22;

/// The error and the value that the host is answered.
fn answer(rig: &Rig, regs: [u64; 6]) -> (i64, u64) {
    match rig.el2.host_call(regs) {
        HostOutcome::Reply([_, error, value, _]) => (error.cast_signed(), value),
        HostOutcome::Run(..) => panic!("{regs:x?} runs a vCPU"),
    }
}

/// RS-03, RS-37: an index or a count of the host's is inside its table or refused, however large, and as if it were signed.
#[test]
fn indexes_and_counts_of_the_host_are_bounded() {
    let mut rig = Rig::protected();
    rig.stop();
    let huge = [8, 9, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff, 1 << 63, u64::MAX, u64::MAX - 7];
    for index in huge {
        assert_eq!(answer(&rig, HostCall::VcpuRun { vm: rig.vm, vcpu: index }.to_regs()).0, EINVAL, "{index:#x}");
        assert_eq!(answer(&rig, HostCall::PoisonFault { vm: rig.vm, vcpu: index }.to_regs()).0, EINVAL, "{index:#x}");
    }
    let before = rig.snapshot();
    for slot in [1, 3, 4, 5, 1023] {
        let vm = VmHandle::new(VmSlot::new(slot).unwrap(), rig.vm.generation());
        for call in [HostCall::VmStartTeardown(vm), HostCall::VcpuRun { vm, vcpu: 0 }, HostCall::VmFinishTeardown(vm)] {
            assert_eq!(answer(&rig, call.to_regs()).0, EINVAL, "{call:?}");
        }
    }
    let topup = HostCall::VmTopup { vm: rig.vm, frames: pfns(HOST, 1) }.to_regs();
    for count in [0, 1 << 28, 1 << 31, 0xffff_ffff, 1 << 52, 1 << 63, u64::MAX, u64::MAX - HOST] {
        assert_eq!(answer(&rig, [topup[0], topup[1], HOST, count, 0, 0]).0, EINVAL, "{count:#x}");
        assert_eq!(answer(&rig, [0xc600_0102, HOST, count, 0, 0, 0]).0, EINVAL, "{count:#x}");
        assert_eq!(answer(&rig, [0xc600_0108, HOST, count, 0, 0, 0]).0, EINVAL, "{count:#x}");
        assert_eq!(answer(&rig, [0xc600_0107, rig.vm.to_raw(), GFN, count, 0, 0]).0, EINVAL, "{count:#x}");
    }
    assert!(rig.snapshot() == before, "a refused call changed something");
}

/// RS-05: each stage of a VM's end follows the one before, once; out of order nothing happens.
#[test]
fn a_vm_ends_in_order_and_once() {
    let mut rig = Rig::protected();
    let invalid = || Error::Invalid.into();
    rig.donate(HOST, GFN, 1);
    let before = rig.snapshot();
    assert_eq!(rig.el2.vm_finish_teardown(rig.vm), Err(invalid()), "not begun");
    assert_eq!(rig.el2.reclaim_guest(rig.vm, gfns(GFN, 1)), Err(invalid()), "not begun");
    assert_eq!(rig.el2.vm_start_teardown(rig.vm), Err(Error::Busy.into()), "a vCPU runs");
    assert!(rig.snapshot() == before, "a refused call changed something");
    rig.kill();
    assert_eq!(rig.el2.vm_start_teardown(rig.vm), Err(invalid()), "begun already");
    assert_eq!(rig.el2.vm_finish_teardown(rig.vm), Err(Error::Busy.into()), "it owns a page");
    assert_eq!(rig.el2.vcpu_run(rig.vm, 0).unwrap_err(), invalid());
    assert_eq!(rig.try_donate(HOST + 1, GFN + 1, 1), Err(invalid()));
    assert_eq!(rig.el2.vm_topup(rig.vm, pfns(HOST + 1, 1)), Ok(1), "emptying it may need tables");
    assert_eq!(rig.el2.reclaim_guest(rig.vm, gfns(GFN, 1)), Ok(1));
    rig.finish();
    assert_eq!(rig.el2.vm_finish_teardown(rig.vm), Err(invalid()), "gone");
    assert_eq!(rig.el2.vm_topup(rig.vm, pfns(HOST + 1, 1)), Err(invalid()), "gone");
    assert_eq!(rig.el2.vm_start_teardown(rig.vm), Err(invalid()), "gone");
    let next = rig.el2.vm_create(VmKind::Protected, pfns(RAM + OWN, 2)).unwrap();
    assert_eq!((next.slot(), next == rig.vm), (rig.vm.slot(), false), "the slot's next VM has a handle of its own");
    assert_eq!(rig.el2.vm_finish_teardown(rig.vm), Err(invalid()));
}

/// RS-37: the right to run a vCPU exists once, and only for a vCPU that was created.
#[test]
fn a_vcpu_runs_once() {
    let mut rig = Rig::protected();
    assert_eq!(rig.el2.vcpu_run(rig.vm, 0).unwrap_err(), Error::Busy.into());
    assert_eq!(rig.el2.vcpu_run(rig.vm, 1).unwrap_err(), Error::Invalid.into(), "not created");
    let start = Start { entry: 4, argument: 5 };
    assert_eq!(rig.el2.vcpu_create(rig.vm, Pfn::new(RUN_PAGE).unwrap(), start), Ok(1));
    let (second, resume) = rig.el2.vcpu_run(rig.vm, 1).unwrap();
    assert_eq!(resume, tenure_hyp::el2::Resume::Start(start));
    assert_eq!(rig.el2.vcpu_run(rig.vm, 1).unwrap_err(), Error::Busy.into());
    rig.stop();
    assert_eq!(rig.el2.vm_start_teardown(rig.vm), Err(Error::Busy.into()), "the second runs");
    rig.vcpu = Some(second);
    rig.kill();
    rig.finish();
}

/// RS-20: an address that is not a page's is refused, not cut off to the page's.
#[test]
fn an_unaligned_address_moves_nothing() {
    let rig = Rig::protected();
    rig.donate(HOST, GFN, 2);
    rig.share(GFN + 1, 1);
    let before = rig.snapshot();
    for call in [
        GuestCall::MemShare(gfns(GFN, 1)),
        GuestCall::MemUnshare(gfns(GFN + 1, 1)),
        GuestCall::MemRelinquish(gfn(GFN)),
        GuestCall::MemShare(gfns(GFN, 2)),
    ] {
        let [function, ipa, pages, reserved] = call.to_regs();
        for offset in [1, 8, 0x800, 0xfff] {
            let reply = rig.call_regs([function, ipa + offset, pages, reserved]);
            assert_eq!(reply, GuestReply::Refused(Error::Invalid).into(), "{call:?} + {offset:#x}");
        }
    }
    assert!(rig.snapshot() == before, "a refused call changed something");
}

/// RS-29: an argument that means nothing is 0 or the call is refused, so that it can get a meaning later.
#[test]
fn reserved_arguments_must_be_zero() {
    let rig = Rig::protected();
    rig.donate(HOST, GFN, 2);
    let before = rig.snapshot();
    for call in [GuestCall::MemShare(gfns(GFN, 1)), GuestCall::MemRelinquish(gfn(GFN)), GuestCall::HypMemInfo] {
        let [function, ipa, pages, _] = call.to_regs();
        let reply = rig.call_regs([function, ipa, pages, 1]);
        assert_eq!(reply, GuestReply::Refused(Error::Invalid).into(), "{call:?}");
    }
    let vm = rig.vm;
    for (call, used) in [
        (HostCall::ShareHyp(pfns(HOST + 9, 1)), 2),
        (HostCall::UnshareHyp(pfns(RUN_PAGE, 1)), 2),
        (HostCall::DonateGuest { vm, frames: pfns(HOST + 9, 1), gfn: gfn(GFN + 9) }, 4),
        (HostCall::ForceReclaim(pfns(HOST, 1)), 2),
        (HostCall::VmCreate { kind: VmKind::Protected, root: pfns(HOST + 10, 2) }, 3),
        (HostCall::VmTopup { vm, frames: pfns(HOST + 9, 1) }, 3),
        (HostCall::VmStartTeardown(vm), 1),
    ] {
        for argument in used + 1..6 {
            let mut regs = call.to_regs();
            regs[argument] = 1 << (argument * 8);
            assert_eq!(answer(&rig, regs).0, EINVAL, "{call:?} x{argument}");
        }
    }
    assert!(rig.snapshot() == before, "a refused call changed something");
}

/// RS-37: root tables of the wrong number or alignment are refused before anything is donated.
#[test]
fn a_root_out_of_line_is_refused() {
    let rig = Rig::protected();
    let before = rig.snapshot();
    for (first, pages) in [(HOST + 1, 2), (HOST, 1), (HOST, 3), (HOST + 2, 4), (HOST + 511, 2)] {
        let refused = rig.el2.vm_create(VmKind::Protected, pfns(first, pages));
        assert_eq!(refused, Err(Error::Invalid.into()), "{first:#x} {pages}");
    }
    assert!(rig.snapshot() == before, "a refused call changed something");
}
