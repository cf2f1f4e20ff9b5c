//! What can be asked of a file, and what it can answer.

use tenure_abi::{ContentMode, Error, PageSize, Visibility};
use tenure_host::gmem::Access;

/// First bytes of a guest's pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum From {
    Zero,
    InPlace,
    /// Staged frames, which hold [`STAGED`] and up.
    Frames,
}

/// What the first staged frame holds.
pub(crate) const STAGED: u64 = 50;

impl From {
    /// What page `n` gets; `None`: what it has.
    pub(crate) fn bytes(self, n: u64) -> Option<u64> {
        match self {
            Self::Zero => Some(0),
            Self::InPlace => None,
            Self::Frames => Some(STAGED + n),
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) enum Call {
    Convert {
        first: u64,
        count: u64,
        to: Visibility,
        mode: ContentMode,
    },
    HostTouch {
        page: u64,
        bytes: u64,
    },
    GuestTouch {
        guest: usize,
        gfn: u64,
        access: Access,
        largest: PageSize,
        bytes: u64,
    },
    Populate {
        guest: usize,
        gfn: u64,
        count: u64,
        source: From,
    },
    Punch {
        first: u64,
        count: u64,
    },
    Allocate {
        first: u64,
        count: u64,
    },
    Bind {
        guest: usize,
        gfn: u64,
        first: u64,
        count: u64,
    },
    Unbind {
        guest: usize,
        gfn: u64,
    },
    Prefault {
        guest: usize,
        gfn: u64,
        count: u64,
        access: Access,
    },
    Finish {
        guest: usize,
    },
    MemoryError {
        page: u64,
    },
    /// A device holds on to the page, if the host may touch it.
    Pin {
        page: u64,
    },
    Unpin {
        page: u64,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Ok,
    /// An error without a place.
    Error(Error),
    /// An error at a page.
    At(u64, Error),
    /// An error after so many pages.
    Stopped(u64, Error),
    /// Building ended; these guest frames were never populated.
    Forgotten(Vec<u64>),
}

impl Outcome {
    /// The error, if it is one.
    pub(crate) fn error(&self) -> Option<Error> {
        match self {
            Self::Ok | Self::Forgotten(_) => None,
            Self::Error(error) | Self::At(_, error) | Self::Stopped(_, error) => Some(*error),
        }
    }
}
