//! Ordering bugs, planted one at a time, are found; without them the same scenarios find nothing.

use tenure_abi::Error;
use tenure_abi::pkvm::GuestCall;
use tenure_abi::run::StopReason;
use tenure_concurrent::world::{GFN, PAGE, gfn, pfns};
use tenure_concurrent::{Barriers, Bug, Op, Setup, World, plant, race};
use tenure_hyp::el2::Stop;
use tenure_machine::step::wait;
use tenure_machine::{Plan, Seat};

type Actor = fn(&World<'_>, u64);

const DONATE: Actor = |world, vcpu| Op::Donate.run(world, vcpu);
const UNSHARE: Actor = |world, vcpu| Op::Unshare.run(world, vcpu);
const FORCE: Actor = |world, vcpu| Op::ForcedReclaim.run(world, vcpu);
const TOUCH: Actor = |world, vcpu| Op::Touch.run(world, vcpu);
const GUEST: Actor = |world, vcpu| Op::GuestCall.run(world, vcpu);

/// The host reads page 2, over and over, as long as it can.
const HAMMER: Actor = |world, _| {
    let seat = Seat::Cpu(tenure_machine::step::actor(), world.host);
    world.host_access(2, None);
    for _ in 0..16 {
        world.host_side(seat, 2, None);
    }
};

/// Page 1 leaves the guest and comes back at another address.
const MOVE: Actor = |world, vcpu| {
    if let Ok((token, _)) = world.el2.vcpu_run(world.vm, vcpu) {
        world.el2.guest_call(&token, GuestCall::MemRelinquish(gfn(GFN + 1)).to_regs());
        world.el2.vcpu_stopped(token, Stop::plain(StopReason::SystemOff));
    }
    for _ in 0..20 {
        match world.el2.donate_guest(world.vm, pfns(PAGE + 1, 1), gfn(GFN + 6)) {
            Err(refused) if refused.error == Error::Retry => wait(),
            _ => return,
        }
    }
};
/// Page 1 is taken by force.
const FORCE_ONE: Actor = |world, _| {
    let _ = world.el2.force_reclaim(pfns(PAGE + 1, 1));
};

/// Schedules without a bug.
const SOUND: u64 = if cfg!(debug_assertions) { 100 } else { 2_000 };
/// At most so many with it.
const PATIENCE: u64 = 20_000;

/// Explores `actors` without and with the bug; the second must find something that one of `says` names.
fn finds(bug: Bug, barriers: Barriers, actors: &'static [Actor], says: &[&str]) {
    let plan = Plan::new(7, PATIENCE, actors.len());
    plant(Bug::None);
    let sound = race(Plan { schedules: SOUND, ..plan }, Setup::default(), actors);
    assert!(sound.found.is_none(), "without a bug: {:?}", sound.found);
    plant(bug);
    let outcome = race(plan, Setup { barriers, ..Setup::default() }, actors);
    plant(Bug::None);
    let found = outcome.found.unwrap_or_else(|| panic!("{bug:?} {barriers:?}: not found in {PATIENCE} schedules"));
    println!(
        "TENURE obs concurrent {bug:?}/{barriers:?} found after {} schedules: {}",
        outcome.schedules, found.what[0]
    );
    assert!(found.what.iter().any(|what| says.iter().any(|says| what.contains(says))), "{found:?}");
}

#[test]
fn a_region_lock_dropped_early_is_found() {
    // Either the host keeps the page, or its fault handler writes the old region word back.
    finds(Bug::LockDroppedEarly, Barriers::All, &[DONATE, TOUCH], &["I3", "I9"]);
}

#[test]
fn an_unshare_published_before_the_tlbi_is_found() {
    finds(Bug::PublishBeforeTlbi, Barriers::All, &[UNSHARE, TOUCH], &["I3"]);
}

#[test]
fn a_missing_dsb_before_the_tlbi_is_found() {
    finds(Bug::None, Barriers::NoneBefore, &[UNSHARE, HAMMER], &["I3"]);
}

#[test]
fn a_missing_dsb_between_the_two_tlbis_is_found() {
    finds(Bug::None, Barriers::NoneBetween, &[UNSHARE, HAMMER], &["I3"]);
}

#[test]
fn a_missing_dsb_at_the_end_is_found() {
    finds(Bug::None, Barriers::NoneAtTheEnd, &[UNSHARE, HAMMER], &["I3"]);
}

#[test]
fn a_host_entry_installed_without_the_lock_is_found() {
    finds(Bug::PteWithoutLock, Barriers::All, &[DONATE, TOUCH], &["I3"]);
}

#[test]
fn a_forced_reclaim_that_does_not_compare_the_gfn_again_is_found() {
    finds(Bug::GfnNotCompared, Barriers::All, &[FORCE_ONE, MOVE], &["I3"]);
}

#[test]
fn a_table_reused_before_the_tlbi_is_found() {
    finds(Bug::TableReusedEarly, Barriers::All, &[TOUCH, TOUCH], &["in place of"]);
}

#[test]
fn a_live_count_written_after_publication_is_found() {
    finds(Bug::CountAfterPublish, Barriers::All, &[DONATE, GUEST], &["I9"]);
}

#[test]
fn a_page_scrubbed_after_publication_is_found() {
    finds(Bug::ScrubAfterPublish, Barriers::All, &[FORCE, TOUCH], &["I5"]);
}
