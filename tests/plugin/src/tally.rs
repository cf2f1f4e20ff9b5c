//! The counts, and the difference between two of them.

use std::fmt;

use crate::decode::Kind;

/// What is counted; the number is the place in a [`Tally`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Count {
    El2,
    Other,
    Tlbi,
    Dsb,
    Mitigation,
}

/// How many counts there are.
pub(crate) const COUNTS: usize = 5;
const NAMES: [&str; COUNTS] = ["el2", "other", "tlbi", "dsb", "mitigation"];

impl Count {
    /// Where an instruction counts by its place.
    pub(crate) const fn place(in_el2: bool) -> Self {
        if in_el2 { Self::El2 } else { Self::Other }
    }

    /// Where an instruction of the hypervisor counts by its kind, if at all.
    pub(crate) const fn kind(kind: Kind) -> Option<Self> {
        match kind {
            Kind::Tlbi => Some(Self::Tlbi),
            Kind::Dsb => Some(Self::Dsb),
            Kind::DsbNsh => Some(Self::Mitigation),
            Kind::Hvc | Kind::Plain => None,
        }
    }
}

/// All counts at one moment, or between two.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally(pub(crate) [u64; COUNTS]);

impl Tally {
    /// What was counted since `earlier`.
    pub(crate) fn since(self, earlier: Self) -> Self {
        Self(std::array::from_fn(|i| self.0[i].wrapping_sub(earlier.0[i])))
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut gap = "";
        for (name, count) in NAMES.iter().zip(self.0) {
            write!(f, "{gap}{name}={count}")?;
            gap = " ";
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_is_shown_by_name() {
        let since = Tally([300, 5, 2, 4, 1]).since(Tally([39, 5, 0, 1, 0]));
        assert_eq!(since.to_string(), "el2=261 other=0 tlbi=2 dsb=3 mitigation=1");
    }

    #[test]
    fn every_count_has_its_place_and_name() {
        for (count, name) in
            [(Count::El2, "el2"), (Count::Mitigation, "mitigation"), (Count::Tlbi, "tlbi"), (Count::Dsb, "dsb")]
        {
            assert_eq!(NAMES[count as usize], name);
        }
        assert_eq!((Count::place(true), Count::place(false)), (Count::El2, Count::Other));
        assert_eq!(Count::kind(Kind::DsbNsh), Some(Count::Mitigation));
        assert_eq!(Count::kind(Kind::Hvc), None);
    }
}
