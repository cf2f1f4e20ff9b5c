//! What was seen, in words that are the same for every host.
//!
//! The text of an observation holds no address of the run, no time and no name of a host's mechanism
//! (a signal here, an injected abort there: both are `FAULT`), so that transcripts can be compared.

use crate::layout::Page;
use crate::mailbox::{Event, Exception};
use core::fmt;

/// Why the host did not get at a page: it was refused by a fault it survived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Denied;

/// How a VM's life ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The guest powered off.
    PoweredOff,
    /// The vCPU cannot run on: it touched a burnt address.
    Burnt,
}

/// One thing that was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Observation {
    /// What the guest reported.
    Guest(Event),
    /// The host's load from the page at this IPA.
    HostLoad(u64, Result<u64, Denied>),
    /// The host's store to it.
    HostStore(u64, Result<(), Denied>),
    /// The host's system call that reads it.
    HostSyscall(u64, Result<u64, Denied>),
    /// The host forced it out, and what it found in it.
    ForcedOut(u64, Result<u64, Denied>),
    /// The host's part of a storm: rounds done, values that were wrong.
    Storm {
        /// How many rounds.
        rounds: u64,
        /// How often the host found something else than the guest had written.
        mismatches: u64,
    },
    /// The host's load after the VM is gone.
    AfterDeath(u64, Result<u64, Denied>),
    /// The end of the VM's life.
    Ended(Ending),
}

impl Observation {
    /// Whether it is worth a line: measurements and the marks between steps are not compared.
    pub fn is_comparable(self) -> bool {
        !matches!(
            self,
            Self::Guest(
                Event::Step(_)
                    | Event::Ticks(..)
                    | Event::TickRate(_)
                    | Event::WallClock(_)
                    | Event::HostLoad(_)
                    | Event::HostStore(_)
                    | Event::HostSyscall(_)
                    | Event::ForceOut(_)
                    | Event::Round(_)
                    | Event::HostCalls
            )
        )
    }
}

/// A value: codes near the top of the range are shown as the negative numbers they are.
struct Value(u64);

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.cast_signed() {
            code @ -255..=-1 => write!(f, "{code}"),
            _ => write!(f, "{:#x}", self.0),
        }
    }
}

/// A page's name; an address no scenario names is a mistake and shows as one.
struct Name(u64);

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Page::at(self.0).map_or("unnamed_page", Page::name))
    }
}

struct Outcome(Result<u64, Denied>);

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Ok(value) => write!(f, "{value:#x}"),
            Err(Denied) => f.write_str("FAULT"),
        }
    }
}

impl fmt::Display for Observation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Guest(event) => guest(event, f),
            Self::HostLoad(ipa, seen) => write!(f, "host loads {}: {}", Name(ipa), Outcome(seen)),
            Self::HostStore(ipa, Ok(())) => write!(f, "host stores to {}: done", Name(ipa)),
            Self::HostStore(ipa, Err(Denied)) => write!(f, "host stores to {}: FAULT", Name(ipa)),
            Self::HostSyscall(ipa, seen) => write!(f, "host system call reads {}: {}", Name(ipa), Outcome(seen)),
            Self::ForcedOut(ipa, seen) => write!(f, "host forces {} out: {}", Name(ipa), Outcome(seen)),
            Self::Storm { rounds, mismatches } => write!(f, "host rounds {rounds} mismatches {mismatches}"),
            Self::AfterDeath(ipa, seen) => write!(f, "after death host loads {}: {}", Name(ipa), Outcome(seen)),
            Self::Ended(Ending::PoweredOff) => f.write_str("guest powers off"),
            Self::Ended(Ending::Burnt) => f.write_str("vcpu stops at a burnt address"),
        }
    }
}

fn guest(event: Event, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match event {
        Event::Value(value) => write!(f, "guest loads {value:#x}"),
        Event::Reply { register, value } => write!(f, "x{register} {}", Value(value)),
        Event::PagesDone(pages) => write!(f, "pages done {pages}"),
        Event::Mismatches(count) => write!(f, "guest mismatches {count}"),
        Event::Exception(Exception::Syndrome, value) => write!(f, "guest exception syndrome {value:#x}"),
        Event::Exception(Exception::FaultAddress, value) => write!(f, "guest exception at {value:#x}"),
        Event::Exception(Exception::Instruction, value) => write!(f, "guest exception in instruction {value:#x}"),
        Event::Step(step) => write!(f, "step {}", step.name()),
        Event::Ticks(what, ticks) => write!(f, "{what:?} {ticks} ticks"),
        Event::TickRate(rate) => write!(f, "{rate} ticks per second"),
        Event::WallClock(ns) => write!(f, "wall clock {ns} ns"),
        Event::HostLoad(ipa) => write!(f, "asks host to load {}", Name(ipa)),
        Event::HostStore(ipa) => write!(f, "asks host to store to {}", Name(ipa)),
        Event::HostSyscall(ipa) => write!(f, "asks host for a system call on {}", Name(ipa)),
        Event::ForceOut(ipa) => write!(f, "asks host to force {} out", Name(ipa)),
        Event::Round(round) => write!(f, "round {round}"),
        Event::HostCalls => f.write_str("asks host to try its calls"),
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::string::ToString;

    #[test]
    fn observations_name_pages_and_hide_addresses() {
        let a = Page::A.ipa();
        assert_eq!(Observation::HostLoad(a, Err(Denied)).to_string(), "host loads page_a: FAULT");
        assert_eq!(Observation::HostLoad(a, Ok(0xb0)).to_string(), "host loads page_a: 0xb0");
        assert_eq!(Observation::HostStore(0, Ok(())).to_string(), "host stores to unnamed_page: done");
        let refused = Observation::Guest(Event::Reply { register: 0, value: u64::MAX - 2 });
        assert_eq!(refused.to_string(), "x0 -3");
    }

    #[test]
    fn times_are_not_compared() {
        assert!(!Observation::Guest(Event::WallClock(1)).is_comparable());
        assert!(Observation::Guest(Event::Value(1)).is_comparable());
    }
}
