//! Ranges at the edges: of memory, of address spaces, of what was checked.

use crate::raw::Raw;
use tenure_abi::service::HostCall;
use tenure_abi::{Error, Gfn, Located, PageState, Pfn, VmSlot};
use tenure_hyp::el2::HostOutcome;
use tenure_hyp::tracker::{Entry, Identity, Transition};
use tenure_test_board::rig::{GFN, HOST, Rig, gfn};
use tenure_test_board::{DEVICE, END, RAM, pfns};

/// The transitions by which a page leaves the host, or is lent.
const GIVEN: [Transition; 4] =
    [Transition::HostShareHyp, Transition::HostDonateHyp, Transition::HostShareGuest, Transition::HostDonateGuest];

fn guest() -> Identity {
    Identity::guest(VmSlot::new(1).unwrap(), Gfn::new(0x1000).unwrap()).unwrap()
}

/// RS-08: every page of a range is looked at, the last as the first.
#[test]
fn the_last_page_counts_as_much_as_the_first() {
    for op in GIVEN {
        // Memory ends inside a region: the range runs over its end.
        let t = Raw::new(&[pfns(0x40000, 1024 + 100)]);
        let first = 0x40000 + 1024 + 90;
        for count in [11, 12, 300] {
            assert_eq!(t.go(op, first, count, guest()).unwrap_err().error, Error::Invalid, "{op:?} {count}");
        }
        assert_eq!(t.go(op, first, 10, guest()), Ok(10), "{op:?}");
        // The last page belongs to somebody else.
        let t = Raw::new(&[pfns(0x40000, 1024)]);
        t.go(Transition::HostDonateHyp, 0x40000 + 20, 1, Identity::NONE).unwrap();
        for first in [0, 1, 19] {
            let refused = Located::pfn(Error::Denied, Pfn::new(0x40000 + 20).unwrap());
            assert_eq!(t.go(op, 0x40000 + first, 21 - first, guest()), Err(refused), "{op:?}");
            assert_eq!(t.entry(0x40000 + 19), Entry::HOST, "{op:?}");
        }
        t.sound();
    }
}

/// RS-10: a device, the hypervisor's own pages, holes and addresses beyond the machine cannot be given away.
#[test]
fn what_is_not_memory_goes_to_nobody() {
    let rig = Rig::protected();
    let outside = [DEVICE, END, END + 511, 0, 0x7_ffff, (1 << 28) - 1];
    for page in outside {
        let not_memory = Located::pfn(Error::NotMemory, Pfn::new(page).unwrap());
        assert_eq!(rig.el2.share_hyp(pfns(page, 1)), Err(not_memory), "{page:#x}");
        assert_eq!(rig.el2.donate_hyp(pfns(page, 1)), Err(not_memory), "{page:#x}");
        assert_eq!(rig.try_donate(page, GFN, 1), Err(not_memory), "{page:#x}");
        assert_eq!(rig.el2.vm_topup(rig.vm, pfns(page, 1)), Err(not_memory), "{page:#x}");
        let reclaimed = rig.el2.force_reclaim(pfns(page, 1)).unwrap_err();
        assert_eq!(reclaimed.error, Error::Fault, "{page:#x}");
    }
    let own = Located::pfn(Error::Denied, Pfn::new(RAM).unwrap());
    assert_eq!(rig.try_donate(RAM, GFN, 1), Err(own), "the hypervisor's");
    // Beyond the address width a call is malformed: it never reaches the tracker.
    for (pfn, pages) in [(1 << 28, 1), ((1 << 28) - 1, 2), (u64::MAX, 1), (HOST, u64::MAX), (u64::MAX, u64::MAX)] {
        let regs = [0xc600_0102, pfn, pages, 0, 0, 0];
        assert!(matches!(rig.el2.host_call(regs), HostOutcome::Reply([0, error, 0, 0]) if error.cast_signed() == -22));
    }
    rig.sound();
}

/// RS-11: a range may end exactly where memory ends, aligned or not.
#[test]
fn a_range_may_end_where_memory_does() {
    const LENGTHS: &[u64] = if cfg!(miri) { &[612] } else { &[512, 612, 1024] };
    for &pages in LENGTHS {
        for op in GIVEN {
            for count in [1, 3, 100] {
                let t = Raw::new(&[pfns(0x40000, pages)]);
                let first = 0x40000 + pages - count;
                assert_eq!(t.go(op, first, count, guest()), Ok(count), "{op:?} {pages}");
                // Refused for what it is, not for where it ends.
                let denied = Err(Located::pfn(Error::Denied, Pfn::new(first).unwrap()));
                assert_eq!(t.go(Transition::GuestUnshareHost, first, count, guest()), denied, "{op:?} {pages}");
                t.sound();
            }
        }
    }
    let rig = Rig::protected();
    assert_eq!(rig.try_donate(END - 1, GFN, 1), Ok(1));
    rig.sound();
}

/// RS-18: memory that begins and ends inside regions is memory exactly as far as it goes.
#[test]
fn unaligned_edges_of_memory_are_exact() {
    let ram = [pfns(0x40003, 700), pfns(0x40003 + 700, 1), pfns(0x40600, 5)];
    let t = Raw::new(&ram);
    t.sound();
    for page in 0x40000..0x40800 {
        let inside = ram.iter().any(|range| range.contains(Pfn::new(page).unwrap()));
        let state = t.tracker.state(Pfn::new(page).unwrap()).unwrap();
        assert_eq!(state == PageState::Absent, !inside, "{page:#x} is {state:?}");
        assert_eq!(t.go(Transition::HostShareHyp, page, 1, Identity::NONE).is_ok(), inside, "{page:#x}");
    }
    // Two ranges that touch are one for a claim.
    assert_eq!(t.go(Transition::HostUnshareHyp, 0x40003, 701, Identity::NONE), Ok(701));
    t.sound();
}

/// RS-34: the last page of an address space can be used, one beyond cannot, and nothing wraps around to page 0.
#[test]
fn the_last_page_of_an_address_space_is_one() {
    let t = Raw::new(&[pfns(0x40000, 512)]);
    let widest = Identity::guest(VmSlot::new(1).unwrap(), Gfn::new((1 << 36) - 1).unwrap()).unwrap();
    assert_eq!(t.go(Transition::HostDonateGuest, 0x40000, 2, widest), Err(Error::Invalid.into()));
    assert_eq!(t.go(Transition::HostDonateGuest, 0x40000, 1, widest), Ok(1));
    t.sound();
    let rig = Rig::protected();
    let last = (1 << 28) - 1;
    assert_eq!(rig.try_donate(HOST, last, 1), Ok(1));
    rig.share(last, 1);
    rig.unshare(last, 1);
    assert_eq!(rig.try_donate(HOST + 1, last, 2).unwrap_err().error, Error::Invalid);
    assert_eq!(rig.try_donate(HOST + 1, 0, 1), Ok(1), "page 0 is free");
    for (ipa, pages) in [(last << 12, 2), (last << 12, u64::MAX), (0, u64::MAX), (!0xfff, 2)] {
        let reply = rig.call_regs([0xc600_0003, ipa, pages, 0]);
        let refused = tenure_abi::pkvm::GuestReply::Refused(Error::Invalid).into();
        assert_eq!(reply, refused, "{ipa:#x} {pages:#x}");
    }
    let range = HostCall::DonateGuest { vm: rig.vm, frames: pfns(HOST + 2, 1), gfn: gfn(last) }.to_regs();
    let over = [range[0], range[1], range[2], last, 2, 0];
    assert!(matches!(rig.el2.host_call(over), HostOutcome::Reply([0, error, 0, 0]) if error.cast_signed() == -22));
    // The largest range of the machine: its end is its width.
    let all = pfns(1, (1 << 40) - 1);
    assert!(rig.el2.share_hyp(all).is_err());
    rig.sound();
}
