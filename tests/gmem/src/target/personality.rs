//! The kernels whose behaviour differs.

use core::fmt;
use core::str::FromStr;

/// A kernel, or a revision of the in-place conversion series. Ordered by time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Personality {
    /// Linux 6.8: the first with guest memory files.
    V6_8,
    /// Linux 6.11: pre-fault.
    V6_11,
    /// Linux 6.18: files can be mapped, and can start shared.
    V6_18,
    /// Linux 7.3.
    V7_3,
    /// The series as of its RFC v5: conversion in place, with content modes.
    RfcV5,
    /// The series as of its v8: conversion in place, without content modes.
    V8,
}

impl Personality {
    /// Every personality.
    pub const ALL: [Self; 6] = [Self::V6_8, Self::V6_11, Self::V6_18, Self::V7_3, Self::RfcV5, Self::V8];

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
            (6, _) | (7, 0..=2) => Some(Self::V6_18),
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
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|one| one.name() == name).ok_or_else(|| format!("no personality is called {name}"))
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
            (Some(Personality::V6_18), Some(Personality::V7_3), Some(Personality::V7_3))
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
