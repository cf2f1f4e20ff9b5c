//! The kernels whose behaviour differs, and the one table of what differs.

use crate::platform::{ContentRules, Rule};
use core::fmt;
use core::str::FromStr;
use tenure_abi::gmem::{Capability, CreateFlags};
use tenure_abi::{Errno, Error};

/// A kernel, or a revision of the in-place conversion series. Ordered by time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Personality {
    /// Linux 6.8: the first with guest memory files.
    V6_8,
    /// Linux 6.11: pre-fault, and SNP guests.
    V6_11,
    /// Linux 6.18: files can be mapped, and can start shared.
    V6_18,
    /// Linux 7.3, and 7.2 as a running 7.2.11 answers.
    V7_3,
    /// The series as of its RFC v5: conversion in place, with content modes.
    RfcV5,
    /// The series as of its v8: conversion in place, without content modes.
    V8,
}

/// What differs between kernels.
///
/// Sources: [`virt/kvm/guest_memfd.c`, `virt/kvm/kvm_main.c`] of the release, or the posting of the series; what was seen
/// on a running 6.18 says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answers {
    /// Bit n: there is VM type n. `KVM_X86_SEV_VM` and later ones came with 6.10, SNP with 6.11, TDX with 6.16.
    pub vm_types: u32,
    /// Whether there is `KVM_PRE_FAULT_MEMORY`: since 6.11.
    pub prefault: bool,
    /// Whether VMs without private memory can have slots with a file: since files can be mapped, 6.18. Before, the
    /// capability is 0 on such a VM and the slot's flag is `EINVAL`.
    pub files_without_private: bool,
    /// Flags of files of VMs without private memory, and of VMs with it where attributes are the VM's. Since 6.18 there is a
    /// capability that tells them; none before, `None` here.
    pub create_flags: Option<[CreateFlags; 2]>,
    /// The errno of pages of a file that are bound already: `EINVAL` on a running 6.18, `EEXIST` in 7.3.
    pub bound_twice: Errno,
    /// Whether a slot whose end in the file has no signed 64-bit offset passes for one that ends inside: a running 6.18
    /// takes it, 7.3 does not.
    pub end_overflows: bool,
    /// Conversion in place, where there is any.
    pub in_place: Option<InPlace>,
}

/// What differs between revisions of the in-place conversion series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InPlace {
    /// The number that tells which attributes files take: 249 in RFC v5, 250 in v8.
    pub attributes: Capability,
    /// The number that tells content modes: 250 in RFC v5, none since.
    pub content_modes: Option<Capability>,
}

const ALL_FLAGS: CreateFlags = CreateFlags::all();

impl Personality {
    /// Every personality.
    pub const ALL: [Self; 6] = [Self::V6_8, Self::V6_11, Self::V6_18, Self::V7_3, Self::RfcV5, Self::V8];

    /// Its row of the table.
    pub const fn answers(self) -> Answers {
        let first = Answers {
            vm_types: 0b00_0011,
            prefault: false,
            files_without_private: false,
            create_flags: None,
            bound_twice: Errno::EINVAL,
            end_overflows: true,
            in_place: None,
        };
        let prefault = Answers { vm_types: 0b01_1111, prefault: true, ..first };
        let mapped = Answers {
            vm_types: 0b11_1111,
            files_without_private: true,
            create_flags: Some([ALL_FLAGS, CreateFlags::MMAP]),
            ..prefault
        };
        let newest = Answers { bound_twice: Errno::EEXIST, end_overflows: false, ..mapped };
        let v5 = InPlace { attributes: Capability::CONTESTED[0], content_modes: Some(Capability::CONTESTED[1]) };
        let v8 = InPlace { attributes: Capability::CONTESTED[1], content_modes: None };
        match self {
            Self::V6_8 => first,
            Self::V6_11 => prefault,
            Self::V6_18 => mapped,
            Self::V7_3 => newest,
            Self::RfcV5 => Answers { in_place: Some(v5), ..newest },
            Self::V8 => Answers { in_place: Some(v8), ..newest },
        }
    }

    /// What its software-protected VMs make of contents when a page is converted: for a platform without hardware.
    ///
    /// RFC v5 overwrites where nothing was promised, refuses zeroes towards private and preserves both ways; nobody else
    /// has modes.
    pub const fn software_content(self) -> ContentRules {
        let (private, shared) = match self {
            Self::RfcV5 => ([Rule::PerPage, Rule::Refused, Rule::Free], [Rule::PerPage, Rule::PerPage, Rule::Free]),
            _ => ([Rule::Free, Rule::Refused, Rule::Refused], [Rule::Free, Rule::Refused, Rule::Refused]),
        };
        ContentRules { table: [[private, shared]; 2] }
    }

    /// Its name on command lines and in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::V6_8 => "6.8",
            Self::V6_11 => "6.11",
            Self::V6_18 => "6.18",
            Self::V7_3 => "7.3",
            Self::RfcV5 => "rfc-v5",
            Self::V8 => "v8",
        }
    }

    /// The newest personality that is not newer than the release `major.minor`; `None` before 6.8.
    pub const fn of_release(major: u32, minor: u32) -> Option<Self> {
        match (major, minor) {
            (0..=5, _) | (6, 0..=7) => None,
            (6, 8..=10) => Some(Self::V6_8),
            (6, 11..=17) => Some(Self::V6_11),
            (6, _) | (7, 0..=1) => Some(Self::V6_18),
            _ => Some(Self::V7_3),
        }
    }
}

impl fmt::Display for Personality {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Personality {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        Self::ALL.into_iter().find(|one| one.name() == name).ok_or(Error::NotFound)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_have_the_personality_that_is_not_newer() {
        let of = Personality::of_release;
        assert_eq!((of(6, 7), of(5, 19)), (None, None));
        assert_eq!(
            (of(6, 8), of(6, 12), of(6, 18)),
            (Some(Personality::V6_8), Some(Personality::V6_11), Some(Personality::V6_18))
        );
        assert_eq!(
            (of(7, 2), of(7, 3), of(8, 0)),
            (Some(Personality::V7_3), Some(Personality::V7_3), Some(Personality::V7_3))
        );
    }

    #[test]
    fn names_read_back() {
        for one in Personality::ALL {
            assert_eq!(one.name().parse(), Ok(one));
        }
        assert!("9.9".parse::<Personality>().is_err());
    }
}
