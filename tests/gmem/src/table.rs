//! What handles stand for.

use std::collections::BTreeMap;

/// Values by handle; a handle is never given out twice.
pub(crate) struct Table<T> {
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
    pub(crate) const fn from(first: u32) -> Self {
        Self { next: first, values: BTreeMap::new() }
    }

    /// Adds a value.
    pub(crate) fn add(&mut self, value: T) -> u32 {
        let handle = self.next;
        self.next += 1;
        self.values.insert(handle, value);
        handle
    }

    /// What an open handle stands for; any other is a mistake in the test.
    pub(crate) fn get(&mut self, handle: u32) -> &mut T {
        self.values.get_mut(&handle).expect("a handle that is open")
    }

    /// Closes a handle.
    pub(crate) fn remove(&mut self, handle: u32) -> T {
        self.values.remove(&handle).expect("a handle that is open")
    }

    /// Closes all.
    pub(crate) fn clear(&mut self) {
        self.values.clear();
    }

    /// All open handles.
    pub(crate) fn all(&self) -> impl Iterator<Item = (u32, &T)> {
        self.values.iter().map(|(handle, value)| (*handle, value))
    }

    /// The same, to change what they stand for.
    pub(crate) fn all_mut(&mut self) -> impl Iterator<Item = (u32, &mut T)> {
        self.values.iter_mut().map(|(handle, value)| (*handle, value))
    }

    /// Closes all, and hands out what they stood for.
    pub(crate) fn drain(&mut self) -> impl Iterator<Item = T> + use<T> {
        std::mem::take(&mut self.values).into_values()
    }
}
