//! Another CPU comes in between any two steps of any call.
//!
//! Each case is a life of calls that are made again until all is done. At step n, counted over the whole life, the other
//! CPU does one thing: locks a region, claims and parks it, faults on the pages, or takes and returns them as the host. A lock or a
//! claim is held until a call is told to retry, or to the end. For every n the life must come to the same end as undisturbed,
//! with the invariants holding after each call. Then it comes twice: the second time at the step after, or, with `TENURE_LONG` in the
//! environment, at every later one.

mod cases;

use cases::{CASES, Case, PAGES};
use std::any::Any;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex};
use tenure_abi::{Error, Pfn};
use tenure_hyp::el2::{El2, HostFault};
use tenure_hyp::tracker::{Entry, Identity, Transition};
use tenure_test_board::leaves::Leaves;
use tenure_test_board::rig::{HOST, ROOT, Rig};
use tenure_test_board::watch::Step;
use tenure_test_board::{Board, OWN, RAM, pfns};

type System = &'static El2<'static, Board>;

/// What the other CPU does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Other {
    /// Locks the region of this page.
    Locks(u64),
    /// Claims a page of this region for a transition, and parks it.
    Parks(u64),
    /// Touches every page concerned, from the host.
    Faults,
    /// Shares and donates every page concerned, where it can, and takes it back.
    Takes,
}

/// Regions that the cases work in: the VM's tables, and two with pages for it.
const REGIONS: [u64; 3] = [RAM, HOST, HOST + 512];

fn others() -> Vec<Other> {
    let held = REGIONS.iter().flat_map(|&region| [Other::Locks(region), Other::Parks(region)]);
    held.chain([Other::Faults, Other::Takes]).collect()
}

impl Other {
    /// Whether it keeps what it took.
    fn holds(self) -> bool {
        matches!(self, Self::Locks(_) | Self::Parks(_))
    }

    /// Does it; what it holds from now on, if anything. `None`: it could not, and tries again at the next step.
    fn act(self, el2: System) -> Option<Box<dyn Any + Send>> {
        match self {
            Self::Locks(region) => Some(Box::new(el2.tracker().lock_region(Pfn::new(region).unwrap()).ok()?)),
            Self::Parks(region) => {
                // This page of each region is the host's in every case.
                let page = pfns(region + 255, 1);
                let mut claim = el2.tracker().claim(Transition::HostShareHyp, page, Identity::NONE).ok()?;
                claim.park();
                Some(Box::new(claim))
            }
            Self::Faults => {
                for page in PAGES.into_iter().chain([ROOT, ROOT + 5, ROOT + 120, RAM]) {
                    let _: HostFault = el2.host_fault(page << 12);
                }
                Some(Box::new(()))
            }
            Self::Takes => {
                for page in PAGES.into_iter().map(|page| pfns(page, 1)) {
                    if el2.share_hyp(page).is_ok() {
                        el2.unshare_hyp(page).unwrap();
                    }
                    if el2.donate_hyp(page).is_ok() {
                        el2.return_to_host(page).unwrap();
                    }
                }
                Some(Box::new(()))
            }
        }
    }
}

/// What the other CPU has in hand, the steps so far, and how often it came in between.
#[derive(Default)]
struct Meanwhile {
    steps: AtomicU64,
    acted: AtomicU64,
    held: Mutex<Option<Box<dyn Any + Send>>>,
}

/// How a life ended.
struct Ended {
    entries: Vec<Entry>,
    leaves: Option<Leaves>,
    /// How often the other CPU came in.
    acted: u64,
    /// How many calls were told to come back.
    retries: usize,
}

/// Lives the life; `other` comes in at each of these steps, or as soon after as it can.
fn live(case: &Case, other: Other, at: &[u64]) -> Ended {
    let mut rig = Rig::new(case.kind, 16);
    (case.before)(&mut rig);
    let meanwhile = Arc::new(Meanwhile::default());
    let (board, el2, seen) = (rig.board, rig.el2, Arc::clone(&meanwhile));
    let plan = at.to_vec();
    board.watch(move |step| {
        if let Step::Scrub(page) = step {
            let host = board.leaves(el2.host_context().root().number());
            assert!(host.get(page.number()).is_none(), "{page:?} is scrubbed while the host maps it");
            assert!(board.leaves(ROOT).of_frame(page.number()).next().is_none(), "{page:?} is a guest's still");
        }
        let n = seen.steps.fetch_add(1, Relaxed);
        let acted = seen.acted.load(Relaxed);
        let mut held = seen.held.lock().unwrap();
        if plan.get(acted as usize).is_some_and(|&at| n >= at)
            && held.is_none()
            && let Some(taken) = other.act(el2)
        {
            seen.acted.store(acted + 1, Relaxed);
            *held = other.holds().then_some(taken);
        }
    });
    let mut retries = 0;
    loop {
        let done = (case.next)(&mut rig);
        if done == Err(Error::Retry) {
            retries += 1;
            assert!(retries <= at.len() + 1, "{}: retries without end", case.name);
            // Told to come back: the other CPU is done by then.
            drop(meanwhile.held.lock().unwrap().take());
            rig.sound();
        }
        if done.unwrap_or_else(|error| if error == Error::Retry { false } else { panic!("{}: {error:?}", case.name) }) {
            break;
        }
    }
    board.unwatch();
    drop(meanwhile.held.lock().unwrap().take());
    rig.sound();
    let entries = (RAM + OWN..RAM + 3 * 512).map(|page| rig.entry(page)).collect();
    let leaves = (!rig.views.is_empty()).then(|| board.leaves(ROOT));
    Ended { entries, leaves, acted: meanwhile.acted.load(Relaxed), retries }
}

/// An interpreter takes one case in so many, and one step of it in so many.
const EVERY: usize = if cfg!(miri) { 9 } else { 1 };
const STRIDE: usize = if cfg!(miri) { 233 } else { 1 };

#[test]
fn another_cpu_at_any_step_of_any_call_changes_no_end() {
    let long = std::env::var_os("TENURE_LONG").is_some();
    let (mut runs, mut retries) = (0, 0);
    for case in CASES.iter().step_by(EVERY) {
        let undisturbed = live(case, Other::Faults, &[]);
        assert_eq!(undisturbed.retries, 0);
        for other in others() {
            let mut end = |at: &[u64]| {
                let ended = live(case, other, at);
                assert!(ended.entries == undisturbed.entries, "{} and {other:?} at {at:?}: entries", case.name);
                assert!(ended.leaves == undisturbed.leaves, "{} and {other:?} at {at:?}: the guest's map", case.name);
                (runs, retries) = (runs + 1, retries + ended.retries);
                ended.acted as usize == at.len()
            };
            for first in (0..1000).step_by(STRIDE) {
                if !end(&[first]) {
                    break;
                }
                let mut again = (first + 1..1000).take_while(|&second| end(&[first, second]));
                // Each of these is a run.
                if long { again.by_ref().for_each(drop) } else { again.next().map_or((), drop) }
            }
        }
    }
    // That the other CPU was in the way at all.
    assert!(cfg!(miri) || runs > 300 && retries > 50, "{runs} runs, {retries} calls came back");
}
