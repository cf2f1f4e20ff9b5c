//! Another CPU comes in between any two steps of any call.
//!
//! Each case is a life of calls that are made again until all is done. At step n, counted over the whole life, the other
//! CPU does one thing: locks a region, claims and parks it, faults on the pages, or takes and returns them as the host. A lock or a
//! claim is held until a call is told to retry, or to the end. For every n the life must come to the same end as undisturbed,
//! with the invariants holding after each call.

mod cases;

use cases::{CASES, Case, PAGES};
use std::any::Any;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex};
use tenure_abi::{Error, Pfn};
use tenure_hyp::el2::{El2, HostFault};
use tenure_hyp::tracker::{Entry, Identity, Transition};
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

/// What the other CPU has in hand, and the steps so far.
#[derive(Default)]
struct Meanwhile {
    steps: AtomicU64,
    acted: AtomicU64,
    held: Mutex<Option<Box<dyn Any + Send>>>,
}

/// How a life ended.
struct Ended {
    entries: Vec<Entry>,
    leaves: Vec<(u64, u64)>,
    /// Whether the disturbance took place.
    disturbed: bool,
    /// How many calls were told to come back.
    retries: u64,
}

/// Lives the life with one disturbance from step `at` on.
fn live(case: &Case, disturbed: Option<(Other, u64)>) -> Ended {
    let mut rig = Rig::new(case.kind, 16);
    (case.before)(&mut rig);
    let meanwhile = Arc::new(Meanwhile::default());
    let (board, el2, seen) = (rig.board, rig.el2, Arc::clone(&meanwhile));
    board.watch(move |step| {
        if let Step::Scrub(page) = step {
            let host = board.leaves(el2.host_context().root().number());
            assert!(!host.contains_key(&page.number()), "{page:?} is scrubbed while the host maps it");
            assert!(!board.leaves(ROOT).values().any(|&frame| frame == page.number()), "{page:?} is a guest's still");
        }
        let n = seen.steps.fetch_add(1, Relaxed);
        let Some((other, at)) = disturbed else { return };
        if n >= at
            && seen.acted.load(Relaxed) == 0
            && let Some(held) = other.act(el2)
        {
            seen.acted.store(1, Relaxed);
            *seen.held.lock().unwrap() = Some(held);
        }
    });
    let mut retries = 0;
    loop {
        let done = (case.next)(&mut rig);
        if done == Err(Error::Retry) {
            retries += 1;
            assert!(retries <= 2, "{}: retries without end", case.name);
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
    let leaves = if rig.views.is_empty() { Vec::new() } else { board.leaves(ROOT).into_iter().collect() };
    Ended { entries, leaves, disturbed: meanwhile.acted.load(Relaxed) != 0, retries }
}

#[test]
fn another_cpu_at_any_step_of_any_call_changes_no_end() {
    let (mut runs, mut retries) = (0, 0);
    for case in &CASES {
        let undisturbed = live(case, None);
        assert_eq!(undisturbed.retries, 0);
        for other in others() {
            for at in 0.. {
                let ended = live(case, Some((other, at)));
                assert!(ended.entries == undisturbed.entries, "{} and {other:?} at {at}: entries", case.name);
                assert!(ended.leaves == undisturbed.leaves, "{} and {other:?} at {at}: the guest's map", case.name);
                (runs, retries) = (runs + 1, retries + ended.retries);
                if !ended.disturbed {
                    break;
                }
            }
        }
    }
    // That the other CPU was in the way at all.
    assert!(runs > 300 && retries > 50, "{runs} runs, {retries} calls came back");
}
