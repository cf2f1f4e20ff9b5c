//! A 2 MiB leaf of a guest that is split while others use it.

use tenure_abi::Error;
use tenure_abi::pkvm::GuestCall;
use tenure_abi::run::StopReason;
use tenure_concurrent::world::{BLOCK, BLOCK_GFN, PAGE, gfns, pfns};
use tenure_concurrent::{Bug, Setup, World, plant, race};
use tenure_hyp::el2::{GuestOutcome, Stop, VcpuToken};
use tenure_machine::step::{draw, note, wait};
use tenure_machine::{Outcome, Plan};

type Actor = fn(&World<'_>, u64);

const SCHEDULES: u64 = if cfg!(debug_assertions) { 20 } else { 400 };
/// The page that is taken by force, and those that are shared around it.
const TAKEN: u64 = 7;

fn on_vcpu(world: &World<'_>, vcpu: u64, f: impl FnOnce(&VcpuToken)) {
    for _ in 0..20 {
        match world.el2.vcpu_run(world.vm, vcpu) {
            Ok((token, _)) => {
                f(&token);
                world.el2.vcpu_stopped(token, Stop::plain(StopReason::SystemOff));
                return;
            }
            Err(_) => wait(),
        }
    }
}

/// The guest reads pages of the block on this CPU; where it faults it looks whether that is over, as an image does.
const READ: Actor = |world, vcpu| {
    on_vcpu(world, vcpu, |token| {
        for _ in 0..12 {
            let at = BLOCK_GFN + 4 + draw(6);
            if world.guest_access(at, None).is_some() {
                note("the guest read its block");
            } else if !world.el2.guest_fault_is_over(token, at << 12) {
                note("the guest's fault went to the host");
            }
        }
    });
};
/// It shares a range of the block and takes it back.
const SHARE: Actor = |world, vcpu| {
    on_vcpu(world, vcpu, |token| {
        let range = gfns(BLOCK_GFN + 5, 4);
        for call in [GuestCall::MemShare(range), GuestCall::MemUnshare(range)] {
            for _ in 0..20 {
                match world.el2.guest_call(token, call.to_regs()) {
                    GuestOutcome::Rewind => wait(),
                    GuestOutcome::Reply([0, pages, ..]) => {
                        note(if pages == 4 { "all converted" } else { "some converted" });
                        break;
                    }
                    _ => break,
                }
            }
        }
    });
};
const FORCE: Actor = |world, _| {
    for _ in 0..20 {
        match world.el2.force_reclaim(pfns(BLOCK + TAKEN, 1)) {
            Err(refused) if refused.error == Error::Retry => wait(),
            Ok(_) => return note("split by force"),
            Err(_) => return,
        }
    }
};
const TOUCH: Actor = |world, _| {
    for page in 4..10 {
        world.host_access(BLOCK - PAGE + page, None);
    }
};
const TEARDOWN: Actor = |world, _| {
    let _ = world.el2.vm_start_teardown(world.vm);
    let mut at = 4;
    for _ in 0..20 {
        match world.el2.reclaim_guest(world.vm, gfns(BLOCK_GFN + at, 8)) {
            Ok(pages) => {
                note("a part reclaimed");
                at += pages;
            }
            Err(_) => wait(),
        }
    }
};

fn explore(actors: &'static [Actor]) -> Outcome {
    race(Plan::new(5, SCHEDULES, actors.len()), Setup { block: true, ..Setup::default() }, actors)
}

#[test]
fn a_split_by_force_beside_guest_and_host_keeps_the_invariants() {
    let outcome = explore(&[READ, SHARE, FORCE, TOUCH]);
    assert!(outcome.found.is_none(), "{:?}", outcome.found);
    for what in ["the guest read its block", "all converted", "some converted", "split by force"] {
        assert!(outcome.notes.contains_key(what), "never: {what}, {:?}", outcome.notes);
    }
}

#[test]
fn a_reclaim_that_splits_beside_others_keeps_the_invariants() {
    let outcome = explore(&[FORCE, TEARDOWN, TOUCH]);
    assert!(outcome.found.is_none(), "{:?}", outcome.found);
    for what in ["a part reclaimed", "split by force"] {
        assert!(outcome.notes.contains_key(what), "never: {what}, {:?}", outcome.notes);
    }
}

#[test]
fn a_leaf_made_before_the_old_one_is_broken_is_found() {
    plant(Bug::MakeBeforeBreak);
    let outcome = explore(&[READ, FORCE]);
    plant(Bug::None);
    let found = outcome.found.expect("not found");
    println!("TENURE obs concurrent MakeBeforeBreak found after {} schedules: {}", outcome.schedules, found.what[0]);
    assert!(found.what.iter().any(|what| what.contains("break before make") || what.contains("I3")), "{found:?}");
}
