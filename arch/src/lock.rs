//! Locks: who supplies them, and the guard that ties data to one.
//!
//! A firmware that has its own lock (ticket, MCS, one with a lock-order checker) implements
//! [`RawLock`]; everybody else gets [`SpinLock`]. Trying is bounded where it matters: nobody at EL2
//! waits for a lock that another CPU may hold for an unknown time.
//!
//! Taking a lock is an acquire read-modify-write, giving it up a store-release. That pair is the only
//! ordering that data behind a lock needs: the holder reads and writes it with plain accesses.

use core::cell::UnsafeCell;
use core::marker::PhantomData;
use core::ops::{Deref, DerefMut};

/// A lock without data.
///
/// # Safety
/// Between a successful `try_lock` or `lock` and the matching `unlock` no other call may succeed, on
/// any CPU; a success synchronises with the `unlock` before it (acquire and release).
pub unsafe trait RawLock: Sync {
    /// A free lock.
    #[allow(clippy::declare_interior_mutable_const)] // An initial value: each use is a lock of its own.
    const NEW: Self;

    /// Tries at most `tries` times to take the lock; whether it is held now.
    fn try_lock(&self, tries: u32) -> bool;

    /// Takes the lock, waiting as long as it takes.
    fn lock(&self);

    /// Gives the lock up.
    ///
    /// # Safety
    /// The caller holds it.
    unsafe fn unlock(&self);
}

/// The default lock: one word, one compare-and-swap to take, one store-release to give up.
pub struct SpinLock(spin::mutex::SpinMutex<()>);

// SAFETY: `SpinMutex` is a lock; a guard that is forgotten keeps it held until `force_unlock`.
unsafe impl RawLock for SpinLock {
    #[allow(clippy::declare_interior_mutable_const)] // As in the trait.
    const NEW: Self = Self(spin::mutex::SpinMutex::new(()));

    #[inline]
    fn try_lock(&self, tries: u32) -> bool {
        tries != 0 && (self.take() || self.take_later(tries))
    }

    #[inline]
    fn lock(&self) {
        core::mem::forget(self.0.lock());
    }

    #[inline]
    unsafe fn unlock(&self) {
        // SAFETY: the caller holds the lock, and its guard was forgotten when it was taken.
        unsafe { self.0.force_unlock() }
    }
}

impl SpinLock {
    /// One attempt.
    #[inline]
    fn take(&self) -> bool {
        self.0.try_lock().map(core::mem::forget).is_some()
    }

    /// The attempts after a first one that failed: reads until the lock looks free, then tries.
    #[cold]
    #[inline(never)]
    fn take_later(&self, tries: u32) -> bool {
        (1..tries).any(|_| {
            core::hint::spin_loop();
            !self.0.is_locked() && self.take()
        })
    }
}

/// Data that one CPU at a time can touch.
pub struct Locked<T, L: RawLock = SpinLock> {
    lock: L,
    data: UnsafeCell<T>,
}

// SAFETY: the lock lets one thread at a time reach the data, so sharing the lock only sends the data.
unsafe impl<T: Send, L: RawLock> Sync for Locked<T, L> {}

impl<T, L: RawLock> Locked<T, L> {
    /// `data` behind a free lock.
    pub const fn new(data: T) -> Self {
        Self { lock: L::NEW, data: UnsafeCell::new(data) }
    }

    /// The data, once nobody else holds it.
    #[inline]
    pub fn lock(&self) -> Guard<'_, T, L> {
        self.lock.lock();
        Guard { of: self, this_cpu: PhantomData }
    }

    /// The data, unless somebody else still holds it after `tries` tries.
    #[inline]
    pub fn try_lock(&self, tries: u32) -> Option<Guard<'_, T, L>> {
        // Not `then_some`: a guard that is made and dropped unlocks.
        self.lock.try_lock(tries).then(|| Guard { of: self, this_cpu: PhantomData })
    }

    /// The data of a lock that nobody else can see.
    pub fn get_mut(&mut self) -> &mut T {
        self.data.get_mut()
    }
}

/// The right to touch what is behind a [`Locked`]; ends when dropped. It stays on its CPU.
pub struct Guard<'a, T, L: RawLock> {
    of: &'a Locked<T, L>,
    this_cpu: PhantomData<*const ()>,
}

// SAFETY: a shared guard only gives `&T`.
unsafe impl<T: Sync, L: RawLock> Sync for Guard<'_, T, L> {}

impl<T, L: RawLock> Deref for Guard<'_, T, L> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: this guard holds the lock, and `&self` keeps `deref_mut` away.
        unsafe { &*self.of.data.get() }
    }
}

impl<T, L: RawLock> DerefMut for Guard<'_, T, L> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: this guard holds the lock, and `&mut self` makes the reference the only one.
        unsafe { &mut *self.of.data.get() }
    }
}

impl<T, L: RawLock> Drop for Guard<'_, T, L> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: this guard holds the lock.
        unsafe { self.of.lock.unlock() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_held_lock_is_refused_after_the_given_tries() {
        let data: Locked<u32> = Locked::new(1);
        let held = data.lock();
        assert!(data.try_lock(3).is_none());
        drop(held);
        *data.try_lock(1).unwrap() += 1;
        assert_eq!(*data.lock(), 2);
    }

    #[test]
    fn a_refused_try_leaves_the_lock_with_its_holder() {
        let data: Locked<u32> = Locked::new(1);
        let held = data.lock();
        assert!(data.try_lock(1).is_none());
        assert!(data.try_lock(1).is_none());
        drop(held);
    }

    #[test]
    fn zero_tries_never_take_a_lock() {
        let data: Locked<u32> = Locked::new(1);
        assert!(data.try_lock(0).is_none());
        assert!(data.try_lock(1).is_some());
    }

    #[test]
    fn two_threads_never_lose_an_increment() {
        const TIMES: u32 = if cfg!(miri) { 100 } else { 10_000 };
        let data: Locked<u32> = Locked::new(0);
        std::thread::scope(|s| {
            for _ in 0..2 {
                s.spawn(|| (0..TIMES).for_each(|_| *data.lock() += 1));
            }
        });
        assert_eq!(*data.lock(), 2 * TIMES);
    }
}
