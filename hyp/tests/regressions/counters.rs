//! Counters: pins, mappings, and what a VM owns and maps.

use crate::raw::Raw;
use tenure_abi::run::StopReason;
use tenure_abi::service::{Prot, VmKind};
use tenure_abi::{Error, Located, Owner, PageState, Pfn};
use tenure_hyp::el2::{Start, Stop, VCPUS_PER_VM};
use tenure_hyp::tracker::{Entry, Identity, Kind, Transition};
use tenure_test_board::rig::{GFN, HOST, RUN_PAGE, Rig, gfn, gfns};
use tenure_test_board::{OWN, RAM, pfns};

const START: Start = Start { entry: 0, argument: 0 };

/// RS-04: whatever a vCPU's creation fails at, its page can be unshared afterwards.
#[test]
fn a_vcpu_that_is_not_created_leaves_no_pin() {
    let mut rig = Rig::protected();
    let page = RUN_PAGE + 1;
    let create = |rig: &Rig| rig.el2.vcpu_create(rig.vm, Pfn::new(page).unwrap(), START);
    let error = |error| Err(Located::pfn(error, Pfn::new(page).unwrap()));
    assert_eq!(create(&rig), error(Error::Denied), "it is not shared");
    rig.el2.share_hyp(pfns(page, 1)).unwrap();
    let elsewhere = rig.el2.tracker().lock_region(Pfn::new(page).unwrap()).unwrap();
    assert_eq!(create(&rig), error(Error::Retry), "another CPU is at work there");
    drop(elsewhere);
    for index in 1..VCPUS_PER_VM as u64 {
        assert_eq!(create(&rig), Ok(index));
    }
    for _ in 0..3 {
        assert_eq!(create(&rig), Err(Error::NoMemory.into()), "it has all its vCPUs");
    }
    assert_eq!(rig.entry(page).count(), VCPUS_PER_VM as u32 - 1);
    rig.sound();
    rig.kill();
    assert_eq!(create(&rig), Err(Error::Invalid.into()), "it is dying");
    rig.finish();
    assert_eq!(create(&rig), Err(Error::Invalid.into()), "it is gone");
    assert_eq!(rig.el2.unshare_hyp(pfns(RUN_PAGE, 2)), Ok(2));
    rig.all_is_the_hosts();
    rig.sound();
}

/// RS-22: the hypervisor writes to a run page only while it is pinned, and it is pinned as long as its vCPU exists.
#[test]
fn the_run_page_is_pinned_while_its_vcpu_exists() {
    let mut rig = Rig::protected();
    let page = Pfn::new(RUN_PAGE).unwrap();
    for _ in 0..3 {
        assert!(rig.board.is_attached(page));
        assert_eq!(rig.el2.unshare_hyp(pfns(RUN_PAGE, 1)), Err(Located::pfn(Error::Busy, page)));
        let token = rig.vcpu.take().unwrap();
        let stop = Stop { address: 0x900_0000, size: 8, ..Stop::plain(StopReason::Memory) };
        assert_eq!(rig.el2.vcpu_stopped(token, stop)[1], 0, "it could be told");
        assert_eq!(rig.board.read(RUN_PAGE, 1), 0x900_0000);
        rig.vcpu = Some(rig.el2.vcpu_run(rig.vm, 0).unwrap().0);
    }
    rig.kill();
    assert!(rig.board.is_attached(page), "the VM is not gone yet");
    rig.finish();
    assert!(!rig.board.is_attached(page));
    assert_eq!(rig.el2.unshare_hyp(pfns(RUN_PAGE, 1)), Ok(1));
}

/// RS-25: after any number of loops every counter is where it was: the VM can go, and nothing stays pinned or mapped.
#[test]
fn counters_balance_after_any_number_of_loops() {
    // Nothing in here depends on how many; an interpreter takes its time.
    const ROUNDS: u64 = if cfg!(miri) { 4 } else { 200 };
    let mut rig = Rig::protected();
    for round in 0..ROUNDS {
        let pages = 1 + round % 7;
        rig.donate(HOST, GFN, pages);
        rig.share(GFN, pages);
        rig.unshare(GFN, pages);
        rig.el2.share_hyp(pfns(HOST + 100, pages)).unwrap();
        rig.el2.pin(pfns(HOST + 100, pages)).unwrap();
        rig.el2.unpin(pfns(HOST + 100, pages)).unwrap();
        rig.el2.unshare_hyp(pfns(HOST + 100, pages)).unwrap();
        for page in 0..pages {
            let given = rig.call(tenure_abi::pkvm::GuestCall::MemRelinquish(gfn(GFN + page)));
            assert!(matches!(given, tenure_hyp::el2::GuestOutcome::ReplyAndStop(..)));
        }
    }
    rig.sound();
    rig.kill();
    rig.finish();

    let mut rig = Rig::new(VmKind::NonProtected, 16);
    for round in 0..ROUNDS {
        let pages = 1 + round % 7;
        for at in [GFN, GFN + 10] {
            assert_eq!(rig.el2.share_guest(rig.vm, pfns(HOST, pages), gfn(at), Prot::R), Ok(pages));
        }
        rig.sound();
        for at in [GFN, GFN + 10] {
            assert_eq!(rig.el2.unshare_guest(rig.vm, gfns(at, pages)), Ok(pages));
        }
    }
    assert_eq!(rig.state(HOST), PageState::Exclusive(Owner::Host));
    rig.kill();
    rig.finish();
    rig.sound();
}

/// RS-33: a count at its maximum is an error that changes nothing, and it comes down from there.
#[test]
fn a_full_count_refuses_and_stays() {
    let full = |kind: Kind, count: u64| (kind as u64) << 4 | count << 8;
    for (up, down, kind, max) in [
        (Transition::HypPin, Transition::HypUnpin, Kind::HostSharedHyp, 0xffff),
        (Transition::HostShareGuest, Transition::HostUnshareGuest, Kind::HostSharedGuests, u32::MAX),
    ] {
        let t = Raw::new(&[pfns(0x40000, 512)]);
        let lend = if up == Transition::HypPin { Transition::HostShareHyp } else { up };
        t.go(lend, 0x40000, 3, Identity::NONE).unwrap();
        t.overwrite(0, 1, full(kind, max.into()));
        let first = Located::pfn(Error::Saturated, Pfn::new(0x40001).unwrap());
        let before = t.entry(0x40000);
        assert_eq!(t.go(up, 0x40000, 3, Identity::NONE), Err(first), "{up:?}");
        assert_eq!((t.entry(0x40000), t.entry(0x40001).count()), (before, max), "{up:?}");
        assert_eq!(t.go(down, 0x40001, 1, Identity::NONE), Ok(1));
        assert_eq!((t.entry(0x40001).count(), t.entry(0x40001).kind()), (max - 1, Some(kind)));
        assert_eq!(t.go(up, 0x40001, 1, Identity::NONE), Ok(1));
        assert_eq!(t.entry(0x40001).count(), max);
        t.sound();
    }
}

/// RS-33, the other end: what is not pinned cannot be unpinned, which is a contradiction and not 4 billion pins.
#[test]
fn a_count_below_zero_is_quarantine() {
    let t = Raw::new(&[pfns(0x40000, 512)]);
    t.go(Transition::HostShareHyp, 0x40000, 2, Identity::NONE).unwrap();
    let refused = t.go(Transition::HypUnpin, 0x40001, 1, Identity::NONE).unwrap_err();
    assert_eq!((refused.error, t.tracker.contradictions()), (Error::Internal, 1));
    assert_eq!(t.entry(0x40001).kind(), Some(Kind::Quarantined));
    assert_eq!(t.entry(0x40000).count(), 0);
}

/// RS-15, RS-39: a mapping that table pages are missing for is counted nowhere.
#[test]
fn a_refused_mapping_is_not_counted() {
    for kind in [VmKind::Protected, VmKind::NonProtected] {
        let mut rig = Rig::new(kind, 0);
        for tables in 0..2 {
            let before = rig.snapshot();
            let given = match kind {
                VmKind::Protected => rig.try_donate(HOST, GFN, 3),
                VmKind::NonProtected => rig.el2.share_guest(rig.vm, pfns(HOST, 3), gfn(GFN), Prot::R),
            };
            assert_eq!(given, Err(Error::NoMemory.into()), "{kind:?} {tables}");
            assert!(rig.snapshot() == before, "{kind:?} {tables}");
            assert_eq!(rig.entry(HOST), Entry::HOST);
            rig.el2.vm_topup(rig.vm, pfns(RAM + OWN + 2 + tables, 1)).unwrap();
        }
        rig.sound();
        // Nothing was counted: the VM can go at once.
        rig.kill();
        rig.finish();
        rig.all_is_the_hosts();
    }
}
