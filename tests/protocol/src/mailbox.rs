//! The registers of the mailbox: 64-bit stores of the guest, each one an [`Event`] for the host.
//!
//! | offset | value stored | event |
//! |---|---|---|
//! | `000` | number of a [`Step`] | [`Event::Step`] |
//! | `008` | what the guest loaded | [`Event::Value`] |
//! | `010`, `018`, `020`, `028` | x0..x3 of a call's answer | [`Event::Reply`] |
//! | `030` | pages done by the library | [`Event::PagesDone`] |
//! | `038` | mismatches counted by the guest | [`Event::Mismatches`] |
//! | `100` | IPA: host, load from it | [`Event::HostLoad`] |
//! | `108` | IPA: host, store [`crate::layout::HOST_VALUE`] to it | [`Event::HostStore`] |
//! | `110` | IPA: host, let a system call read it | [`Event::HostSyscall`] |
//! | `118` | IPA: host, force it out | [`Event::ForceOut`] |
//! | `120` | round: host, check and answer this round of the storm | [`Event::Round`] |
//! | `128` | 0: host, try your own calls now | [`Event::HostCalls`] |
//! | `200`.. | ticks | [`Event::Ticks`], by [`Measure`] |
//! | `280` | ticks per second | [`Event::TickRate`] |
//! | `288` | nanoseconds since 1970 | [`Event::WallClock`] |
//! | `300`.. | about an exception the guest took | [`Event::Exception`] |

use crate::scenario::Step;

/// What a guest measures: ticks from just before to just after.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// `MEM_SHARE` of one private page.
    Share,
    /// `MEM_UNSHARE` of it, after the host touched it.
    Unshare,
    /// `HYP_MEMINFO`: what any call costs.
    MemInfo,
    /// Nothing between the two readings of the counter.
    Floor,
    /// `MEM_SHARE` of the whole range in one call, no page of it ever shared alone.
    ShareRangeUniform,
    /// The same after one of its pages was shared and unshared alone.
    ShareRangeMixed,
}

impl Measure {
    /// Every measure, in the order of the registers.
    pub const ALL: [Self; 6] =
        [Self::Share, Self::Unshare, Self::MemInfo, Self::Floor, Self::ShareRangeUniform, Self::ShareRangeMixed];
}

/// What a guest says about an exception it took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exception {
    /// `ESR_EL1`.
    Syndrome,
    /// `FAR_EL1`.
    FaultAddress,
    /// The instruction word at `ELR_EL1`: which instruction was interrupted, without its address.
    Instruction,
}

impl Exception {
    /// Every one, in the order of the registers.
    pub const ALL: [Self; 3] = [Self::Syndrome, Self::FaultAddress, Self::Instruction];
}

/// What a store to the mailbox means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A step begins.
    Step(Step),
    /// The guest loaded this from the page it works on.
    Value(u64),
    /// Register `register` of a call's answer.
    Reply {
        /// 0..=3, for x0..x3.
        register: u8,
        /// Its content.
        value: u64,
    },
    /// The library reports this many pages converted before it stopped.
    PagesDone(u64),
    /// The guest found this many values that were not what they should be.
    Mismatches(u64),
    /// Host: load from this IPA.
    HostLoad(u64),
    /// Host: store to this IPA.
    HostStore(u64),
    /// Host: let a system call read from this IPA.
    HostSyscall(u64),
    /// Host: force this IPA's page out of the guest.
    ForceOut(u64),
    /// Host: the page of this storm round is shared; check it, answer in it.
    Round(u64),
    /// Host: try your own calls now.
    HostCalls,
    /// A measurement in ticks.
    Ticks(Measure, u64),
    /// Ticks per second.
    TickRate(u64),
    /// The hypervisor's wall clock as the guest was told it, in nanoseconds since 1970.
    WallClock(u64),
    /// About an exception; [`Exception::Instruction`] comes last.
    Exception(Exception, u64),
}

const TICKS: u64 = 0x200;
const EXCEPTION: u64 = 0x300;

impl Event {
    /// What storing `value` at `offset` of the mailbox means; `None` if nothing.
    pub fn decode(offset: u64, value: u64) -> Option<Self> {
        Some(match offset {
            0x000 => Self::Step(Step::from_number(value)?),
            0x008 => Self::Value(value),
            0x010 => Self::Reply { register: 0, value },
            0x018 => Self::Reply { register: 1, value },
            0x020 => Self::Reply { register: 2, value },
            0x028 => Self::Reply { register: 3, value },
            0x030 => Self::PagesDone(value),
            0x038 => Self::Mismatches(value),
            0x100 => Self::HostLoad(value),
            0x108 => Self::HostStore(value),
            0x110 => Self::HostSyscall(value),
            0x118 => Self::ForceOut(value),
            0x120 => Self::Round(value),
            0x128 => Self::HostCalls,
            0x200 => Self::Ticks(Measure::Share, value),
            0x208 => Self::Ticks(Measure::Unshare, value),
            0x210 => Self::Ticks(Measure::MemInfo, value),
            0x218 => Self::Ticks(Measure::Floor, value),
            0x220 => Self::Ticks(Measure::ShareRangeUniform, value),
            0x228 => Self::Ticks(Measure::ShareRangeMixed, value),
            0x280 => Self::TickRate(value),
            0x288 => Self::WallClock(value),
            0x300 => Self::Exception(Exception::Syndrome, value),
            0x308 => Self::Exception(Exception::FaultAddress, value),
            0x310 => Self::Exception(Exception::Instruction, value),
            _ => return None,
        })
    }

    /// Offset and value of the store that means this.
    pub const fn encode(self) -> (u64, u64) {
        match self {
            Self::Step(step) => (0x000, step.number() as u64),
            Self::Value(value) => (0x008, value),
            Self::Reply { register, value } => (0x010 + (register as u64 & 3) * 8, value),
            Self::PagesDone(value) => (0x030, value),
            Self::Mismatches(value) => (0x038, value),
            Self::HostLoad(ipa) => (0x100, ipa),
            Self::HostStore(ipa) => (0x108, ipa),
            Self::HostSyscall(ipa) => (0x110, ipa),
            Self::ForceOut(ipa) => (0x118, ipa),
            Self::Round(round) => (0x120, round),
            Self::HostCalls => (0x128, 0),
            Self::Ticks(what, value) => (TICKS + what as u64 * 8, value),
            Self::TickRate(value) => (0x280, value),
            Self::WallClock(value) => (0x288, value),
            Self::Exception(what, value) => (EXCEPTION + what as u64 * 8, value),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_event_survives_its_store() {
        let events = [
            Event::Value(7),
            Event::PagesDone(3),
            Event::Mismatches(0),
            Event::HostLoad(1),
            Event::HostStore(2),
            Event::HostSyscall(3),
            Event::ForceOut(4),
            Event::Round(5),
            Event::HostCalls,
            Event::TickRate(6),
            Event::WallClock(8),
        ];
        let steps = Step::ALL.iter().map(|&step| Event::Step(step));
        let replies = (0..4).map(|register| Event::Reply { register, value: 9 });
        let ticks = Measure::ALL.into_iter().map(|what| Event::Ticks(what, 10));
        let exceptions = Exception::ALL.into_iter().map(|what| Event::Exception(what, 11));
        for event in events.into_iter().chain(steps).chain(replies).chain(ticks).chain(exceptions) {
            let (offset, value) = event.encode();
            assert_eq!(Event::decode(offset, value), Some(event));
        }
    }

    #[test]
    fn stores_beside_a_register_mean_nothing() {
        assert_eq!(Event::decode(0x004, 1), None);
        assert_eq!(Event::decode(0x000, 9999), None);
        assert_eq!(Event::decode(0xff8, 0), None);
    }
}
