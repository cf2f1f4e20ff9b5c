//! A word that software shares between CPUs.
//!
//! It has the interface of `core`'s atomic, of which it takes the place in code under test, and the layout of a plain word.

use crate::step::{Kind, primitive};
use crate::stores;
use core::sync::atomic::{AtomicU64 as Word, Ordering};

/// [`core::sync::atomic::AtomicU64`], each access to which is a primitive.
#[derive(Debug, Default)]
#[repr(transparent)]
pub struct AtomicU64(Word);

impl AtomicU64 {
    /// A word that holds `value`.
    pub const fn new(value: u64) -> Self {
        Self(Word::new(value))
    }

    /// Reads it.
    pub fn load(&self, ordering: Ordering) -> u64 {
        primitive(Kind::Load);
        self.0.load(ordering)
    }

    /// Writes it.
    pub fn store(&self, value: u64, ordering: Ordering) {
        primitive(Kind::Store);
        stores::made(self.address(), self.peek());
        self.0.store(value, ordering);
    }

    /// Writes `new` if it holds `current`.
    ///
    /// # Errors
    /// What it holds, if that is something else.
    pub fn compare_exchange(&self, current: u64, new: u64, taken: Ordering, not: Ordering) -> Result<u64, u64> {
        primitive(Kind::Exchange);
        self.0.compare_exchange(current, new, taken, not)
    }

    /// As [`AtomicU64::compare_exchange`]; here it never fails without a reason.
    ///
    /// # Errors
    /// As there.
    pub fn compare_exchange_weak(&self, current: u64, new: u64, taken: Ordering, not: Ordering) -> Result<u64, u64> {
        self.compare_exchange(current, new, taken, not)
    }

    /// Adds to it and answers what it held.
    pub fn fetch_add(&self, value: u64, ordering: Ordering) -> u64 {
        primitive(Kind::Exchange);
        self.0.fetch_add(value, ordering)
    }

    /// Subtracts from it and answers what it held.
    pub fn fetch_sub(&self, value: u64, ordering: Ordering) -> u64 {
        primitive(Kind::Exchange);
        self.0.fetch_sub(value, ordering)
    }

    /// Clears all bits but those of `mask` and answers what it held.
    pub fn fetch_and(&self, mask: u64, ordering: Ordering) -> u64 {
        primitive(Kind::Exchange);
        self.0.fetch_and(mask, ordering)
    }

    /// Sets the bits of `mask` and answers what it held.
    pub fn fetch_or(&self, mask: u64, ordering: Ordering) -> u64 {
        primitive(Kind::Exchange);
        self.0.fetch_or(mask, ordering)
    }

    /// Where it lies, for accesses that nobody else can meet: those are no primitives.
    pub const fn as_ptr(&self) -> *mut u64 {
        self.0.as_ptr()
    }

    fn address(&self) -> usize {
        core::ptr::from_ref(self).addr()
    }

    /// What a table walker reads: an earlier value, as long as the store that ended it was not waited for.
    pub(crate) fn walked(&self) -> u64 {
        stores::seen(self.address(), self.peek())
    }

    /// What it holds, not as a primitive: for the machine itself.
    pub(crate) fn peek(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Writes it, not as a primitive.
    pub(crate) fn poke(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }
}
