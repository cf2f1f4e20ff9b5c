//! The locks: one bit a region, eight regions a word.
//!
//! The bits of the eight regions whose words share a cache line lie in one lock word, so a claim over gigabytes takes and
//! gives back eight locks with one access, and single regions contend no more than their words would. Lock words lie 64 bytes of regions
//! apart: those of regions 128 MiB apart share no line.
//!
//! Taking bits is an acquire read-modify-write, giving them back a release one; the two pair up. What a lock guards,
//! region words and blocks, is written before the release. The one writer without a lock is a claim that has parked: it stores
//! region words with release, which pairs with the acquire load of a word right after its lock was taken.

use crate::sync::{AtomicU64, spin_loop};
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use tenure_abi::Error;

/// Regions with their lock bits in one word.
pub(crate) const LOCK_REGIONS: u64 = if cfg!(loom) { 2 } else { 8 };

/// How often a lock is tried before the caller is told to come back.
///
/// Holders do entry, page-table and TLB work only, so a lock that stays taken this long is in heavy use.
///
/// A loom model tries twice: giving up is then among the outcomes it explores.
const LOCK_TRIES: u32 = if cfg!(loom) { 2 } else { 4096 };

/// The bits of regions `first..=last` of a group.
#[inline]
pub(crate) const fn bits(first: u64, last: u64) -> u64 {
    (2 << last) - (1 << first)
}

/// Takes all of `bits`, or none.
///
/// # Errors
/// [`Error::Retry`] if one of them stays taken.
#[inline]
pub(crate) fn take(lock: &AtomicU64, bits: u64) -> Result<(), Error> {
    let held = lock.load(Relaxed);
    if held & bits == 0 && lock.compare_exchange(held, held | bits, Acquire, Relaxed).is_ok() {
        return Ok(());
    }
    take_contended(lock, bits)
}

#[cold]
#[inline(never)]
fn take_contended(lock: &AtomicU64, bits: u64) -> Result<(), Error> {
    for _ in 0..LOCK_TRIES {
        let held = lock.load(Relaxed);
        if held & bits == 0 && lock.compare_exchange_weak(held, held | bits, Acquire, Relaxed).is_ok() {
            return Ok(());
        }
        spin_loop();
    }
    Err(Error::Retry)
}

/// Gives `held` back, which the caller holds.
#[inline]
pub(crate) fn give_back(lock: &AtomicU64, held: u64) {
    lock.fetch_and(!held, Release);
}

/// As [`give_back`], for a caller who may hold all bits of the word.
#[inline]
pub(crate) fn give_many_back(lock: &AtomicU64, held: u64) {
    if held == bits(0, LOCK_REGIONS - 1) {
        // Nobody else has a bit here, and nobody can take one.
        lock.store(0, Release);
    } else {
        give_back(lock, held);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn bits_are_those_of_the_regions_named() {
        assert_eq!((bits(0, 0), bits(3, 3), bits(2, 4), bits(0, 7)), (1, 8, 0b1_1100, 0xff));
    }

    #[test]
    fn all_bits_are_taken_or_none() {
        let lock = AtomicU64::new(0);
        take(&lock, 0b0110).unwrap();
        assert_eq!(take(&lock, 0b1100), Err(Error::Retry));
        assert_eq!(lock.load(Relaxed), 0b0110);
        take(&lock, 0b1001).unwrap();
        give_back(&lock, 0b0110);
        assert_eq!(lock.load(Relaxed), 0b1001);
        give_back(&lock, 0b1001);
        take(&lock, 0xff).unwrap();
        give_many_back(&lock, 0xff);
        assert_eq!(lock.load(Relaxed), 0);
    }

    #[test]
    fn a_part_of_the_bits_goes_back_alone() {
        let lock = AtomicU64::new(0xff);
        give_many_back(&lock, 0b0110);
        assert_eq!(lock.load(Relaxed), 0b1111_1001);
    }

    #[test]
    fn the_slow_path_takes_what_is_free_and_nothing_else() {
        for (held, bits) in [(0, 1), (0b100, 0b011), (0xf0, 0x0f)] {
            let lock = AtomicU64::new(held);
            assert_eq!((take_contended(&lock, bits), lock.load(Relaxed)), (Ok(()), held | bits));
        }
        for (held, bits) in [(1, 1), (0b100, 0b110), (0xff, 0x0f), (0xf0, 0xff)] {
            let lock = AtomicU64::new(held);
            assert_eq!((take_contended(&lock, bits), lock.load(Relaxed)), (Err(Error::Retry), held));
        }
    }
}
