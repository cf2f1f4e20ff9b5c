//! Why memory was not touched.

use core::fmt;
use std::io;
use vm_memory::{Address, GuestAddress, GuestMemoryError};

/// Why memory that a region has was not touched. `vm-memory` hands it on as an input/output error;
/// [`Untouchable::of`] finds it again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Untouchable {
    /// The first byte of the range that is private.
    Private(GuestAddress),
    /// Memory at or near the range, which begins here, is being converted, for longer than the region waits.
    Converting(GuestAddress),
}

impl Untouchable {
    /// What stands behind an error; `None` if it is about something else.
    pub fn of(error: &GuestMemoryError) -> Option<Self> {
        let GuestMemoryError::IOError(error) = error else { return None };
        error.get_ref()?.downcast_ref().copied()
    }
}

impl fmt::Display for Untouchable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Private(at) => write!(f, "guest memory at {:#x} is private", at.raw_value()),
            Self::Converting(at) => write!(f, "guest memory at {:#x} is being converted", at.raw_value()),
        }
    }
}

impl core::error::Error for Untouchable {}

impl From<Untouchable> for GuestMemoryError {
    fn from(why: Untouchable) -> Self {
        let kind = match why {
            Untouchable::Private(_) => io::ErrorKind::PermissionDenied,
            Untouchable::Converting(_) => io::ErrorKind::WouldBlock,
        };
        Self::IOError(io::Error::new(kind, why))
    }
}
