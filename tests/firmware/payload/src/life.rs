//! What the test guest does and asks for while it runs: the host's side of `tenure_test_protocol`.
//!
//! Each observation goes to a listener and, in a scenario that is compared with real Linux, to the runner.

use crate::guest::{Guest, put};
use crate::probe::{self, Fault};
use crate::report::{self, Check, Wrong, claim, equal};
use crate::service::{call, pfns};
use core::mem::offset_of;
use tenure_abi::run::{RunPage, StopReason, StopReply};
use tenure_abi::service::HostCall;
use tenure_test_protocol::layout::{
    HOST_VALUE, MAILBOX, MAILBOX_BYTES, storm_guest_value, storm_host_value, storm_ipa,
};
use tenure_test_protocol::{Denied, Ending, Event, Measure, Observation, Scenario, Step};

/// More stops than any scenario needs: a guest that goes round in circles is stopped.
const STOPS_MAX: u32 = 200_000;

/// One life of a guest.
pub(crate) struct Life<'a> {
    guest: &'a Guest,
    /// Whose observations are printed for comparison; `None`: nobody's.
    told: Option<Scenario>,
    step: Step,
    rounds: u64,
    mismatches: u64,
    /// Called for the guest's `HostCalls`.
    pub(crate) host_calls: &'a mut dyn FnMut(&Guest) -> Check,
    /// Called with each observation that is compared.
    pub(crate) listen: &'a mut dyn FnMut(Step, Observation),
    /// Called with each measurement, and with what the host's own access cost.
    pub(crate) measure: &'a mut dyn FnMut(Ticks),
}

/// Something that was measured, in ticks.
#[derive(Clone, Copy)]
pub(crate) enum Ticks {
    /// By the guest.
    Guest(Measure, u64),
    /// The host's load that the guest asked for.
    HostLoad(u64),
}

/// Runs the guest to its end and reports it as `told`.
pub(crate) fn live(guest: &Guest, told: Option<Scenario>, listen: &mut dyn FnMut(Step, Observation)) -> Check {
    Life::new(guest, told, &mut |_| Ok(()), listen, &mut |_| {}).run()
}

fn field(guest: &Guest, offset: usize) -> Result<u64, Wrong> {
    let at = guest.run_page + offset as u64;
    probe::load(at).map_err(|fault| Wrong { what: "the run page faults", seen: fault.esr })
}

impl<'a> Life<'a> {
    pub(crate) fn new(
        guest: &'a Guest,
        told: Option<Scenario>,
        host_calls: &'a mut dyn FnMut(&Guest) -> Check,
        listen: &'a mut dyn FnMut(Step, Observation),
        measure: &'a mut dyn FnMut(Ticks),
    ) -> Self {
        Self { guest, told, step: Step::Leaving, rounds: 0, mismatches: 0, host_calls, listen, measure }
    }

    /// Runs the guest until it powers off or cannot go on.
    pub(crate) fn run(mut self) -> Check {
        for _ in 0..STOPS_MAX {
            let reason = call(HostCall::VcpuRun { vm: self.guest.vm, vcpu: self.guest.vcpu })?;
            let told = field(self.guest, offset_of!(RunPage, reason))?;
            equal("the reason in the run page", told, reason)?;
            match StopReason::from_raw(reason) {
                Ok(StopReason::Memory) => {
                    if let Some(ending) = self.memory()? {
                        return self.end(ending);
                    }
                }
                Ok(StopReason::SystemOff) => return self.end(Ending::PoweredOff),
                Ok(StopReason::Interrupt | StopReason::Relinquished) => {}
                _ => return Err(Wrong { what: "an unexpected stop", seen: reason }),
            }
        }
        Err(Wrong { what: "the guest does not end", seen: STOPS_MAX.into() })
    }

    /// A stop at an address without memory.
    fn memory(&mut self) -> Result<Option<Ending>, Wrong> {
        let address = field(self.guest, offset_of!(RunPage, address))?;
        let (size, write) =
            (field(self.guest, offset_of!(RunPage, size))?, field(self.guest, offset_of!(RunPage, write))?);
        let (vm, vcpu) = (self.guest.vm, self.guest.vcpu);
        let reply = if self.guest.host(address).is_some() {
            if call(HostCall::PoisonFault { vm, vcpu })? != 0 {
                return Ok(Some(Ending::Burnt));
            }
            self.guest.give(address)?;
            StopReply::Again
        } else if (MAILBOX..MAILBOX + MAILBOX_BYTES).contains(&address) && size == 8 && write != 0 {
            let value = field(self.guest, offset_of!(RunPage, value))?;
            let event = Event::decode(address - MAILBOX, value);
            self.answer(event.ok_or(Wrong { what: "a store to the mailbox that means nothing", seen: address })?)?;
            StopReply::Complete
        } else {
            StopReply::Abort
        };
        put(self.guest.run_page + offset_of!(RunPage, reply) as u64, reply.to_raw())?;
        Ok(None)
    }

    fn note(&mut self, what: Observation) {
        if what.is_comparable() {
            if let Some(scenario) = self.told {
                report::line(format_args!("TENURE obs {} {} {what}", scenario.name(), self.step.name()));
            }
            (self.listen)(self.step, what);
        }
    }

    /// Does what the guest asks for.
    fn answer(&mut self, event: Event) -> Check {
        let at = |ipa| self.guest.host(ipa).ok_or(Wrong { what: "the guest names no RAM of its", seen: ipa });
        match event {
            Event::Step(step) => self.step = step,
            Event::Ticks(what, ticks) => (self.measure)(Ticks::Guest(what, ticks)),
            Event::TickRate(_) | Event::WallClock(_) => {}
            Event::HostLoad(ipa) => {
                let (seen, ticks) = probe::timed_load(at(ipa)?);
                (self.measure)(Ticks::HostLoad(ticks));
                self.note(Observation::HostLoad(ipa, denied(seen)));
            }
            Event::HostStore(ipa) => {
                // SAFETY: a page of the allocator, given to the guest: no Rust object is there.
                let done = unsafe { probe::store(at(ipa)?, HOST_VALUE) };
                self.note(Observation::HostStore(ipa, denied(done)));
            }
            Event::HostSyscall(_) => return Err(Wrong { what: "this host has no system calls", seen: 0 }),
            Event::ForceOut(ipa) => {
                let forced = call(HostCall::ForceReclaim(pfns(at(ipa)?, 1)))?;
                equal("pages forced out", forced, 1)?;
                let seen = denied(probe::load(at(ipa)?));
                self.note(Observation::ForcedOut(ipa, seen));
            }
            Event::Round(round) => {
                let page = at(storm_ipa(round))?;
                let right = probe::load(page) == Ok(storm_guest_value(round));
                // SAFETY: as above.
                let stored = unsafe { probe::store(page, storm_host_value(round)) }.is_ok();
                self.rounds += 1;
                self.mismatches += u64::from(!(right && stored));
            }
            Event::HostCalls => (self.host_calls)(self.guest)?,
            other => self.note(Observation::Guest(other)),
        }
        Ok(())
    }

    fn end(mut self, ending: Ending) -> Check {
        if self.rounds != 0 {
            self.note(Observation::Storm { rounds: self.rounds, mismatches: self.mismatches });
        }
        self.note(Observation::Ended(ending));
        claim("nothing the host read was wrong", self.mismatches == 0, self.mismatches)
    }
}

fn denied<T>(outcome: Result<T, Fault>) -> Result<T, Denied> {
    outcome.map_err(|_| Denied)
}
