//! A VM's table pages run out: for every call that may need some, with none, one, and so on to exactly enough.

use tenure_abi::Error;
use tenure_abi::pkvm::GuestCall;
use tenure_abi::run::StopReason;
use tenure_abi::service::{Prot, VmKind};
use tenure_hyp::el2::GuestOutcome;
use tenure_test_board::pfns;
use tenure_test_board::rig::{GFN, HOST, ROOT, Rig, gfn, gfns};

/// Where pages for later top-ups come from.
const SPARE: u64 = ROOT + 200;

type Outcome = Result<u64, Error>;

struct Case {
    name: &'static str,
    kind: VmKind,
    /// What comes before; it may run out of tables too, then there is nothing to see with so few.
    before: fn(&mut Rig) -> Outcome,
    call: fn(&Rig) -> Outcome,
    /// How many tables the call itself takes.
    takes: u64,
}

#[allow(clippy::unnecessary_wraps)] // One of several of this form.
fn nothing(_: &mut Rig) -> Outcome {
    Ok(0)
}

fn donate(rig: &Rig, at: u64, pages: u64) -> Outcome {
    rig.try_donate(HOST, at, pages).map_err(|refused| refused.error)
}

fn share(rig: &Rig, at: u64, pages: u64) -> Outcome {
    rig.el2.share_guest(rig.vm, pfns(HOST, pages), gfn(at), Prot::R | Prot::W).map_err(|refused| refused.error)
}

fn relinquish(rig: &Rig, at: u64) -> Outcome {
    match rig.call(GuestCall::MemRelinquish(gfn(at))) {
        GuestOutcome::ReplyAndStop([0, ..], _) => Ok(1),
        GuestOutcome::RewindAndStop(stop) if stop.reason == StopReason::NeedTables => Err(Error::NoMemory),
        other => panic!("{other:?}"),
    }
}

fn reclaim(rig: &Rig, at: u64, pages: u64) -> Outcome {
    rig.el2.reclaim_guest(rig.vm, gfns(at, pages)).map_err(|refused| refused.error)
}

const fn case(
    name: &'static str,
    kind: VmKind,
    before: fn(&mut Rig) -> Outcome,
    call: fn(&Rig) -> Outcome,
    takes: u64,
) -> Case {
    Case { name, kind, before, call, takes }
}

use VmKind::{NonProtected, Protected};

const CASES: [Case; 14] = [
    case("donate a page", Protected, nothing, |rig| donate(rig, GFN, 1), 2),
    case("donate a block", Protected, nothing, |rig| donate(rig, GFN, 512), 1),
    case("donate 2 MiB out of line", Protected, nothing, |rig| donate(rig, GFN + 1, 512), 3),
    case("donate across 1 GiB", Protected, nothing, |rig| donate(rig, (1 << 18) - 2, 4), 4),
    case(
        "donate beside a page",
        Protected,
        |rig| donate(rig, GFN + 511, 1),
        |rig| rig.try_donate(HOST + 1, GFN + 510, 1).map_err(|refused| refused.error),
        0,
    ),
    case("share a page", NonProtected, nothing, |rig| share(rig, GFN, 1), 2),
    case("share a block", NonProtected, nothing, |rig| share(rig, GFN, 512), 1),
    case("share across 1 GiB", NonProtected, nothing, |rig| share(rig, (1 << 18) - 2, 4), 4),
    case(
        "unshare inside a block",
        NonProtected,
        |rig| share(rig, GFN, 512),
        |rig| rig.el2.unshare_guest(rig.vm, gfns(GFN + 9, 2)).map_err(|refused| refused.error),
        1,
    ),
    case("relinquish inside a block", Protected, |rig| donate(rig, GFN, 512), |rig| relinquish(rig, GFN + 9), 1),
    case(
        "force out of a block",
        Protected,
        |rig| donate(rig, GFN, 512),
        |rig| rig.el2.force_reclaim(pfns(HOST + 9, 2)).map_err(|refused| refused.error),
        1,
    ),
    case(
        "reclaim inside a block",
        Protected,
        |rig| {
            donate(rig, GFN, 512)?;
            rig.kill();
            Ok(0)
        },
        |rig| reclaim(rig, GFN + 9, 2),
        1,
    ),
    case(
        "reclaim a block with a shared page",
        Protected,
        |rig| {
            donate(rig, GFN, 512)?;
            rig.share(GFN + 9, 1);
            rig.kill();
            Ok(0)
        },
        |rig| reclaim(rig, GFN, 9),
        1,
    ),
    case(
        "reclaim a whole block",
        Protected,
        |rig| {
            donate(rig, GFN, 512)?;
            rig.kill();
            Ok(0)
        },
        |rig| reclaim(rig, GFN, 512),
        0,
    ),
];

/// An interpreter takes one case in so many.
const EVERY: usize = if cfg!(miri) { 5 } else { 1 };

#[test]
fn missing_table_pages_refuse_a_call_and_change_nothing() {
    for case in CASES.iter().step_by(EVERY) {
        let enough = (0..10).find(|&tables| goes_with(case, tables, Helped::No)).unwrap();
        let before = (0..10).find(|&tables| (case.before)(&mut Rig::new(case.kind, tables)).is_ok()).unwrap();
        assert_eq!(enough - before, case.takes, "{}", case.name);
    }
}

#[test]
fn a_call_refused_for_table_pages_goes_on_when_they_come() {
    for case in CASES.iter().step_by(EVERY) {
        for tables in 0..4 {
            goes_with(case, tables, Helped::Yes);
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Helped {
    No,
    Yes,
}

/// Whether the call goes with so many table pages; if helped, it does in the end, with a page more at a time.
fn goes_with(case: &Case, tables: u64, helped: Helped) -> bool {
    let name = case.name;
    let mut rig = Rig::new(case.kind, tables);
    if (case.before)(&mut rig).is_err() {
        rig.sound();
        rig.end(SPARE);
        rig.all_is_the_hosts();
        return false;
    }
    let mut more = SPARE + 50;
    let went = loop {
        let before = rig.snapshot();
        match (case.call)(&rig) {
            Ok(pages) => {
                assert!(pages > 0, "{name} with {tables}");
                break true;
            }
            Err(error) => {
                assert_eq!(error, Error::NoMemory, "{name} with {tables}");
                assert!(rig.snapshot() == before, "{name} with {tables} changed something");
                rig.sound();
            }
        }
        if helped == Helped::No {
            break false;
        }
        assert_eq!(rig.el2.vm_topup(rig.vm, pfns(more, 1)), Ok(1), "{name} with {tables}");
        more += 1;
    };
    rig.sound();
    rig.end(SPARE);
    rig.all_is_the_hosts();
    rig.sound();
    went
}
