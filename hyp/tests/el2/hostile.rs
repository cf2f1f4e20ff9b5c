//! What a hostile host tries.

use super::*;
use tenure_abi::Place;
use tenure_abi::service::Prot;
use tenure_test_board::{DEVICE, END, REGIONS, el2_with_tables, try_el2, try_el2_with_vms};

fn denied_at(pfn: u64) -> Result<u64, Located<Error>> {
    Err(Located::pfn(Error::Denied, Pfn::new(pfn).unwrap()))
}

#[test]
fn guest_pages_cannot_be_given_away_again() {
    let rig = Rig::protected();
    rig.donate(HOST, GFN, 4).unwrap();
    rig.call(GuestCall::MemShare(gfns(GFN + 2, 2)));
    for page in [HOST, HOST + 2] {
        assert_eq!(rig.donate(page, GFN + 9, 1), denied_at(page));
        assert_eq!(rig.el2.share_hyp(pfns(page, 1)), denied_at(page));
        assert_eq!(rig.el2.unshare_hyp(pfns(page, 1)), denied_at(page));
        assert_eq!(rig.el2.vm_topup(rig.vm, pfns(page, 1)), denied_at(page));
        assert!(rig.el2.vm_create(VmKind::Protected, pfns(page, 2)).is_err());
    }
    rig.sound();
}

#[test]
fn a_second_page_at_an_occupied_address_is_refused() {
    let rig = Rig::protected();
    rig.donate(HOST, GFN, 1).unwrap();
    let second = rig.donate(HOST + 1, GFN, 1);
    assert_eq!(second, Err(Located::gfn(Error::Denied, gfn(GFN))));
    assert_eq!(rig.donate(HOST + 1, GFN - 1, 2), Err(Located::gfn(Error::Denied, gfn(GFN))));
    assert_eq!(rig.state(HOST + 1), PageState::Exclusive(Owner::Host));
    rig.sound();
}

#[test]
fn forced_reclaim_scrubs_and_burns_the_address() {
    let mut rig = Rig::protected();
    rig.board.write(HOST, 0, SECRET);
    rig.donate(HOST, GFN, 2).unwrap();
    rig.call(GuestCall::MemShare(gfns(GFN + 1, 1)));
    assert_eq!(rig.el2.force_reclaim(pfns(HOST, 2)), Ok(1), "the shared page ends it");
    assert_eq!((rig.board.read(HOST, 0), rig.state(HOST)), (0, PageState::Exclusive(Owner::Host)));
    assert_eq!(rig.call(GuestCall::MemShare(gfns(GFN, 1))), refused(Error::Poisoned));
    assert_eq!(rig.call(GuestCall::MemUnshare(gfns(GFN, 1))), refused(Error::Poisoned));
    assert_eq!(rig.donate(HOST, GFN, 1), Err(Located::gfn(Error::Denied, gfn(GFN))));
    let again = |page, error| {
        assert_eq!(rig.el2.force_reclaim(pfns(page, 1)), Err(Located::pfn(error, Pfn::new(page).unwrap())));
    };
    again(HOST, Error::Retry);
    again(HOST + 1, Error::Retry);
    again(RAM, Error::Denied);
    again(END, Error::Fault);
    again(DEVICE, Error::Fault);
    // The query answers for the address the vCPU stopped at, not for one the host names.
    assert_eq!(rig.el2.in_poison_fault(rig.vm, 0), Err(Error::Invalid.into()), "it runs");
    for (address, poisoned) in [(GFN, true), (GFN + 1, false)] {
        let token = rig.vcpu.take().unwrap();
        let stop = tenure_hyp::el2::Stop {
            address: (address << 12) + 8,
            ..tenure_hyp::el2::Stop::plain(tenure_abi::run::StopReason::Memory)
        };
        assert_eq!(rig.el2.vcpu_stopped(token, stop), [0, 0, 0, 0]);
        assert_eq!(rig.el2.in_poison_fault(rig.vm, 0), Ok(poisoned));
        rig.vcpu = Some(rig.el2.vcpu_run(rig.vm, 0).unwrap().0);
    }
    rig.sound();
}

#[test]
fn what_is_not_the_hosts_stays_out_of_its_reach() {
    let rig = Rig::protected();
    assert!(!rig.touch(RAM) && !rig.touch(RAM + OWN - 1), "the hypervisor's own");
    assert!(!rig.touch(RAM + OWN) && !rig.touch(RAM + OWN + 5), "a VM's tables");
    assert!(!rig.touch(END) && !rig.touch(1 << 27), "holes");
    assert!(rig.touch(RAM + OWN + 18) && rig.touch(HOST));
    rig.donate(HOST, GFN, 1).unwrap();
    assert!(!rig.touch(HOST) && rig.touch(HOST + 1) && rig.touch(HOST + 512));
}

#[test]
fn missing_table_pages_refuse_a_donation_and_change_nothing() {
    let board = Board::new();
    let el2 = el2(board);
    let vm = el2.vm_create(VmKind::Protected, pfns(RAM + OWN, 2)).unwrap();
    for tables in 0..2 {
        assert_eq!(el2.donate_guest(vm, pfns(HOST, 1), gfn(GFN)), Err(Error::NoMemory.into()), "{tables} tables");
        assert_eq!(el2.tracker().state(Pfn::new(HOST).unwrap()), Ok(PageState::Exclusive(Owner::Host)));
        el2.vm_topup(vm, pfns(HOST + 10 + tables, 1)).unwrap();
    }
    assert_eq!(el2.donate_guest(vm, pfns(HOST, 1), gfn(GFN)), Ok(1));
}

#[test]
fn the_wrong_kind_of_vm_is_refused() {
    let rig = Rig::protected();
    let np = create(&rig.el2, VmKind::NonProtected, HOST + 100);
    let prot = Prot::R | Prot::W;
    let invalid = Err(Error::Invalid.into());
    assert_eq!(rig.el2.share_guest(rig.vm, pfns(HOST, 1), gfn(GFN), prot), invalid);
    assert_eq!(rig.el2.unshare_guest(rig.vm, gfns(GFN, 1)), invalid);
    assert_eq!(rig.el2.donate_guest(np, pfns(HOST, 1), gfn(GFN)), invalid);
    assert_eq!(rig.el2.share_guest(np, pfns(HOST, 1), gfn(GFN), Prot::empty()), invalid);
}

#[test]
fn forged_and_stale_handles_are_refused() {
    let mut rig = Rig::protected();
    let old = rig.vm;
    let forged = VmHandle::new(tenure_abi::VmSlot::new(1023).unwrap(), old.generation());
    let other = VmHandle::new(old.slot(), old.generation().checked_add(1).unwrap());
    for handle in [forged, other] {
        assert_eq!(rig.el2.donate_guest(handle, pfns(HOST, 1), gfn(GFN)), Err(Error::Invalid.into()));
        assert_eq!(rig.el2.vm_start_teardown(handle), Err(Error::Invalid.into()));
    }
    let token = rig.vcpu.take().unwrap();
    rig.el2.vcpu_stopped(token, tenure_hyp::el2::Stop::plain(tenure_abi::run::StopReason::SystemOff));
    rig.el2.vm_start_teardown(old).unwrap();
    while rig.el2.vm_finish_teardown(old).unwrap() != 0 {}
    let new = create(&rig.el2, VmKind::Protected, HOST);
    assert_eq!(new.slot(), old.slot());
    assert_ne!(new, old);
    assert_eq!(rig.el2.vm_topup(old, pfns(HOST + 50, 1)), Err(Error::Invalid.into()));
}

#[test]
fn a_reply_that_means_nothing_is_refused_and_the_vcpu_stays() {
    let mut rig = Rig::protected();
    let run_page = RAM + OWN + 100;
    let token = rig.vcpu.take().unwrap();
    let stop = tenure_hyp::el2::Stop {
        address: 0x900_0000,
        size: 8,
        ..tenure_hyp::el2::Stop::plain(tenure_abi::run::StopReason::Memory)
    };
    rig.el2.vcpu_stopped(token, stop);
    rig.board.write(run_page, 5, 99);
    assert_eq!(rig.el2.vcpu_run(rig.vm, 0).unwrap_err(), Error::Invalid.into());
    rig.board.write(run_page, 5, 1);
    rig.board.write(run_page, 2, 0xabcd);
    let (token, resume) = rig.el2.vcpu_run(rig.vm, 0).unwrap();
    assert_eq!(resume, Resume::Complete(0xabcd));
    assert_eq!(rig.el2.vcpu_run(rig.vm, 0).unwrap_err(), Error::Busy.into(), "it runs");
    for index in [1, 8, u64::MAX] {
        assert_eq!(rig.el2.vcpu_run(rig.vm, index).unwrap_err(), Error::Invalid.into());
    }
    assert_eq!(token.index(), 0);
}

#[test]
fn a_pinned_page_cannot_be_unshared() {
    let rig = Rig::protected();
    let run_page = RAM + OWN + 100;
    let busy = Located { error: Error::Busy, at: Place::Pfn(Pfn::new(run_page).unwrap()) };
    assert_eq!(rig.el2.unshare_hyp(pfns(run_page, 1)), Err(busy));
    rig.el2.pin(pfns(run_page, 1)).unwrap();
    rig.el2.unpin(pfns(run_page, 1)).unwrap();
    assert_eq!(rig.el2.unshare_hyp(pfns(run_page, 1)), Err(busy));
}

#[test]
fn the_host_makes_progress_with_a_single_level_3_table() {
    let board = Board::new();
    // Two tables at level 2 and one at level 3 for devices and RAM, and one to spare.
    let el2 = el2_with_tables(board, 4);
    for region in 1..5 {
        el2.share_hyp(pfns(RAM + region * 512, 1)).unwrap();
        el2.donate_hyp(pfns(RAM + region * 512 + 1, 1)).unwrap();
    }
    for round in 0..3 {
        for region in 1..5 {
            let page = RAM + region * 512 + 2 + round;
            assert_eq!(el2.host_fault(page << 12), tenure_hyp::el2::HostFault::Retry);
            // Mapped now: a second fault finds the leaf and takes no table.
            let leaves = board.leaves(el2.host_context().root().number());
            assert_eq!(leaves.get(page), Some(page));
            assert_eq!(el2.host_fault(page << 12), tenure_hyp::el2::HostFault::Retry);
            assert_eq!(el2.host_fault((RAM + region * 512 + 1) << 12), tenure_hyp::el2::HostFault::Refused);
        }
    }
}

#[test]
fn a_host_without_a_level_3_table_is_refused_at_init() {
    assert_eq!(try_el2(Board::new(), 3, REGIONS).err(), Some(Error::NoMemory.into()));
}

#[test]
fn no_call_stays_at_el2_for_as_long_as_the_host_likes() {
    let rig = Rig::protected();
    assert_eq!(rig.el2.vm_topup(rig.vm, pfns(HOST, 1024)), Ok(512));
    let audit = tenure_abi::service::HostCall::Audit { cursor: 0, pages: u64::MAX };
    let tenure_hyp::el2::HostOutcome::Reply([0, 0, next, _]) = rig.el2.host_call(audit.to_regs()) else {
        panic!("the audit is refused")
    };
    assert_eq!(next, RAM + 16384, "not the whole GiB at once");
    // A guest whose pages are scattered, every second one in another place: each is a run of its own.
    for i in 0..600 {
        let frame = HOST + 1024 + if i % 2 == 0 { i } else { 1024 + i };
        assert_eq!(rig.donate(frame, GFN + i, 1), Ok(1), "{i}");
    }
    assert_eq!(rig.call(GuestCall::MemShare(gfns(GFN, 600))), done(512));
    assert_eq!(rig.call(GuestCall::MemShare(gfns(GFN + 512, 88))), done(88));
    rig.sound();
}

#[test]
fn more_vms_than_vmids_are_refused_at_init() {
    let build = |vms| try_el2_with_vms(Board::new(), vms).map(|_| ());
    assert_eq!(build(tenure_hyp::el2::VMS_MAX), Ok(()));
    assert_eq!(build(tenure_hyp::el2::VMS_MAX + 1), Err(Error::Invalid.into()));
}
