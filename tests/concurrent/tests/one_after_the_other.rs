//! Two calls at the same time answer and leave behind what they would one after the other, in some order (I8: a call that is refused
//! leaves nothing behind at all). A call may also be told to come again, and then it was as if never made.

use std::sync::Mutex;
use tenure_abi::pkvm::GuestCall;
use tenure_abi::run::StopReason;
use tenure_abi::service::Prot;
use tenure_concurrent::world::{GFN, GFNS, PAGE, PAGES, gfn, gfns, pfn, pfns};
use tenure_concurrent::{Bug, Setup, World, plant, with_world};
use tenure_hyp::el2::{Stop, VcpuToken};
use tenure_machine::Plan;
use tenure_machine::schedule::{Outcome, explore, loudly};
use tenure_machine::step::{note, quietly, violation};

const SCHEDULES: u64 = if cfg!(debug_assertions) { 10 } else { 80 };

/// One call; its answer in words.
type Call = fn(&World<'_>, &VcpuToken) -> String;

fn guest(world: &World<'_>, token: &VcpuToken, call: GuestCall) -> String {
    let regs = call.to_regs();
    match world.el2.guest_call_fast(token, regs) {
        Some(reply) => format!("Reply({reply:?})"),
        None => format!("{:?}", world.el2.guest_call(token, regs)),
    }
}

const CALLS: [(&str, Call); 15] = [
    ("donate page 3", |w, _| format!("{:?}", w.el2.donate_guest(w.vm, pfns(PAGE + 3, 1), gfn(GFN + 3)))),
    ("donate pages 3, 4", |w, _| format!("{:?}", w.el2.donate_guest(w.vm, pfns(PAGE + 3, 2), gfn(GFN + 3)))),
    ("donate page 1 elsewhere", |w, _| format!("{:?}", w.el2.donate_guest(w.vm, pfns(PAGE + 1, 1), gfn(GFN + 6)))),
    ("donate page 3 at G + 1", |w, _| format!("{:?}", w.el2.donate_guest(w.vm, pfns(PAGE + 3, 1), gfn(GFN + 1)))),
    ("share page 1", |w, t| guest(w, t, GuestCall::MemShare(gfns(GFN + 1, 1)))),
    ("share pages 0, 1", |w, t| guest(w, t, GuestCall::MemShare(gfns(GFN, 2)))),
    ("unshare page 2", |w, t| guest(w, t, GuestCall::MemUnshare(gfns(GFN + 2, 1)))),
    ("unshare pages 1, 2", |w, t| guest(w, t, GuestCall::MemUnshare(gfns(GFN + 1, 2)))),
    ("relinquish page 1", |w, t| guest(w, t, GuestCall::MemRelinquish(gfn(GFN + 1)))),
    ("force page 1", |w, _| format!("{:?}", w.el2.force_reclaim(pfns(PAGE + 1, 1)))),
    ("force page 2", |w, _| format!("{:?}", w.el2.force_reclaim(pfns(PAGE + 2, 1)))),
    ("lend page 3", |w, _| format!("{:?}", w.el2.share_guest(w.borrower, pfns(PAGE + 3, 1), gfn(GFN + 1), Prot::R))),
    ("lend pages 3, 4", |w, _| {
        format!("{:?}", w.el2.share_guest(w.borrower, pfns(PAGE + 3, 2), gfn(GFN + 1), Prot::R))
    }),
    ("take page 4 back", |w, _| format!("{:?}", w.el2.unshare_guest(w.borrower, gfns(GFN, 1)))),
    ("share pages 3, 4 with EL2", |w, _| format!("{:?}", w.el2.share_hyp(pfns(PAGE + 3, 2)))),
];

/// What a call leaves behind: every entry, and both guests' maps.
fn state(world: &World<'_>) -> String {
    let entries: Vec<_> = (PAGE..PAGE + PAGES).map(|page| world.entry(pfn(page))).collect();
    let maps: Vec<_> = [world.guest, world.borrowing]
        .map(|regime| (GFN..GFN + GFNS).map(|at| world.hw.machine.walk(regime, gfn(at)).ok()).collect::<Vec<_>>())
        .into();
    format!("{entries:?} {maps:?}")
}

/// Runs `f` in a fresh world with both vCPUs running, and checks the world after it.
fn in_world(f: impl FnOnce(&World<'_>, &[VcpuToken; 2])) {
    with_world(Setup::default(), |world| {
        let tokens = [0, 1].map(|vcpu| world.el2.vcpu_run(world.vm, vcpu).expect("it runs").0);
        f(world, &tokens);
        quietly(|| {
            for token in tokens {
                world.el2.vcpu_stopped(token, Stop::plain(StopReason::SystemOff));
            }
            world.check();
        });
    });
}

/// The answers of two calls, and what they left behind. No answer: not made.
type Result = ([Option<String>; 2], String);

fn in_order(calls: [Call; 2], order: &[usize]) -> Result {
    let mut result: Result = Default::default();
    in_world(|world, tokens| {
        for &i in order {
            result.0[i] = Some(calls[i](world, &tokens[i]));
        }
        result.1 = state(world);
    });
    result
}

fn race_of(calls: [Call; 2], schedules: u64) -> Outcome {
    let allowed = [&[0, 1][..], &[1, 0], &[0], &[1], &[]].map(|order| in_order(calls, order));
    explore(Plan::new(9, schedules, 2), move || {
        in_world(|world, tokens| {
            let answers = Mutex::new([None, None]);
            loudly(|| {
                shuttle::thread::scope(|scope| {
                    for i in 0..2 {
                        let answers = &answers;
                        scope.spawn(move || {
                            let answer = calls[i](world, &tokens[i]);
                            answers.lock().unwrap()[i] = Some(answer);
                        });
                    }
                });
            });
            let answers = answers.into_inner().unwrap();
            let come_again =
                |i: usize| answers[i].as_ref().is_some_and(|a| a.contains("Retry") || a.contains("Rewind"));
            let now = quietly(|| state(world));
            let fits = |(all, left): &Result| {
                *left == now && (0..2).all(|i| all[i] == answers[i] || all[i].is_none() && come_again(i))
            };
            note(if (0..2).any(come_again) { "one came again" } else { "both were done" });
            if !allowed.iter().any(fits) {
                violation(format!("{answers:?} and {now}, which no order gives"));
            }
        });
    })
}

#[test]
fn any_two_calls_are_as_one_after_the_other() {
    let (mut again, mut both) = (0, 0);
    for (i, (first, a)) in CALLS.into_iter().enumerate() {
        for (second, b) in CALLS.into_iter().skip(i) {
            let outcome = race_of([a, b], SCHEDULES);
            assert!(outcome.found.is_none(), "{first} and {second}: {:?}", outcome.found);
            again += outcome.notes.get("one came again").copied().unwrap_or(0);
            both += outcome.notes.get("both were done").copied().unwrap_or(0);
        }
    }
    println!("{both} times both were done, {again} times one came again");
    assert!(again > 0 && both > again);
}

#[test]
fn a_claim_that_does_not_hold_is_no_order() {
    plant(Bug::LockDroppedEarly);
    let outcome = race_of([CALLS[0].1, CALLS[11].1], 20_000);
    plant(Bug::None);
    let found = outcome.found.expect("not found");
    println!("TENURE obs concurrent LockDroppedEarly found after {} schedules: {:?}", outcome.schedules, found.what);
}
