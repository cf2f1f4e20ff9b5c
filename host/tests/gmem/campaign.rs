//! Every allocation and every question to the platform fails once, in every way, and once more while the first is dealt with.
//!
//! Whatever happens: no frame is lost, the records agree with the hardware, visibility is as before after a refusal and as asked
//! after a success, contents are the old, the new or zeroes. And the file goes on: everything can be punched, converted, used.

use crate::calls::{Call, From, Outcome};
use crate::exhaustive::{PLACES, SMALL, calls, long};
use crate::hardware;
use crate::oracle::{Bytes, Oracle, Setup};
use crate::plan::{Failure, Step};
use crate::system::{System, with};
use crate::world::{JUNK, Place};
use std::collections::HashSet;
use tenure_abi::{ContentMode, PAGE_SHIFT, PageSize, Visibility};
use tenure_host::gmem::{Access, Facts};
use tenure_host::platform::{Here, Retry};

/// The ways in which a step fails.
fn ways(step: Step) -> Vec<Failure> {
    let way = |here, retry, after, lasting| Failure { after, here, retry, lasting };
    let mut ways = vec![Failure::PLAIN];
    if matches!(step, Step::Page | Step::Node | Step::Reserve) {
        ways.push(Failure { lasting: true, ..Failure::PLAIN });
    }
    if matches!(step, Step::Resize | Step::Detach | Step::Transfer) {
        for retry in [Retry::Again, Retry::AfterKick, Retry::Owed] {
            ways.extend([false, true].map(|lasting| way(Here::AsBefore, retry, 0, lasting)));
        }
        ways.extend([Here::Rewritten, Here::Detached, Here::Unknown].map(|here| way(here, Retry::No, 0, false)));
        ways.extend([Here::AsBefore, Here::Detached, Here::Unknown].map(|here| way(here, Retry::No, 1, false)));
        ways.push(way(Here::AsBefore, Retry::Again, 1, true));
    }
    if matches!(step, Step::Detach | Step::Transfer) {
        ways.push(way(Here::Detached, Retry::Again, 0, false));
    }
    ways
}

struct Tally {
    runs: u64,
    withdrawn: u64,
    refused: u64,
    seen: HashSet<(Step, &'static str)>,
}

fn name(call: &Call) -> &'static str {
    match call {
        Call::Convert { to: Visibility::Private, .. } => "to private",
        Call::Convert { .. } => "to shared",
        Call::HostTouch { .. } => "host fault",
        Call::GuestTouch { .. } => "guest fault",
        Call::Populate { .. } => "populate",
        Call::Punch { .. } => "punch",
        Call::Allocate { .. } => "allocate",
        Call::Bind { .. } => "bind",
        Call::Unbind { .. } => "unbind",
        Call::Prefault { .. } => "prefault",
        Call::Finish { .. } => "finish",
        Call::MemoryError { .. } => "memory error",
        Call::Pin { .. } | Call::Unpin { .. } => "pin",
    }
}

/// Says which run it was that failed.
struct Told(String);

impl Drop for Told {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("after {}", self.0);
        }
    }
}

/// One run: the state, the call, the steps that fail. The steps it took.
fn one(setup: Setup, path: &[Call], call: &Call, failures: Vec<(usize, Failure)>, tally: &mut Tally) -> Vec<Step> {
    with(setup, |system| {
        for call in path {
            system.quick(call);
        }
        let told = Told(format!("{path:?}, then {call:?}, where {failures:?}"));
        let (before, mut after) = (system.oracle.clone(), system.oracle.clone());
        let planned = !failures.is_empty();
        let expected = after.apply(call);
        let withdrawn = system.file.counts().withdrawn;
        let answer = system.run_with(call, failures);
        let (steps, tripped) = {
            let inner = system.world.lock();
            (inner.plan.steps().to_vec(), inner.plan.tripped())
        };
        system.world.lock().plan.start(Vec::new());
        assert!(planned || answer == expected, "{}: {answer:?}", told.0);
        tally.runs += 1;
        tally.withdrawn += system.file.counts().withdrawn - withdrawn;
        tally.refused += u64::from(answer.error().is_some());
        tally.seen.extend(steps.iter().map(|step| (*step, name(call))));
        outcome(system, &before, &after, call, &answer);
        if tripped != 0 && (long() || setup.pages < 512) {
            afterwards(system);
        }
        steps
    })
}

/// What a failing call may leave.
fn outcome(system: &mut System<'_>, before: &Oracle, after: &Oracle, call: &Call, answer: &Outcome) {
    let refused = answer.error().is_some();
    if !refused {
        system.oracle = after.clone();
    }
    for page in 0..before.setup.pages {
        let shared = system.file.visibility(page << PAGE_SHIFT).unwrap() == Visibility::Shared;
        let expected = if refused { before.page(page) } else { after.page(page) };
        assert_eq!(shared, expected.shared, "visibility of page {page} after {answer:?}");
        let Some((facts, _)) = system.file.facts(page << PAGE_SHIFT) else { continue };
        let (old, new) = (before.page(page), after.page(page));
        let known = |page: &crate::oracle::Page| matches!(page.bytes, Bytes::Is(_)) || !page.init;
        let counts = system.file.counts();
        let corrected = matches!(call, Call::Populate { .. });
        if facts.contains(Facts::INITIALISED)
            && known(old)
            && known(new)
            && !facts.contains(Facts::POISONED)
            && !corrected
        {
            let pfn = system.frame(page).unwrap();
            let bytes = system.world.lock().frame(pfn).bytes;
            assert!(bytes < JUNK, "leftovers in page {page} after {answer:?}, {counts:?}");
            let good = [old.bytes, new.bytes, Bytes::Is(0)].contains(&Bytes::Is(bytes));
            assert!(good, "bytes {bytes} in page {page}, {old:?} {new:?}");
        }
        if facts.contains(Facts::ASSIGNED) && refused && old.owner.is_none() {
            assert!(new.owner.is_some(), "page {page} was assigned by a refused call that was not to do so");
        }
    }
    if let (Outcome::Stopped(done, _), Call::Populate { guest, gfn, .. }) = (answer, call) {
        for n in 0..*done {
            let page = before.find(*guest, gfn + n).unwrap();
            let facts = system.file.facts(page << PAGE_SHIFT).unwrap().0;
            assert!(facts.contains(Facts::POPULATED | Facts::ASSIGNED), "page {page} was counted as populated");
        }
        let stopped = before.find(*guest, gfn + done).and_then(|page| system.file.facts(page << PAGE_SHIFT));
        let populated = stopped.is_some_and(|(facts, _)| facts.contains(Facts::POPULATED));
        let was = before.find(*guest, gfn + done).is_some_and(|page| before.page(page).populated);
        assert_eq!(populated, was, "the page it stopped at");
    }
    system.sound();
}

/// The file goes on, and in the end nothing is lost.
fn afterwards(system: &mut System<'_>) {
    let pages = system.oracle.setup.pages;
    for page in [0, pages - 1] {
        system.run(&Call::HostTouch { page, bytes: 9 });
        system.run(&Call::Unpin { page });
        system.sound();
    }
    for call in [Call::Unpin { page: 1 % pages }, Call::Punch { first: 0, count: pages }] {
        assert_eq!(system.run(&call), Outcome::Ok, "{call:?}");
    }
    system.oracle.pages.iter_mut().for_each(crate::oracle::Page::unback);
    system.sound();
    assert_eq!(system.world.count(Place::Given), 0, "frames left in an empty file");
    let (first, count, to, mode) = (0, pages, Visibility::Shared, ContentMode::Unspecified);
    assert_eq!(system.run(&Call::Convert { first, count, to, mode }), Outcome::Ok);
    assert_eq!(system.world.nodes(), 0, "nodes lent to an empty file");
    let fresh = system.world.count(Place::Free);
    for page in [0, pages - 1] {
        let answer = system.run(&Call::HostTouch { page, bytes: 9 });
        assert!(answer == Outcome::Ok || fresh < 2, "{answer:?}");
    }
}

/// Every step of `call` from the state that `path` leads to fails; with `twice` every later one too.
fn disturb(setup: Setup, path: &[Call], call: &Call, twice: bool, tally: &mut Tally) {
    let steps = one(setup, path, call, Vec::new(), tally);
    for (at, step) in steps.into_iter().enumerate() {
        for way in ways(step) {
            let then = one(setup, path, call, vec![(at, way)], tally);
            if !twice {
                continue;
            }
            for (later, step) in then.into_iter().enumerate().skip(at + 1) {
                let mut seconds = ways(step);
                if !long() {
                    seconds.truncate(1);
                    let grave = |way: &Failure| matches!(way.here, Here::Unknown | Here::Rewritten) && way.after == 0;
                    seconds.extend(ways(step).into_iter().filter(grave));
                }
                for second in seconds {
                    one(setup, path, call, vec![(at, way), (later, second)], tally);
                }
            }
        }
    }
}

pub(crate) fn bind(guest: usize, gfn: u64, first: u64, count: u64) -> Call {
    Call::Bind { guest, gfn, first, count }
}

pub(crate) fn convert(first: u64, count: u64, to: Visibility) -> Call {
    Call::Convert { first, count, to, mode: ContentMode::Unspecified }
}

/// States of a small file that calls have most to do in.
fn states(setup: Setup) -> Vec<Vec<Call>> {
    let all = setup.pages;
    let (guest, gfn) = PLACES[0];
    let bound = bind(guest, gfn, 0, all);
    let touched: Vec<Call> = (0..all).map(|page| Call::HostTouch { page, bytes: 1 }).collect();
    let private = [vec![bound.clone()], touched.clone(), vec![convert(0, all, Visibility::Private)]].concat();
    let with = |more: Vec<Call>| [private.clone(), more].concat();
    vec![
        Vec::new(),
        [vec![bound.clone()], touched].concat(),
        private.clone(),
        with(vec![convert(0, 1, Visibility::Shared), Call::HostTouch { page: 0, bytes: 1 }, Call::Pin { page: 0 }]),
        with(vec![Call::Unbind { guest, gfn }]),
        with(vec![bind(1, PLACES[2].1, 0, all)]),
        with(vec![Call::MemoryError { page: 0 }]),
        with(vec![Call::Punch { first: 0, count: 1 }]),
    ]
}

fn told(name: &str, tally: &Tally) {
    let Tally { runs, withdrawn, refused, ref seen } = *tally;
    println!(
        "{name}: {runs} runs, {refused} refused, {withdrawn} pages withdrawn, {} kinds of step and call",
        seen.len()
    );
}

fn fresh() -> Tally {
    Tally { runs: 0, withdrawn: 0, refused: 0, seen: HashSet::new() }
}

#[test]
fn a_failure_at_any_step_loses_nothing() {
    let setup = Setup { pages: 2, ..SMALL };
    let mut tally = fresh();
    for path in states(setup) {
        for call in calls(setup) {
            disturb(setup, &path, &call, long(), &mut tally);
        }
    }
    told("small file", &tally);
    for step in [Step::Page, Step::Node, Step::Reserve, Step::Detach, Step::Fence, Step::Transfer] {
        assert!(tally.seen.iter().any(|(seen, _)| *seen == step), "{step:?}");
    }
    assert!(tally.withdrawn != 0 && tally.refused != 0);
}

#[test]
fn a_failure_while_a_guest_is_built_loses_nothing() {
    let early = tenure_host::platform::Capabilities { prefault_while_building: true, ..hardware::CAPABILITIES };
    let setup =
        Setup { pages: 2, running: [false, true], initially: Visibility::Private, capabilities: early, ..SMALL };
    let (guest, gfn) = PLACES[0];
    let populate = |source| Call::Populate { guest, gfn, count: 2, source };
    let prefault = Call::Prefault { guest, gfn, count: 2, access: Access::Untold };
    let mut tally = fresh();
    for path in [vec![], vec![prefault.clone()], vec![Call::Populate { guest, gfn, count: 1, source: From::Zero }]] {
        let path = [vec![bind(guest, gfn, 0, 2)], path].concat();
        for call in [populate(From::Zero), populate(From::InPlace), populate(From::Frames), prefault.clone()] {
            disturb(setup, &path, &call, true, &mut tally);
        }
        disturb(setup, &path, &Call::Finish { guest }, true, &mut tally);
    }
    told("building", &tally);
}

/// A file with a frame of 2 MiB and two pages more.
pub(crate) const LARGE: Setup = Setup {
    pages: 514,
    largest: PageSize::Size2M,
    frames: 512 * 4,
    nodes: 16,
    initially: Visibility::Private,
    ..SMALL
};

/// States around a frame of 2 MiB, and what cuts it.
fn large_states() -> Vec<(Vec<Call>, u64)> {
    let fill = Call::Allocate { first: 0, count: 514 };
    let ahead = |gfn, count| Call::Prefault { guest: 0, gfn, count, access: Access::Untold };
    vec![
        // One entry of 2 MiB.
        (vec![fill.clone(), bind(0, 0x1000, 0, 514), ahead(0x1000, 514)], 0x1000),
        // Entries of 4 KiB on a frame of 2 MiB.
        (vec![fill.clone(), bind(0, 0x1003, 0, 514), ahead(0x1003, 514)], 0x1003),
        // Half of the frame is the guest's.
        (vec![fill.clone(), bind(0, 0x1000, 0, 256), ahead(0x1000, 256)], 0x1000),
        // One entry under two bindings.
        (
            vec![
                fill,
                bind(0, 0x1000, 0, 256),
                bind(0, 0x1100, 256, 258),
                Call::Prefault { guest: 0, gfn: 0x1000, count: 512, access: Access::Untold },
            ],
            0x1000,
        ),
    ]
}

#[test]
fn a_failure_inside_a_large_frame_loses_nothing() {
    let mut tally = fresh();
    let states = large_states();
    for (path, gfn) in if long() { &states[..] } else { &states[..2] } {
        let mut calls = vec![Call::MemoryError { page: 5 }, Call::Unbind { guest: 0, gfn: *gfn }];
        let ranges = [(3, 1), (511, 3), (0, 514), (200, 100)];
        for (first, count) in ranges.into_iter().take(if long() { 4 } else { 2 }) {
            calls.extend([Visibility::Shared, Visibility::Private].map(|to| convert(first, count, to)));
            calls.push(Call::Punch { first, count });
        }
        for call in calls {
            disturb(LARGE, path, &call, long(), &mut tally);
        }
        let path = [path.clone(), vec![Call::Unbind { guest: 0, gfn: *gfn }]].concat();
        for call in [bind(1, 0x1000, 5, 6), bind(0, 0x2000, 0, 514)].into_iter().take(if long() { 2 } else { 1 }) {
            disturb(LARGE, &path, &call, long(), &mut tally);
        }
    }
    told("a large frame", &tally);
    for step in [Step::Resize, Step::Node, Step::Detach, Step::Fence, Step::Transfer] {
        assert!(tally.seen.iter().any(|(seen, _)| *seen == step), "{step:?}");
    }
}

#[test]
fn a_failure_and_no_node_gives_up_a_whole_frame_and_nothing_else() {
    let mut tally = fresh();
    // Entries of 4 KiB on a frame of 2 MiB, all of them converted: the index knows it as one.
    let path = &large_states()[1].0;
    let call = convert(0, 512, Visibility::Shared);
    let steps = one(LARGE, path, &call, Vec::new(), &mut tally);
    let transfer = steps.iter().position(|step| *step == Step::Transfer).unwrap();
    let fails = Failure { after: 1, ..Failure::PLAIN };
    let then = one(LARGE, path, &call, vec![(transfer, fails)], &mut tally);
    assert_eq!(tally.withdrawn, 1, "the page that failed");
    let node = (transfer..then.len()).find(|at| then[*at] == Step::Node).expect("a node to tell the page apart");
    one(LARGE, path, &call, vec![(transfer, fails), (node, Failure::PLAIN)], &mut tally);
    assert_eq!(tally.withdrawn, 1 + 512, "the frame that could not be told apart");
}
