//! One error for every room, and the code it has on each wire.
//!
//! Inside Tenure everything fails with [`Error`]. What an outside caller sees is decided in one place:
//! [`Error::code`], a total function of the error and the [`Interface`] it leaves through.

use crate::frame::{Gfn, Pfn};
use crate::smccc;

/// Why a call was refused. A refused call has changed nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Error {
    /// Malformed: empty, unaligned, wrapping, straddling, reserved bits set, wrong phase, bad handle.
    Invalid,
    /// The range holds a page that is not memory: a device, a hole, beyond the end.
    NotMemory,
    /// A page is not in the state, or not of the owner, that the operation needs.
    Denied,
    /// Nothing is mapped there.
    NotFound,
    /// The mapping found is larger than the operation.
    TooBig,
    /// The guest address was burnt by a forced reclaim.
    Poisoned,
    /// Pinned, mapped or otherwise held: it works once the holder lets go.
    Busy,
    /// A passing conflict: the same call may work when repeated.
    Retry,
    /// No memory for tables or page entries: add some and repeat.
    NoMemory,
    /// It is there already.
    Exists,
    /// This call, size or mode is not offered.
    NotSupported,
    /// A counter is at its maximum.
    Saturated,
    /// The address does not resolve to memory that can be touched.
    Fault,
    /// The page is withdrawn from use.
    Quarantined,
    /// Tenure found a contradiction in its own records; the pages concerned are in quarantine.
    Internal,
}

impl Error {
    /// Every error, for exhaustive tests and tables.
    pub const ALL: [Self; 15] = [
        Self::Invalid,
        Self::NotMemory,
        Self::Denied,
        Self::NotFound,
        Self::TooBig,
        Self::Poisoned,
        Self::Busy,
        Self::Retry,
        Self::NoMemory,
        Self::Exists,
        Self::NotSupported,
        Self::Saturated,
        Self::Fault,
        Self::Quarantined,
        Self::Internal,
    ];

    /// The errno of this error, as Linux's pKVM uses them (`arch/arm64/kvm/hyp/nvhe/mem_protect.c`).
    pub const fn errno(self) -> Errno {
        match self {
            Self::Invalid => Errno::EINVAL,
            Self::NotMemory | Self::Denied => Errno::EPERM,
            Self::NotFound => Errno::ENOENT,
            Self::TooBig => Errno::E2BIG,
            Self::Poisoned | Self::Quarantined => Errno::EHWPOISON,
            Self::Busy | Self::Saturated => Errno::EBUSY,
            Self::Retry => Errno::EAGAIN,
            Self::NoMemory => Errno::ENOMEM,
            Self::Exists => Errno::EEXIST,
            Self::NotSupported => Errno::EOPNOTSUPP,
            Self::Fault => Errno::EFAULT,
            Self::Internal => Errno::EIO,
        }
    }

    /// The value this error has on `interface`: always negative.
    pub const fn code(self, interface: Interface) -> i64 {
        match interface {
            Interface::Host => -(self.errno().0 as i64),
            Interface::Guest => match self {
                Self::NotSupported => smccc::NOT_SUPPORTED,
                _ => smccc::INVALID_PARAMETER,
            },
        }
    }
}

/// A way out of Tenure on which errors become numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interface {
    /// Host to EL2 ([`crate::service`]): a negative errno in x1.
    Host,
    /// Guest to EL2 ([`crate::pkvm`]): an SMCCC code in x0, which tells a guest no more than it must know.
    Guest,
}

impl Interface {
    /// Every interface, for exhaustive tests and tables.
    pub const ALL: [Self; 2] = [Self::Host, Self::Guest];
}

/// A positive Linux error number (`include/uapi/asm-generic/errno-base.h` and `errno.h`).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Errno(pub u16);

macro_rules! errnos {
    ($($name:ident = $number:literal),* $(,)?) => {
        impl Errno {
            $(#[doc = concat!("`", stringify!($name), "`, ", stringify!($number), ".")]
            pub const $name: Self = Self($number);)*

            /// The symbolic name, or `None` for a number Tenure does not use.
            pub const fn name(self) -> Option<&'static str> {
                match self.0 {
                    $($number => Some(stringify!($name)),)*
                    _ => None,
                }
            }
        }
    };
}

errnos! {
    EPERM = 1, ENOENT = 2, EINTR = 4, EIO = 5, ENXIO = 6, E2BIG = 7, EBADF = 9, EAGAIN = 11, ENOMEM = 12,
    EACCES = 13, EFAULT = 14, EBUSY = 16, EEXIST = 17, ENODEV = 19, EINVAL = 22, ENOTTY = 25, ESPIPE = 29,
    EOPNOTSUPP = 95, EHWPOISON = 133,
}

impl core::fmt::Debug for Errno {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "errno {}", self.0),
        }
    }
}

/// Where something went wrong: a number and the space it counts in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// A host-physical frame.
    Pfn(Pfn),
    /// A guest-physical frame.
    Gfn(Gfn),
    /// A byte offset in a memory file.
    FileOffset(u64),
    /// The call as a whole: no page is to blame.
    Call,
}

/// An error and where it happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Located<E> {
    /// What went wrong.
    pub error: E,
    /// The first page it went wrong for.
    pub at: Place,
}

impl<E> Located<E> {
    /// `error` at host frame `pfn`.
    pub const fn pfn(error: E, pfn: Pfn) -> Self {
        Self { error, at: Place::Pfn(pfn) }
    }

    /// `error` at guest frame `gfn`.
    pub const fn gfn(error: E, gfn: Gfn) -> Self {
        Self { error, at: Place::Gfn(gfn) }
    }

    /// `error` for the call as a whole.
    pub const fn call(error: E) -> Self {
        Self { error, at: Place::Call }
    }
}

impl From<Error> for Located<Error> {
    fn from(error: Error) -> Self {
        Self::call(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_has_a_code_on_every_interface() {
        // (error, errno, code a guest sees): the whole table, once more and by hand.
        let table = [
            (Error::Invalid, 22, -3),
            (Error::NotMemory, 1, -3),
            (Error::Denied, 1, -3),
            (Error::NotFound, 2, -3),
            (Error::TooBig, 7, -3),
            (Error::Poisoned, 133, -3),
            (Error::Busy, 16, -3),
            (Error::Retry, 11, -3),
            (Error::NoMemory, 12, -3),
            (Error::Exists, 17, -3),
            (Error::NotSupported, 95, -1),
            (Error::Saturated, 16, -3),
            (Error::Fault, 14, -3),
            (Error::Quarantined, 133, -3),
            (Error::Internal, 5, -3),
        ];
        assert_eq!(table.map(|row| row.0), Error::ALL);
        for (error, errno, guest) in table {
            assert_eq!(error.code(Interface::Host), -errno, "{error:?}");
            assert_eq!(error.code(Interface::Guest), guest, "{error:?}");
            assert!(error.errno().name().is_some(), "{error:?}");
        }
    }

    #[test]
    fn no_error_looks_like_success() {
        for error in Error::ALL {
            for interface in Interface::ALL {
                assert!(error.code(interface) < 0, "{error:?} on {interface:?}");
            }
        }
    }
}
