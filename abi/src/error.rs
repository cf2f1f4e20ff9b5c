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
            Interface::Gmem => -(self.gmem().0 as i64),
            Interface::GuestMemory => -(self.guest_memory().0 as i64),
            Interface::LaunchUpdate => -(Errno::EIO.0 as i64),
            Interface::TdxPopulate => -(self.tdx_populate().0 as i64),
        }
    }

    /// Guest memory files know one word for all that passes by itself: `EAGAIN`.
    const fn gmem(self) -> Errno {
        match self {
            Self::Busy | Self::Retry | Self::Saturated => Errno::EAGAIN,
            Self::NotMemory | Self::Denied | Self::NotFound => Errno::EFAULT,
            Self::TooBig => Errno::EINVAL,
            _ => self.errno(),
        }
    }

    /// What is not there for this access, in whatever way, is `EFAULT`; the pages of a wrong kind too.
    const fn guest_memory(self) -> Errno {
        match self {
            Self::Invalid | Self::Exists => Errno::EFAULT,
            _ => self.gmem(),
        }
    }

    /// The one place where a passing conflict is `EBUSY`, and where what the caller did twice is `EIO`.
    const fn tdx_populate(self) -> Errno {
        match self {
            Self::Busy => Errno::EBUSY,
            Self::Exists => Errno::EIO,
            _ => self.gmem(),
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
    /// Linux user space to guest memory files: the errno of a failed system call or KVM request.
    Gmem,
    /// A guest's access, or a request to prepare for one: the errno of `KVM_RUN` and `KVM_PRE_FAULT_MEMORY`.
    GuestMemory,
    /// `KVM_SEV_SNP_LAUNCH_UPDATE` after its arguments were found good: it hides every reason.
    LaunchUpdate,
    /// `KVM_TDX_INIT_MEM_REGION` after its arguments were found good.
    TdxPopulate,
}

impl Interface {
    /// Every interface, for exhaustive tests and tables.
    pub const ALL: [Self; 6] =
        [Self::Host, Self::Guest, Self::Gmem, Self::GuestMemory, Self::LaunchUpdate, Self::TdxPopulate];
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
    EACCES = 13, EFAULT = 14, EBUSY = 16, EEXIST = 17, ENODEV = 19, EINVAL = 22, EMFILE = 24, ENOTTY = 25, EFBIG = 27, ESPIPE = 29,
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
        // (error, errno for the host, code a guest sees, errno of files, of guest memory, of TDX populate): the whole table,
        // once more and by hand.
        let table = [
            (Error::Invalid, 22, -3, 22, 14, 22),
            (Error::NotMemory, 1, -3, 14, 14, 14),
            (Error::Denied, 1, -3, 14, 14, 14),
            (Error::NotFound, 2, -3, 14, 14, 14),
            (Error::TooBig, 7, -3, 22, 22, 22),
            (Error::Poisoned, 133, -3, 133, 133, 133),
            (Error::Busy, 16, -3, 11, 11, 16),
            (Error::Retry, 11, -3, 11, 11, 11),
            (Error::NoMemory, 12, -3, 12, 12, 12),
            (Error::Exists, 17, -3, 17, 14, 5),
            (Error::NotSupported, 95, -1, 95, 95, 95),
            (Error::Saturated, 16, -3, 11, 11, 11),
            (Error::Fault, 14, -3, 14, 14, 14),
            (Error::Quarantined, 133, -3, 133, 133, 133),
            (Error::Internal, 5, -3, 5, 5, 5),
        ];
        assert_eq!(table.map(|row| row.0), Error::ALL);
        for (error, errno, guest, gmem, guest_memory, tdx) in table {
            let all = [-errno, guest, -gmem, -guest_memory, -5, -tdx];
            assert_eq!(Interface::ALL.map(|interface| error.code(interface)), all, "{error:?}");
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
