//! One page, one guest, two neighbouring guest addresses, every call in every state: the ownership self
//! test of pKVM (rows ST-001..ST-107) as data. Left out are the rows about FF-A, which is not here yet.
//!
//! The self test calls the transitions themselves with a VM that is both protected and not, so these
//! rows say nothing of CK-7.

use tenure_abi::{Borrower, Error, Gfn, Owner, PageState, Pfn, VmSlot};
use tenure_oracle::invariants;
use tenure_oracle::spec::{Answer, Limits, Machine, Span, Spec, VmKind};

use Call::{
    DonateGuest, DonateHyp, ForceReclaim, GuestShare, GuestUnshare, HypDonateHost, Look, MappingsAre, Pin, PinsAre,
    Reclaim, ShareGuest, ShareHyp, Unpin, UnshareGuest, UnshareHyp,
};
use View::{NP, O, PO, SB, SO};

/// How one party sees the page: no page, owned, shared-owned, shared-borrowed, poisoned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum View {
    NP,
    O,
    SO,
    SB,
    PO,
}

#[derive(Clone, Copy, Debug)]
enum Call {
    Look,
    PinsAre(u16),
    MappingsAre(u32),
    ShareHyp,
    UnshareHyp,
    Pin,
    Unpin,
    DonateHyp,
    HypDonateHost,
    ShareGuest(u64),
    UnshareGuest(u64),
    DonateGuest(u64),
    GuestShare(u64),
    GuestUnshare(u64),
    Reclaim(u64),
    ForceReclaim,
}

/// The page and the two guest addresses.
const PAGE: u64 = 0x105;
const A: u64 = 0x40;
const B: u64 = A + 1;

const OK: Option<Error> = None;
const DENIED: Option<Error> = Some(Error::Denied);
const NOT_FOUND: Option<Error> = Some(Error::NotFound);
const BUSY: Option<Error> = Some(Error::Busy);
const POISONED: Option<Error> = Some(Error::Poisoned);

/// Row number; host, hypervisor, guest at A, guest at B after the call; the call; its answer.
type Row = (u32, [View; 4], Call, Option<Error>);

#[rustfmt::skip]
const ROWS: &[Row] = &[
    (1, [NP, O, NP, NP], Look, OK),
    (2, [NP, O, NP, NP], DonateHyp, DENIED),
    (3, [NP, O, NP, NP], ShareHyp, DENIED),
    (4, [NP, O, NP, NP], UnshareHyp, DENIED),
    (7, [NP, O, NP, NP], Pin, DENIED),
    (8, [NP, O, NP, NP], ShareGuest(A), DENIED),
    (9, [NP, O, NP, NP], UnshareGuest(A), NOT_FOUND),
    (10, [NP, O, NP, NP], DonateGuest(A), DENIED),
    (11, [O, NP, NP, NP], HypDonateHost, OK),
    (12, [O, NP, NP, NP], HypDonateHost, DENIED),
    (13, [O, NP, NP, NP], UnshareHyp, DENIED),
    (15, [O, NP, NP, NP], UnshareGuest(A), NOT_FOUND),
    (16, [O, NP, NP, NP], Pin, DENIED),
    (17, [SO, SB, NP, NP], ShareHyp, OK),
    (18, [SO, SB, NP, NP], ShareHyp, DENIED),
    (19, [SO, SB, NP, NP], DonateHyp, DENIED),
    (21, [SO, SB, NP, NP], HypDonateHost, DENIED),
    (22, [SO, SB, NP, NP], ShareGuest(A), DENIED),
    (23, [SO, SB, NP, NP], UnshareGuest(A), NOT_FOUND),
    (24, [SO, SB, NP, NP], DonateGuest(A), DENIED),
    (25, [SO, SB, NP, NP], Pin, OK),
    (26, [SO, SB, NP, NP], Pin, OK),
    (27, [SO, SB, NP, NP], Unpin, OK),
    (28, [SO, SB, NP, NP], PinsAre(1), OK),
    (29, [SO, SB, NP, NP], UnshareHyp, BUSY),
    (30, [SO, SB, NP, NP], ShareHyp, DENIED),
    (31, [SO, SB, NP, NP], DonateHyp, DENIED),
    (33, [SO, SB, NP, NP], HypDonateHost, DENIED),
    (34, [SO, SB, NP, NP], ShareGuest(A), DENIED),
    (35, [SO, SB, NP, NP], UnshareGuest(A), NOT_FOUND),
    (36, [SO, SB, NP, NP], DonateGuest(A), DENIED),
    (37, [SO, SB, NP, NP], Unpin, OK),
    (38, [SO, SB, NP, NP], Look, OK),
    (39, [SO, SB, NP, NP], PinsAre(0), OK),
    (40, [O, NP, NP, NP], UnshareHyp, OK),
    (53, [SO, NP, SB, NP], ShareGuest(A), OK),
    (54, [SO, NP, SB, NP], ShareGuest(A), DENIED),
    (56, [SO, NP, SB, NP], DonateHyp, DENIED),
    (57, [SO, NP, SB, NP], ShareHyp, DENIED),
    (58, [SO, NP, SB, NP], UnshareHyp, DENIED),
    (59, [SO, NP, SB, NP], HypDonateHost, DENIED),
    (60, [SO, NP, SB, NP], DonateGuest(A), DENIED),
    (61, [SO, NP, SB, NP], Pin, DENIED),
    (62, [SO, NP, SB, SB], ShareGuest(B), OK),
    (63, [SO, NP, SB, SB], MappingsAre(2), OK),
    (64, [SO, NP, NP, SB], UnshareGuest(A), OK),
    (65, [O, NP, NP, NP], UnshareGuest(B), OK),
    (66, [NP, NP, O, NP], DonateGuest(A), OK),
    (67, [NP, NP, O, NP], DonateGuest(A), DENIED),
    (68, [NP, NP, O, NP], DonateGuest(B), DENIED),
    (69, [NP, NP, O, NP], ShareGuest(A), DENIED),
    (70, [NP, NP, O, NP], ShareGuest(B), DENIED),
    (72, [NP, NP, O, NP], DonateHyp, DENIED),
    (73, [NP, NP, O, NP], ShareHyp, DENIED),
    (74, [NP, NP, O, NP], UnshareHyp, DENIED),
    (75, [NP, NP, O, NP], HypDonateHost, DENIED),
    (76, [SB, NP, SO, NP], GuestShare(A), OK),
    (77, [SB, NP, SO, NP], GuestShare(A), DENIED),
    (78, [SB, NP, SO, NP], DonateGuest(A), DENIED),
    (79, [SB, NP, SO, NP], DonateGuest(B), DENIED),
    (80, [SB, NP, SO, NP], ShareGuest(A), DENIED),
    (81, [SB, NP, SO, NP], ShareGuest(B), DENIED),
    (83, [SB, NP, SO, NP], DonateHyp, DENIED),
    (84, [SB, NP, SO, NP], ShareHyp, DENIED),
    (85, [SB, NP, SO, NP], UnshareHyp, DENIED),
    (86, [SB, NP, SO, NP], HypDonateHost, DENIED),
    (87, [NP, NP, O, NP], GuestUnshare(A), OK),
    (88, [NP, NP, O, NP], GuestUnshare(A), DENIED),
    (89, [NP, NP, O, NP], DonateGuest(A), DENIED),
    (90, [NP, NP, O, NP], DonateGuest(B), DENIED),
    (91, [NP, NP, O, NP], ShareGuest(A), DENIED),
    (92, [NP, NP, O, NP], ShareGuest(B), DENIED),
    (94, [NP, NP, O, NP], DonateHyp, DENIED),
    (95, [NP, NP, O, NP], ShareHyp, DENIED),
    (96, [NP, NP, O, NP], UnshareHyp, DENIED),
    (97, [NP, NP, O, NP], HypDonateHost, DENIED),
    (98, [O, NP, PO, NP], ForceReclaim, OK),
    (99, [O, NP, PO, NP], DonateGuest(A), DENIED),
    (100, [O, NP, PO, NP], ShareGuest(A), DENIED),
    (101, [O, NP, PO, NP], GuestShare(A), POISONED),
    (102, [O, NP, PO, NP], GuestUnshare(A), POISONED),
    (103, [NP, NP, PO, O], DonateGuest(B), OK),
    (104, [O, NP, PO, NP], Reclaim(B), OK),
    (105, [O, NP, PO, NP], DonateGuest(A), DENIED),
    (106, [O, NP, PO, NP], ShareGuest(A), DENIED),
    (107, [NP, O, PO, NP], DonateHyp, OK),
];

fn vm() -> VmSlot {
    VmSlot::new(7).unwrap()
}

/// One frame of either space.
fn at(first: u64) -> Span {
    Span { first, count: 1 }
}

fn call(spec: &mut Spec, call: Call) -> Answer {
    let pfn = Pfn::new(PAGE).unwrap();
    match call {
        Look => {}
        PinsAre(n) => assert_eq!(spec.pins_of(pfn), n),
        MappingsAre(n) => assert_eq!(spec.mappings_of(pfn), n),
        ShareHyp => return spec.host_share_hyp(at(PAGE)),
        UnshareHyp => return spec.host_unshare_hyp(at(PAGE)),
        Pin => return spec.hyp_pin(at(PAGE)),
        Unpin => return spec.hyp_unpin(at(PAGE)),
        DonateHyp => return spec.host_donate_hyp(at(PAGE)),
        HypDonateHost => return spec.hyp_donate_host(at(PAGE)),
        ShareGuest(gfn) => return spec.host_share_guest(vm(), at(PAGE), gfn),
        UnshareGuest(gfn) => return spec.host_unshare_guest(vm(), at(gfn)),
        DonateGuest(gfn) => return spec.host_donate_guest(vm(), at(PAGE), gfn),
        GuestShare(gfn) => return spec.guest_share_host(vm(), at(gfn)),
        GuestUnshare(gfn) => return spec.guest_unshare_host(vm(), at(gfn)),
        Reclaim(gfn) => return spec.reclaim(vm(), at(gfn)),
        ForceReclaim => return spec.force_reclaim(at(PAGE)),
    }
    Ok(tenure_oracle::spec::Done::default())
}

/// How the four parties see the page.
fn views(spec: &Spec) -> [View; 4] {
    let (host, hyp, guest) = match spec.page(Pfn::new(PAGE).unwrap()) {
        PageState::Exclusive(Owner::Host) => (O, NP, NP),
        PageState::Exclusive(Owner::Hyp) => (NP, O, NP),
        PageState::Exclusive(Owner::Guest(_)) => (NP, NP, O),
        PageState::Shared { owner: Owner::Host, with: Borrower::Hyp { .. } } => (SO, SB, NP),
        PageState::Shared { owner: Owner::Host, with: Borrower::Guests { .. } } => (SO, NP, SB),
        PageState::Shared { owner: Owner::Guest(_), with: Borrower::Host } => (SB, NP, SO),
        other => panic!("the table knows no {other:?}"),
    };
    let guest_at = |gfn| {
        let key = (vm(), Gfn::new(gfn).unwrap());
        match (spec.guest_map.contains_key(&key), spec.poisoned.contains(&key)) {
            (true, false) => guest,
            (false, true) => PO,
            (false, false) => NP,
            (true, true) => panic!("burnt and mapped"),
        }
    };
    [host, hyp, guest_at(A), guest_at(B)]
}

#[test]
fn every_row_of_the_ownership_self_test_holds() {
    let limits = Limits { pins: 100, mappings: 100, references: 100 };
    let mut spec = Spec::new(Machine { ram: vec![(0x100, 0x110)], pfn_end: 0x1000, gfn_end: 0x1000, limits });
    spec.vm_create(vm(), VmKind::Protected).unwrap();
    spec.host_donate_hyp(at(PAGE)).unwrap();
    for &(row, state, what, answer) in ROWS {
        assert_eq!(call(&mut spec, what).err().map(|e| e.error), answer, "ST-{row:03} {what:?}");
        assert_eq!(views(&spec), state, "state after ST-{row:03} {what:?}");
        assert_eq!(invariants::check(&spec), Ok(()), "ST-{row:03}");
    }
}
