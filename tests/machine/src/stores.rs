//! Stores that walkers do not see yet.
//!
//! A CPU's store is seen by all software at once, but a table walker may still read what stood there before, until the CPU that
//! stored has completed a DSB. Walkers see each CPU's stores in their order, so who sees a link to a table sees what was written
//! to the table before it. A word that two CPUs store to is coherent: they are ordered by a lock, so the second has seen the first's
//! store, and what one other has seen is seen by all. How many of them a walk sees is drawn; what one walk saw, all later ones see.

use crate::step::{is_loud, with};

/// One store: where, and what stood there before.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Store {
    word: usize,
    before: u64,
}

/// More than this many are never held back.
const HELD: usize = 64;

/// The running actor stored to the word at address `word`, which held `before`.
pub(crate) fn made(word: usize, before: u64) {
    if is_loud() {
        with(|state| {
            let actor = state.actor;
            for (by, stores) in state.stores.iter_mut().enumerate() {
                if by == actor {
                    stores.push(Store { word, before });
                    if stores.len() > 2 * HELD {
                        stores.drain(..HELD);
                    }
                } else if let Some(last) = stores.iter().rposition(|store| store.word == word) {
                    // What another stored there before was seen by this CPU, and so is by all.
                    stores.drain(..=last);
                }
            }
        });
    }
}

/// A walk begins: some more stores are seen from now on.
pub(crate) fn advance() {
    if is_loud() {
        with(|state| {
            for stores in &mut state.stores {
                let seen = state.dice.below(stores.len() as u64 + 1) as usize;
                stores.drain(..seen);
            }
        });
    }
}

/// What a walker reads from the word at address `word`, which holds `now`.
pub(crate) fn seen(word: usize, now: u64) -> u64 {
    if !is_loud() {
        return now;
    }
    with(|state| state.stores.iter().flatten().find(|store| store.word == word).map_or(now, |store| store.before))
}

/// A DSB of `actor` is complete: all its stores are seen.
pub(crate) fn complete(actor: usize) {
    with(|state| {
        if let Some(stores) = state.stores.get_mut(actor) {
            stores.clear();
        }
    });
}
