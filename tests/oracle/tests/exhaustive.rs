//! Every state of machines small enough for every build. `oracle-exhaustive` explores the larger ones.

use tenure_oracle::exhaustive::{Found, Space, explore};
use tenure_oracle::spec::VmKind::{NonProtected, Protected};

fn all_of(space: &Space) -> Found {
    match explore(space, |_| {}) {
        Ok(found) => found,
        Err(stray) => panic!("{}\nafter {:x?}", stray.divergence.what, stray.tail),
    }
}

#[test]
fn every_call_from_every_state_of_one_page() {
    let found = all_of(&Space::pages("one_page", 1, &[Protected, NonProtected]));
    println!("{found:?}");
    assert!(found.states > 100 && found.done > 1_000 && found.refused > found.done && found.capped > 0, "{found:?}");
}
