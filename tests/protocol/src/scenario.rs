//! What a guest can be asked to do, and the steps it goes through.
//!
//! A scenario is one life of one VM. The register x0 at entry says which, and how many rounds.

macro_rules! named {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $number:literal, $text:literal;)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u32)]
        pub enum $name { $($(#[$vdoc])* $variant = $number,)* }

        impl $name {
            /// Every one, in the order of the numbers.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// Its number on the wire.
            pub const fn number(self) -> u32 {
                self as u32
            }

            /// The one with this number.
            pub fn from_number(number: u64) -> Option<Self> {
                Self::ALL.iter().copied().find(|one| u64::from(one.number()) == number)
            }

            /// Its name in an observation.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }
        }
    };
}

named!(
    /// One life of one VM.
    Scenario {
        /// Every call a guest can make, and every argument that must be refused.
        Calls = 1, "calls";
        /// Private, shared, private again, with data both ways: the main job.
        ShareInPlace = 2, "share_in_place";
        /// A page is shared that the guest has not touched, one is unshared that is not mapped.
        NeverTouched = 3, "never_touched";
        /// The host passes a page to one of its own system calls (only where the host is an operating system).
        SyscallTouch = 4, "syscall_touch";
        /// The host forces a private page out; its address is burnt. Ends in a stopped vCPU.
        ForcedReclaim = 5, "forced_reclaim";
        /// A share of an address without memory: an exception in the guest.
        OutsideRam = 6, "outside_ram";
        /// The guest goes away with one page shared and one private.
        LeftShared = 7, "left_shared";
        /// How long the calls take, in ticks of the guest's counter.
        Bench = 8, "bench";
        /// Ranges through the library: one call where ranges are offered, one per page where not.
        Ranges = 9, "ranges";
        /// Rounds of share and unshare with data checked on both sides.
        Storm = 10, "storm";
        /// The guest holds a private and a shared page while the host tries its own calls on them.
        HostCalls = 11, "host_calls";
        /// The guest gives pages back (only where `FEATURES` says that the call is offered).
        Relinquish = 12, "relinquish";
        /// How long calls on ranges take (only where ranges are offered).
        BenchRanges = 13, "bench_ranges";
    }
);

named!(
    /// A step of a scenario; what is observed belongs to the step last entered.
    Step {
        /// `FEATURES`: four reply registers.
        Features = 1, "features";
        /// `CALL_UID`: four reply registers.
        Uid = 2, "uid";
        /// `HYP_MEMINFO`: x0 (x1 differs where ranges are offered).
        MemInfo = 3, "meminfo";
        /// `HYP_MEMINFO` with x1, x2, x3 not 0 in turn: x0 of each.
        MemInfoReserved = 4, "meminfo_reserved";
        /// `MEM_SHARE` of page A: x0.
        Share = 5, "share";
        /// `MEM_SHARE` once more: x0.
        ShareAgain = 6, "share_again";
        /// `MEM_UNSHARE` of page A: x0.
        Unshare = 7, "unshare";
        /// `MEM_UNSHARE` once more: x0.
        UnshareAgain = 8, "unshare_again";
        /// `MEM_SHARE`, then `MEM_UNSHARE`, of an unaligned address: x0 of each.
        Unaligned = 9, "unaligned";
        /// `MEM_SHARE` with x2 = 1, then a plain `MEM_UNSHARE`: x0 of each.
        OneGranule = 10, "one_granule";
        /// `MEM_SHARE`, then `MEM_UNSHARE`, with x3 = 1: x0 of each.
        Reserved = 11, "reserved";
        /// `MEM_UNSHARE` of a page that is not mapped: x0.
        UnshareUntouched = 12, "unshare_untouched";
        /// `MMIO_GUARD_MAP`, `MMIO_GUARD_INFO`, a number nobody has: x0 of each.
        Unknown = 13, "unknown_calls";
        /// The page is private: first load, store, the host tries to load and to store, load.
        Private = 14, "private";
        /// The page is shared: x0, then data in both directions.
        Shared = 15, "shared";
        /// The page is private again: x0, the host tries to load and to store, load.
        PrivateAgain = 16, "private_again";
        /// The host forces the page out and loads from it.
        ForcedOut = 17, "forced_out";
        /// The guest calls on, then touches, the burnt address.
        Poisoned = 18, "poisoned";
        /// The guest shares an address without memory.
        NoMemory = 19, "no_memory";
        /// The guest is about to power off.
        Leaving = 20, "leaving";
        /// Measurements follow.
        Measuring = 21, "measuring";
        /// A range is shared: pages done, then data.
        RangeShared = 22, "range_shared";
        /// The range is private again: pages done, then data.
        RangePrivate = 23, "range_private";
        /// A range that has a shared page in its middle: pages done.
        RangeBlocked = 24, "range_blocked";
        /// Rounds follow.
        Rounds = 25, "rounds";
        /// The host tries its own calls.
        HostTries = 26, "host_tries";
        /// The guest gives a private page back, then one it has shared, then one it does not have: x0 of each.
        GivenBack = 27, "given_back";
    }
);

/// What x0 holds when the guest starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What to do.
    pub scenario: Scenario,
    /// How many rounds, for the scenarios that have rounds.
    pub rounds: u32,
}

impl Entry {
    /// The value of x0: scenario in the low half, rounds in the high half.
    pub const fn to_raw(self) -> u64 {
        self.scenario.number() as u64 | (self.rounds as u64) << 32
    }

    /// What x0 asks for; `None` for a scenario nobody knows.
    pub fn from_raw(raw: u64) -> Option<Self> {
        let scenario = Scenario::from_number(raw & 0xffff_ffff)?;
        Some(Self { scenario, rounds: (raw >> 32) as u32 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_survives_its_register() {
        for &scenario in Scenario::ALL {
            let entry = Entry { scenario, rounds: 0xffff_fff0 };
            assert_eq!(Entry::from_raw(entry.to_raw()), Some(entry));
        }
        assert_eq!(Entry::from_raw(0), None);
    }

    #[test]
    fn no_two_names_are_equal() {
        for (i, a) in Step::ALL.iter().enumerate() {
            assert!(Step::ALL.iter().skip(i + 1).all(|b| a.name() != b.name() && a.number() != b.number()));
        }
        for (i, a) in Scenario::ALL.iter().enumerate() {
            assert!(Scenario::ALL.iter().skip(i + 1).all(|b| a.name() != b.name() && a.number() != b.number()));
        }
    }
}
