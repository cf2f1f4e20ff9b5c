//! The order inside a transition, seen from outside while it runs.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use tenure_abi::pkvm::GuestCall;
use tenure_abi::{PageState, Pfn};
use tenure_test_board::rig::{GFN, HOST, Rig, gfn, gfns};
use tenure_test_board::watch::Step;

/// What a run does, on a rig whose guest has `HOST..HOST + 4` at `GFN`, shared.
type Run = fn(&mut Rig);

const RUNS: [(&str, Run); 6] = [
    ("unshare", |rig| rig.unshare(GFN, 2)),
    ("unshare one", |rig| rig.unshare(GFN, 1)),
    ("donate", |rig| rig.donate(HOST + 8, GFN + 8, 2)),
    ("donate to the hypervisor", |rig| {
        rig.el2.donate_hyp(tenure_test_board::pfns(HOST + 8, 2)).unwrap();
    }),
    ("relinquish", |rig| {
        rig.unshare(GFN, 4);
        rig.call(GuestCall::MemRelinquish(gfn(GFN)));
    }),
    ("reclaim", |rig| {
        rig.kill();
        assert_eq!(rig.el2.reclaim_guest(rig.vm, gfns(GFN, 4)), Ok(4));
    }),
];

/// RS-28: when an invalidation begins, no entry of its pages says what will be true only after it; the hook of an erratum that
/// runs at its end runs before publication too.
#[test]
fn nothing_is_published_before_the_loser_is_cut_off() {
    for (name, run) in RUNS {
        let mut rig = Rig::protected();
        rig.donate(HOST, GFN, 4);
        rig.share(GFN, 4);
        for page in 0..10 {
            assert!(rig.touch(HOST + page));
        }
        let before: Arc<Mutex<Vec<PageState>>> = Arc::default();
        let (el2, log) = (rig.el2, Arc::clone(&before));
        let state = move |page: u64| el2.tracker().state(Pfn::new(page).unwrap());
        let invalidations = Arc::new(AtomicU64::new(0));
        let seen = Arc::clone(&invalidations);
        let owners: Vec<_> = (0..10).map(|page| state(HOST + page).unwrap()).collect();
        *log.lock().unwrap() = owners;
        rig.board.watch(move |step| {
            if let Step::Invalidate(vmid, first, frames) = step {
                seen.fetch_add(1, Relaxed);
                let base = if vmid == 0 { HOST } else { GFN };
                let mut known = log.lock().unwrap();
                for at in (first..first + frames).map(|at| (at - base) as usize).filter(|&at| at < 10) {
                    // A region in motion answers nothing, which is as good.
                    if let Ok(now) = state(HOST + at as u64) {
                        assert_eq!(now, known[at], "published too early");
                    }
                }
                // What earlier calls of this run published is known from now on.
                for (at, known) in known.iter_mut().enumerate() {
                    *known = state(HOST + at as u64).unwrap_or(*known);
                }
            }
        });
        run(&mut rig);
        rig.board.unwatch();
        assert!(invalidations.load(Relaxed) >= 1, "{name} cuts somebody off");
        rig.sound();
    }
}
