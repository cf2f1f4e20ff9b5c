//! Claims over many regions, whose locks lie eight to a word, beside claims of single pages among them.

use tenure_abi::{Error, Located};
use tenure_concurrent::world::{GFN, WIDE, gfn, pfns};
use tenure_concurrent::{Bug, Setup, World, plant, race};
use tenure_machine::step::{note, wait};
use tenure_machine::{Outcome, Plan};

type Actor = fn(&World<'_>, u64);

const SCHEDULES: u64 = if cfg!(debug_assertions) { 20 } else { 500 };

fn retried<T>(what: &'static str, mut call: impl FnMut() -> Result<T, Located<Error>>) -> bool {
    for _ in 0..20 {
        match call() {
            Ok(_) => {
                note(what);
                return true;
            }
            Err(Located { error: Error::Retry, .. }) => wait(),
            Err(_) => return false,
        }
    }
    false
}

/// Shares `pages` from `first` on with EL2, and takes that back.
fn to_and_fro(world: &World<'_>, what: &'static str, first: u64, pages: u64) {
    for _ in 0..2 {
        if retried(what, || world.el2.share_hyp(pfns(first, pages))) {
            while !retried("taken back", || world.el2.unshare_hyp(pfns(first, pages))) {
                wait();
            }
        }
    }
}

/// All eight regions of a lock word: one access takes their locks.
const EIGHT: Actor = |world, _| to_and_fro(world, "eight regions shared", WIDE, 8 * 512);
/// Parts of two lock words.
const ACROSS: Actor = |world, _| to_and_fro(world, "regions across lock words shared", WIDE - 512 - 7, 3 * 512);
/// One page among them.
const ONE: Actor = |world, _| to_and_fro(world, "a page shared", WIDE + 3 * 512 + 5, 1);
/// Another one goes to the guest.
const GIVE: Actor = |world, _| {
    retried("a page donated", || world.el2.donate_guest(world.vm, pfns(WIDE + 9, 1), gfn(GFN + 7)));
};
/// The host reads them.
const TOUCH: Actor = |world, _| {
    for frame in [WIDE - 512, WIDE + 9, WIDE + 3 * 512 + 5] {
        world.host_access(frame - tenure_concurrent::world::PAGE, None);
    }
};

fn explore(schedules: u64, actors: &'static [Actor]) -> Outcome {
    race(Plan::new(13, schedules, actors.len()), Setup { wide: true, ..Setup::default() }, actors)
}

#[test]
fn claims_over_many_regions_and_of_single_pages_keep_the_invariants() {
    let outcome = explore(SCHEDULES, &[EIGHT, ACROSS, ONE, GIVE, TOUCH]);
    assert!(outcome.found.is_none(), "{:?}", outcome.found);
    println!("{:?}", outcome.notes);
    for what in ["eight regions shared", "regions across lock words shared", "a page shared", "a page donated"] {
        assert!(outcome.notes.contains_key(what), "never: {what}, {:?}", outcome.notes);
    }
}

#[test]
fn a_lock_word_cleared_by_the_holder_of_one_bit_is_found() {
    plant(Bug::LockWordCleared);
    let outcome = explore(20_000, &[ONE, GIVE, TOUCH]);
    plant(Bug::None);
    let found = outcome.found.expect("not found");
    println!("TENURE obs concurrent LockWordCleared found after {} schedules: {}", outcome.schedules, found.what[0]);
}
