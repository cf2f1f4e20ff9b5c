//! What handles stand for.

use std::collections::BTreeMap;

/// Values by handle; a handle is never given out twice.
pub(super) struct Table<T> {
    next: u32,
    values: BTreeMap<u32, T>,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self::from(0)
    }
}

impl<T> Table<T> {
    /// An empty table whose first handle is `first`.
    pub(super) const fn from(first: u32) -> Self {
        Self { next: first, values: BTreeMap::new() }
    }

    /// Adds a value.
    pub(super) fn add(&mut self, value: T) -> u32 {
        let handle = self.next;
        self.next += 1;
        self.values.insert(handle, value);
        handle
    }

    /// What an open handle stands for; any other is a mistake in the test.
    pub(super) fn get(&mut self, handle: u32) -> &mut T {
        self.values.get_mut(&handle).expect("a handle that is open")
    }

    /// Closes a handle.
    pub(super) fn remove(&mut self, handle: u32) -> T {
        self.values.remove(&handle).expect("a handle that is open")
    }

    /// Closes all.
    pub(super) fn clear(&mut self) {
        self.values.clear();
    }
}
