//! From creation to the last page back at the host.

use super::*;
use tenure_abi::run::StopReason;
use tenure_abi::service::{HostCall, Prot};
use tenure_hyp::el2::{HostOutcome, Stop};

/// Stops the vCPU and lets the VM die, without reclaiming anything.
fn kill(rig: &mut Rig) {
    let token = rig.vcpu.take().unwrap();
    assert_eq!(rig.el2.vm_start_teardown(rig.vm), Err(Error::Busy.into()), "a vCPU runs");
    rig.el2.vcpu_stopped(token, Stop::plain(StopReason::SystemOff));
    rig.el2.vm_start_teardown(rig.vm).unwrap();
}

#[test]
fn everything_comes_back_and_secrets_do_not() {
    let mut rig = Rig::protected();
    for page in 0..4 {
        rig.board.write(HOST + page, 0, SECRET);
    }
    rig.donate(HOST, GFN, 4).unwrap();
    rig.call(GuestCall::MemShare(gfns(GFN + 3, 1)));
    rig.el2.force_reclaim(pfns(HOST + 1, 1)).unwrap();
    assert_eq!(rig.el2.reclaim_guest(rig.vm, gfns(GFN, 4)), Err(Error::Invalid.into()), "not dying");
    kill(&mut rig);
    assert_eq!(rig.el2.vm_finish_teardown(rig.vm), Err(Error::Busy.into()), "it owns pages");
    assert_eq!(rig.el2.reclaim_guest(rig.vm, gfns(GFN, 5)), Ok(4));
    assert_eq!(rig.el2.reclaim_guest(rig.vm, gfns(GFN, 1)), Err(Located::gfn(Error::NotFound, gfn(GFN))));
    let words: Vec<u64> = (0..4).map(|page| rig.board.read(HOST + page, 0)).collect();
    assert_eq!(words, [0, 0, 0, SECRET], "only the page the guest had shared keeps its content");
    while rig.el2.vm_finish_teardown(rig.vm).unwrap() != 0 {}
    assert_eq!(rig.board.attached(), 0);
    rig.el2.unshare_hyp(pfns(RAM + OWN + 100, 1)).unwrap();
    for page in RAM + OWN..RAM + 2048 {
        assert_eq!(rig.state(page), PageState::Exclusive(Owner::Host), "{page:#x}");
    }
    assert_eq!(rig.el2.vm_finish_teardown(rig.vm), Err(Error::Invalid.into()), "the handle is stale");
    rig.sound();
}

#[test]
fn two_megabytes_come_back_in_one_call_and_more_in_several() {
    let mut rig = Rig::protected();
    let base = GFN & !511;
    for half in 0..2 {
        assert_eq!(rig.donate(HOST + half * 512, base + half * 512, 512), Ok(512));
    }
    rig.call(GuestCall::MemShare(gfns(base + 100, 1)));
    kill(&mut rig);
    let mut at = 0;
    let mut calls = 0;
    while at < 1024 {
        at += rig.el2.reclaim_guest(rig.vm, gfns(base + at, 1024 - at)).unwrap();
        calls += 1;
    }
    assert_eq!((at, calls), (1024, 2));
    assert_eq!(rig.el2.vm_finish_teardown(rig.vm), Ok(0));
    rig.sound();
}

#[test]
fn a_non_protected_guest_borrows_and_the_host_keeps_access() {
    let rig = Rig::new(VmKind::NonProtected);
    let prot = Prot::R | Prot::W;
    assert_eq!(rig.el2.share_guest(rig.vm, pfns(HOST, 3), gfn(GFN), prot), Ok(3));
    assert_eq!(rig.el2.share_guest(rig.vm, pfns(HOST, 1), gfn(GFN + 8), prot), Ok(1), "twice in one guest");
    assert!(rig.touch(HOST));
    assert_eq!(rig.el2.share_hyp(pfns(HOST, 1)).unwrap_err().error, Error::Denied);
    assert_eq!(rig.el2.unshare_guest(rig.vm, gfns(GFN, 9)), Ok(3));
    assert_eq!(rig.el2.unshare_guest(rig.vm, gfns(GFN, 1)), Err(Located::gfn(Error::NotFound, gfn(GFN))));
    assert_eq!(rig.el2.share_hyp(pfns(HOST, 1)).unwrap_err().error, Error::Denied, "still mapped once");
    assert_eq!(rig.el2.unshare_guest(rig.vm, gfns(GFN + 8, 1)), Ok(1));
    assert_eq!(rig.el2.share_hyp(pfns(HOST, 1)), Ok(1));
    // It owns nothing: it is offered nothing to share with.
    assert_eq!(rig.call(GuestCall::MemRelinquish(gfn(GFN))), GuestOutcome::Reply([0; 4]));
    for call in [GuestCall::MemShare(gfns(GFN, 1)), GuestCall::MemUnshare(gfns(GFN, 1)), GuestCall::HypMemInfo] {
        assert_eq!(rig.call(call), refused(Error::NotSupported), "{call:?}");
    }
    assert_eq!(rig.call(GuestCall::Features), GuestOutcome::Reply([0x201, 0, 0, 0]));
    rig.sound();
}

#[test]
fn a_host_speaks_registers() {
    let board = Board::new();
    let el2 = el2(board);
    let call = |call: HostCall| match el2.host_call(call.to_regs()) {
        HostOutcome::Reply(regs) => regs,
        HostOutcome::Run(..) => panic!("nothing runs here"),
    };
    assert_eq!(call(HostCall::CallUid), tenure_abi::service::UID.map(u64::from));
    assert_eq!(call(HostCall::Version), [0, 0, tenure_abi::service::VERSION, 0]);
    assert_eq!(call(HostCall::Features), [0, 0, 3, 0]);
    assert_eq!(call(HostCall::ShareHyp(pfns(HOST, 600))), [0, 0, 600, 0]);
    assert_eq!(call(HostCall::ShareHyp(pfns(HOST - 1, 5))), [0, u64::MAX, 0, HOST]);
    assert_eq!(call(HostCall::UnshareHyp(pfns(HOST, 600))), [0, 0, 600, 0]);
    let [_, 0, handle, _] = call(HostCall::VmCreate { kind: VmKind::Protected, root: pfns(HOST, 2) }) else {
        panic!("no VM")
    };
    let vm = VmHandle::from_raw(handle).unwrap();
    assert_eq!(call(HostCall::VcpuRun { vm, vcpu: 0 })[1].cast_signed(), -22);
    let mut cursor = 0;
    let mut calls = 0;
    loop {
        let [0, 0, next, _] = call(HostCall::Audit { cursor, pages: 512 }) else { panic!("audit") };
        calls += 1;
        if next == 0 {
            break;
        }
        cursor = next;
    }
    assert!(calls >= 8);
    assert!(matches!(el2.host_call([0xc600_0111, 0, 0, 0, 0, 0]), HostOutcome::Reply([u64::MAX, 0, 0, 0])));
}

#[test]
fn a_teardown_that_meets_another_cpu_loses_nothing() {
    let mut rig = Rig::protected();
    rig.donate(HOST, GFN, 1).unwrap();
    kill(&mut rig);
    rig.el2.reclaim_guest(rig.vm, gfns(GFN, 1)).unwrap();
    // Another CPU is at work in the region that holds the VM's tables and its run page.
    let elsewhere = rig.el2.tracker().lock_region(Pfn::new(RAM + OWN).unwrap()).unwrap();
    for _ in 0..3 {
        assert_eq!(rig.el2.vm_finish_teardown(rig.vm).unwrap_err().error, Error::Retry);
    }
    drop(elsewhere);
    while rig.el2.vm_finish_teardown(rig.vm).unwrap() != 0 {}
    rig.el2.unshare_hyp(pfns(RAM + OWN + 100, 1)).unwrap();
    for page in RAM + OWN..RAM + 1024 {
        assert_eq!(rig.state(page), PageState::Exclusive(Owner::Host), "{page:#x}");
    }
    assert_eq!(rig.board.attached(), 0);
    rig.sound();
}

#[test]
fn a_dying_vm_without_table_pages_can_still_be_emptied() {
    for kind in [VmKind::Protected, VmKind::NonProtected] {
        let board = Board::new();
        let el2 = el2(board);
        // One level-2 table is all that a 2 MiB leaf needs; then nothing is left for splitting it.
        let vm = el2.vm_create(kind, pfns(RAM + OWN, 2)).unwrap();
        el2.vm_topup(vm, pfns(RAM + OWN + 2, 1)).unwrap();
        let base = GFN & !511;
        let empty = |range| match kind {
            VmKind::Protected => el2.reclaim_guest(vm, range),
            VmKind::NonProtected => el2.unshare_guest(vm, range),
        };
        let moved = match kind {
            VmKind::Protected => el2.donate_guest(vm, pfns(HOST, 512), gfn(base)),
            VmKind::NonProtected => el2.share_guest(vm, pfns(HOST, 512), gfn(base), Prot::R),
        };
        assert_eq!(moved, Ok(512));
        el2.vm_start_teardown(vm).unwrap();
        assert_eq!(empty(gfns(base + 1, 1)).unwrap_err().error, Error::NoMemory);
        assert_eq!(el2.vm_finish_teardown(vm), Err(Error::Busy.into()));
        assert_eq!(el2.vm_topup(vm, pfns(RAM + OWN + 3, 1)), Ok(1));
        assert_eq!(empty(gfns(base + 1, 1)), Ok(1));
        assert_eq!(empty(gfns(base, 1)), Ok(1));
        assert_eq!(empty(gfns(base + 2, 510)), Ok(510));
        assert_eq!(el2.vm_finish_teardown(vm), Ok(0));
    }
}
