//! What the tracker is measured against: the least that any tracker of that kind has to do.

use crate::machine::GIB_PAGES;
use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};

/// Two bits a page, 32 pages a word.
pub(crate) struct TwoBits(Vec<u64>);

impl TwoBits {
    pub(crate) fn new() -> Self {
        Self(vec![0; GIB_PAGES as usize / 32])
    }

    /// Checks that all pages are in one state and puts them into the other; without a branch in the check.
    pub(crate) fn toggle(mut self) -> impl FnMut() {
        let mut state = 0;
        move || {
            assert!(check_and_fill(black_box(&mut self.0), state, !state));
            state = !state;
        }
    }
}

/// Eight bytes a page.
pub(crate) struct EightBytes(Vec<u64>);

impl EightBytes {
    pub(crate) fn new() -> Self {
        Self(vec![0; GIB_PAGES as usize])
    }

    /// As [`TwoBits::toggle`].
    pub(crate) fn toggle(mut self) -> impl FnMut() {
        let mut state = 0;
        move || {
            assert!(check_and_fill(black_box(&mut self.0), state, state ^ 0x10));
            state ^= 0x10;
        }
    }
}

#[inline(never)]
fn check_and_fill(words: &mut [u64], expected: u64, new: u64) -> bool {
    if words.iter().fold(0, |differences, word| differences | (word ^ expected)) != 0 {
        return false;
    }
    words.fill(new);
    true
}

/// A bare compare-and-swap, back and forth.
pub(crate) fn swap() -> impl FnMut() {
    let word = AtomicU64::new(0);
    let mut state = 0;
    move || {
        let next = state ^ 0x10;
        let swapped = black_box(&word).compare_exchange(state, next, Ordering::Acquire, Ordering::Relaxed);
        state = if swapped.is_ok() { next } else { state };
    }
}
