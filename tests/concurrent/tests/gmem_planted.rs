//! Ordering bugs of the provider, planted one at a time, are found; without them the same scenarios find nothing.

use tenure_concurrent::gmem::{Actor, Op, PAGES, race};
use tenure_concurrent::{Bug, plant};
use tenure_machine::Plan;

const CONVERT: Actor = |world| Op::Convert.run(world);
const HOST: Actor = |world| Op::HostFault.run(world);
const GUESTS: Actor = |world| Op::GuestFault.run(world);
const POPULATE: Actor = |world| Op::Populate.run(world);
const PUNCH: Actor = |world| Op::Punch.run(world);
const PIN: Actor = |world| {
    for page in 0..PAGES {
        world.touch(page);
        world.pin(page);
    }
};
/// The second guest's pages are bound elsewhere.
const MOVE: Actor = |world| world.rebind_building();

/// Schedules without a bug.
const SOUND: u64 = if cfg!(debug_assertions) { 200 } else { 4_000 };
/// At most so many with it.
const PATIENCE: u64 = 20_000;

/// Explores `actors` without and with the bug; the second must find something that one of `says` names.
fn finds(bug: Bug, actors: &'static [Actor], says: &[&str]) {
    let plan = Plan::new(7, PATIENCE, actors.len());
    plant(Bug::None);
    let sound = race(Plan { schedules: SOUND, ..plan }, actors);
    assert!(sound.found.is_none(), "without a bug: {:?}", sound.found);
    plant(bug);
    let outcome = race(plan, actors);
    plant(Bug::None);
    let found = outcome.found.unwrap_or_else(|| panic!("{bug:?}: not found in {PATIENCE} schedules"));
    println!("TENURE obs concurrent {bug:?} found after {} schedules: {}", outcome.schedules, found.what[0]);
    assert!(found.what.iter().any(|what| says.iter().any(|says| what.contains(says))), "{found:?}");
}

#[test]
fn a_host_mapping_installed_without_the_lock_is_found() {
    finds(Bug::InstalledWithoutLock, &[CONVERT, HOST], &["the host has", "the host reads", "still sees"]);
}

#[test]
fn a_visibility_that_is_not_compared_again_is_found() {
    finds(Bug::VisibilityNotComparedAgain, &[CONVERT, GUESTS], &["still sees", "the host reads", "hardware says"]);
}

#[test]
fn host_mappings_removed_before_the_claim_are_found() {
    finds(Bug::ZapBeforeClaim, &[CONVERT, HOST], &["the host has", "still sees"]);
}

#[test]
fn references_looked_for_before_the_mappings_are_gone_are_found() {
    finds(Bug::ReferencesBeforeZap, &[CONVERT, PIN], &["a device reads"]);
}

#[test]
fn a_guest_translation_that_is_not_flushed_is_found() {
    finds(Bug::GuestsNotFlushed, &[CONVERT, GUESTS], &["still sees", "the guest reads"]);
}

#[test]
fn a_claim_that_ends_before_the_transfer_is_found() {
    finds(
        Bug::ClaimEndedEarly,
        &[CONVERT, GUESTS, HOST],
        &["still sees", "transferred", "detached", "the guest", "the host"],
    );
}

#[test]
fn frames_freed_before_the_mappings_are_gone_are_found() {
    finds(Bug::FreedBeforeZap, &[PUNCH, HOST], &["the host reads"]);
}

#[test]
fn a_binding_that_is_not_compared_again_is_found() {
    finds(Bug::BindingNotComparedAgain, &[POPULATE, MOVE], &["hardware says", "detached", "bound elsewhere"]);
}
