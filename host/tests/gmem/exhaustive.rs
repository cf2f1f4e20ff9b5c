//! Every call from every state that a small file can reach, breadth first, each compared with the oracle.
//!
//! A state is the oracle's pages, bindings and phases, and who has which page mapped. A file cannot be copied: a state is reached
//! again by the calls that led there.

use crate::calls::{Call, From};
use crate::hardware;
use crate::oracle::{Bound, Page, Setup};
use crate::plan::Step;
use crate::system::{System, with};
use std::collections::HashMap;
use tenure_abi::{ContentMode, PageSize, Visibility};
use tenure_host::gmem::{Access, Tracking};
use tenure_host::platform::{Capabilities, ContentRules, Rule, Sizes};

/// What a small file is made of.
pub(crate) const SMALL: Setup = Setup {
    pages: 1,
    initially: Visibility::Shared,
    tracking: Tracking::File,
    largest: PageSize::Size4K,
    hardware: true,
    capabilities: hardware::CAPABILITIES,
    running: [true, true],
    frames: 12,
    nodes: 6,
    scatter: false,
};

/// Nothing enforces, and every mode has work.
pub(crate) const SCRAMBLING: ContentRules = {
    let modes = [Rule::PerPage, Rule::PerPage, Rule::Free];
    ContentRules { table: [[modes; 2]; 2] }
};

/// What `Unenforced` says of itself.
pub(crate) const fn unenforced(content: ContentRules) -> Capabilities {
    Capabilities {
        sizes: Sizes::all(),
        populate_sizes: Sizes::SIZE_4K,
        resize: true,
        content,
        prefault_while_building: true,
        assigns_on_conversion: true,
    }
}

/// Where the guests see the file: the first at two places.
pub(crate) const PLACES: [(usize, u64); 3] = [(0, 0x300), (0, 0x501), (1, 0x700)];

type Key = (Vec<Page>, Vec<Bound>, [bool; 2], Vec<(bool, [bool; 2])>);

fn key(system: &System<'_>) -> Key {
    let oracle = &system.oracle;
    let seen = (0..oracle.setup.pages).map(|page| system.mapped(page)).collect();
    (oracle.pages.clone(), oracle.bound.clone(), oracle.running, seen)
}

/// Every call on a file of so few pages.
pub(crate) fn calls(setup: Setup) -> Vec<Call> {
    let pages = setup.pages;
    let mut calls = Vec::new();
    let ranges: Vec<(u64, u64)> =
        (0..pages).flat_map(|first| (1..=pages - first).map(move |count| (first, count))).collect();
    for &(first, count) in &ranges {
        for to in [Visibility::Private, Visibility::Shared] {
            for mode in [ContentMode::Unspecified, ContentMode::Zero, ContentMode::Preserve] {
                calls.push(Call::Convert { first, count, to, mode });
            }
        }
        calls.push(Call::Punch { first, count });
        calls.push(Call::Allocate { first, count });
    }
    for page in 0..pages {
        calls.extend([Call::HostTouch { page, bytes: 1 }, Call::MemoryError { page }]);
        calls.extend([Call::Pin { page }, Call::Unpin { page }]);
    }
    for (guest, gfn) in PLACES {
        calls.push(Call::Bind { guest, gfn, first: 0, count: pages });
        calls.push(Call::Unbind { guest, gfn });
        for page in 0..pages {
            for access in [Access::Untold, Access::Private, Access::Shared] {
                let (gfn, bytes) = (gfn + page, 2 + guest as u64);
                calls.push(Call::GuestTouch { guest, gfn, access, largest: PageSize::Size1G, bytes });
            }
        }
        calls.push(Call::Prefault { guest, gfn, count: pages + 1, access: Access::Untold });
    }
    if setup.running != [true; 2] {
        for &(first, count) in &ranges {
            for source in [From::Zero, From::InPlace, From::Frames] {
                calls.push(Call::Populate { guest: 0, gfn: PLACES[0].1 + first, count, source });
            }
        }
        calls.extend([0, 1].map(|guest| Call::Finish { guest }));
    }
    calls
}

/// Walks at most `most` states; how many there were, and calls compared.
pub(crate) fn walk(setup: Setup, calls: &[Call], most: usize) -> (usize, u64) {
    let mut paths: Vec<Vec<usize>> = vec![Vec::new()];
    let mut known: HashMap<Key, usize> = HashMap::new();
    with(setup, |system| known.insert(key(system), 0));
    let (mut at, mut compared) = (0, 0);
    while at < paths.len() {
        let path = paths[at].clone();
        let mut next = 0;
        while next < calls.len() {
            with(setup, |system| {
                for call in &path {
                    system.quick(&calls[*call]);
                }
                let before = key(system);
                while next < calls.len() {
                    system.check(&calls[next]);
                    compared += 1;
                    let after = key(system);
                    let moved = after != before;
                    let states = known.len();
                    if moved && states < most && !known.contains_key(&after) {
                        known.insert(after, states);
                        paths.push(path.iter().copied().chain([next]).collect());
                    }
                    next += 1;
                    if moved {
                        break;
                    }
                }
            });
        }
        at += 1;
    }
    (known.len(), compared)
}

/// More with `TENURE_LONG`.
pub(crate) fn long() -> bool {
    std::env::var_os("TENURE_LONG").is_some()
}

fn walk_and_tell(name: &str, setup: Setup, quick: usize, most: usize) {
    let most = if long() { most } else { quick };
    let (states, compared) = walk(setup, &calls(setup), most);
    let all = if states < most { "all" } else { "the first" };
    println!("{name}: {all} {states} states, {compared} calls compared");
}

#[test]
fn one_page_of_running_guests_does_what_the_oracle_says() {
    walk_and_tell("one page, enforced", SMALL, 2_000, 100_000);
    let setup = Setup { hardware: false, capabilities: unenforced(SCRAMBLING), ..SMALL };
    walk_and_tell("one page, scrambling", setup, 1_000, 100_000);
}

#[test]
fn one_page_of_a_guest_being_built_does_what_the_oracle_says() {
    let setup = Setup { running: [false, true], initially: Visibility::Private, ..SMALL };
    walk_and_tell("one page, building", setup, 1_500, 100_000);
    let early = Capabilities { prefault_while_building: true, ..hardware::CAPABILITIES };
    walk_and_tell("one page, building, early prefault", Setup { capabilities: early, ..setup }, 1_500, 100_000);
    let preserving = [Rule::Free, Rule::PerPage, Rule::Free];
    let setup =
        Setup { hardware: false, capabilities: unenforced(ContentRules { table: [[preserving; 2]; 2] }), ..setup };
    walk_and_tell("one page, building, nothing enforced", setup, 1_000, 100_000);
}

#[test]
fn two_pages_do_what_the_oracle_says() {
    walk_and_tell("two pages, enforced", Setup { pages: 2, scatter: true, ..SMALL }, 300, 60_000);
    let setup = Setup { pages: 2, running: [false, false], initially: Visibility::Private, ..SMALL };
    walk_and_tell("two pages, building", setup, 300, 60_000);
}

#[test]
fn three_pages_do_what_the_oracle_says() {
    let setup = Setup { pages: 3, running: [false, true], ..SMALL };
    walk_and_tell("three pages", setup, 100, 30_000);
}

#[test]
fn a_file_that_does_not_decide_does_what_the_oracle_says() {
    let setup = Setup { tracking: Tracking::Guest, initially: Visibility::Private, running: [false, true], ..SMALL };
    let told = |call: &Call| !matches!(call, Call::GuestTouch { access: Access::Shared, .. });
    let calls: Vec<Call> = calls(setup).into_iter().filter(told).collect();
    let (states, compared) = walk(setup, &calls, if long() { 100_000 } else { 1_000 });
    println!("tracking elsewhere: {states} states, {compared} calls compared");
}

#[test]
fn the_walk_sees_every_kind_of_step() {
    let setup = Setup { pages: 2, ..SMALL };
    with(setup, |system| {
        system.quick(&Call::Bind { guest: 0, gfn: 0x300, first: 0, count: 2 });
        system.quick(&Call::HostTouch { page: 0, bytes: 1 });
        let (first, count, mode) = (0, 2, ContentMode::Unspecified);
        system.quick(&Call::Convert { first, count, to: Visibility::Private, mode });
        system.quick(&Call::Convert { first, count, to: Visibility::Shared, mode });
        let steps = system.world.lock().plan.steps().to_vec();
        for step in [Step::Page, Step::Node, Step::Reserve, Step::Transfer, Step::Detach, Step::Fence] {
            assert!(steps.contains(&step), "{step:?}");
        }
    });
}
