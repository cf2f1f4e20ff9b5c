//! The lives: what is done, one call at a time, from wherever it stands.

use tenure_abi::pkvm::GuestCall;
use tenure_abi::service::{Prot, VmKind};
use tenure_abi::{Error, Located, Owner, PageState, Pfn};
use tenure_hyp::el2::{GuestOutcome, Start};
use tenure_test_board::check::View;
use tenure_test_board::pfns;
use tenure_test_board::rig::{GFN, HOST, ROOT, RUN_PAGE, Rig, gfn, gfns};

/// Four pages in a row: two at the end of a region and two at the start of the next.
pub(crate) const PAGES: [u64; 4] = [HOST + 510, HOST + 511, HOST + 512, HOST + 513];

pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) kind: VmKind,
    /// What comes before, undisturbed.
    pub(crate) before: fn(&mut Rig),
    /// One call; whether all is done.
    pub(crate) next: fn(&mut Rig) -> Result<bool, Error>,
}

const fn case(
    name: &'static str,
    kind: VmKind,
    before: fn(&mut Rig),
    next: fn(&mut Rig) -> Result<bool, Error>,
) -> Case {
    Case { name, kind, before, next }
}

fn why<T>(refused: Result<T, Located<Error>>) -> Result<T, Error> {
    refused.map_err(|refused| refused.error)
}

/// The first of the pages in a state that is still to change, and its place.
fn left(rig: &Rig, todo: fn(PageState) -> bool) -> Result<Option<(u64, u64)>, Error> {
    for (page, at) in PAGES.into_iter().zip(GFN..) {
        if todo(rig.el2.tracker().state(Pfn::new(page).unwrap())?) {
            return Ok(Some((page, at)));
        }
    }
    Ok(None)
}

fn is_host(state: PageState) -> bool {
    state == PageState::Exclusive(Owner::Host)
}

fn is_private(state: PageState) -> bool {
    matches!(state, PageState::Exclusive(Owner::Guest(_)))
}

fn is_shared(state: PageState) -> bool {
    matches!(state, PageState::Shared { owner: Owner::Guest(_), .. })
}

fn given(rig: &mut Rig) {
    for (page, at) in PAGES.into_iter().zip(GFN..) {
        rig.touch(page);
        rig.donate(page, at, 1);
    }
}

fn shared(rig: &mut Rig) {
    given(rig);
    rig.share(GFN, 4);
    for page in PAGES {
        assert!(rig.touch(page));
    }
}

fn lent(rig: &mut Rig) {
    for (page, at) in PAGES.into_iter().zip(GFN..) {
        rig.touch(page);
        assert_eq!(rig.el2.share_guest(rig.vm, pfns(page, 1), gfn(at), Prot::R), Ok(1));
    }
}

fn dying(rig: &mut Rig) {
    given(rig);
    rig.share(GFN + 1, 2);
    rig.touch(PAGES[1]);
    rig.kill();
}

/// A dying VM without memory, whose table pages lie in three regions.
fn empty(rig: &mut Rig) {
    dying(rig);
    while reclaim(rig) == Ok(false) {}
    assert_eq!(rig.el2.vm_topup(rig.vm, pfns(PAGES[0], 4)), Ok(4));
}

fn donate(rig: &mut Rig) -> Result<bool, Error> {
    let Some((page, at)) = left(rig, is_host)? else { return Ok(true) };
    why(rig.try_donate(page, at, 1)).map(|_| false)
}

fn lend(rig: &mut Rig) -> Result<bool, Error> {
    let leaves = rig.board.leaves(ROOT);
    let Some((page, at)) = PAGES.into_iter().zip(GFN..).find(|&(_, at)| leaves.get(at).is_none()) else {
        return Ok(true);
    };
    why(rig.el2.share_guest(rig.vm, pfns(page, 1), gfn(at), Prot::R)).map(|_| false)
}

fn first_leaf(rig: &Rig) -> Option<u64> {
    rig.board.leaves(ROOT).first()
}

fn unlend(rig: &mut Rig) -> Result<bool, Error> {
    let Some(at) = first_leaf(rig) else { return Ok(true) };
    why(rig.el2.unshare_guest(rig.vm, gfns(at, 4))).map(|_| false)
}

fn reclaim(rig: &mut Rig) -> Result<bool, Error> {
    let Some(at) = first_leaf(rig) else { return Ok(true) };
    why(rig.el2.reclaim_guest(rig.vm, gfns(at, 4))).map(|_| false)
}

/// A guest's call that is made again where the image would rewind it.
fn guest(rig: &Rig, call: GuestCall) -> Result<bool, Error> {
    match rig.call(call) {
        GuestOutcome::Reply([0, 1..=4, ..]) | GuestOutcome::ReplyAndStop([0, ..], _) => Ok(false),
        GuestOutcome::Rewind => Err(Error::Retry),
        other => panic!("{call:?}: {other:?}"),
    }
}

fn share(rig: &mut Rig) -> Result<bool, Error> {
    let Some((_, at)) = left(rig, is_private)? else { return Ok(true) };
    guest(rig, GuestCall::MemShare(gfns(at, GFN + 4 - at)))
}

fn unshare(rig: &mut Rig) -> Result<bool, Error> {
    let Some((_, at)) = left(rig, is_shared)? else { return Ok(true) };
    guest(rig, GuestCall::MemUnshare(gfns(at, GFN + 4 - at)))
}

fn relinquish(rig: &mut Rig) -> Result<bool, Error> {
    let Some(at) = first_leaf(rig) else { return Ok(true) };
    guest(rig, GuestCall::MemRelinquish(gfn(at)))
}

fn force(rig: &mut Rig) -> Result<bool, Error> {
    let Some((page, _)) = left(rig, is_private)? else { return Ok(true) };
    why(rig.el2.force_reclaim(pfns(page, 2))).map(|_| false)
}

fn finish(rig: &mut Rig) -> Result<bool, Error> {
    let left = why(rig.el2.vm_finish_teardown(rig.vm))?;
    if left == 0 {
        rig.views.clear();
    }
    Ok(left == 0)
}

fn create(rig: &mut Rig) -> Result<bool, Error> {
    let vm = why(rig.el2.vm_create(VmKind::Protected, pfns(ROOT + 120, 2)))?;
    rig.views.push(View { slot: vm.slot(), root: ROOT + 120 });
    Ok(true)
}

fn top_up(rig: &mut Rig) -> Result<bool, Error> {
    why(rig.el2.vm_topup(rig.vm, pfns(ROOT + 120, 3))).map(|_| true)
}

fn create_vcpu(rig: &mut Rig) -> Result<bool, Error> {
    let start = Start { entry: 0, argument: 0 };
    why(rig.el2.vcpu_create(rig.vm, Pfn::new(RUN_PAGE + 1).unwrap(), start)).map(|_| true)
}

/// A range over two regions.
fn range() -> tenure_abi::FrameRange<Pfn> {
    pfns(PAGES[1], 2)
}

fn share_hyp(rig: &mut Rig) {
    rig.el2.share_hyp(range()).unwrap();
}

fn pinned(rig: &mut Rig) {
    share_hyp(rig);
    rig.el2.pin(range()).unwrap();
}

use VmKind::{NonProtected, Protected};

pub(crate) const CASES: [Case; 17] = [
    case("donate", Protected, |rig| PAGES.iter().for_each(|&page| _ = rig.touch(page)), donate),
    case("share", Protected, given, share),
    case("unshare", Protected, shared, unshare),
    case("relinquish", Protected, given, relinquish),
    case("force reclaim", Protected, given, force),
    case("reclaim", Protected, dying, reclaim),
    case("finish teardown", Protected, empty, finish),
    case("lend", NonProtected, |_| (), lend),
    case("unlend", NonProtected, lent, unlend),
    case(
        "unlend a dying VM's",
        NonProtected,
        |rig| {
            lent(rig);
            rig.kill();
        },
        unlend,
    ),
    case("create a VM", Protected, |_| (), create),
    case("give tables", Protected, |_| (), top_up),
    case("create a vCPU", Protected, |rig| _ = rig.el2.share_hyp(pfns(RUN_PAGE + 1, 1)).unwrap(), create_vcpu),
    case("pin", Protected, share_hyp, |rig| why(rig.el2.pin(range())).map(|()| true)),
    case("unpin", Protected, pinned, |rig| why(rig.el2.unpin(range())).map(|()| true)),
    case("donate to the hypervisor", Protected, |_| (), |rig| why(rig.el2.donate_hyp(range())).map(|()| true)),
    case(
        "return to the host",
        Protected,
        |rig| rig.el2.donate_hyp(range()).unwrap(),
        |rig| why(rig.el2.return_to_host(range())).map(|()| true),
    ),
];
