//! The main job, as facts for `cargo demo`: private, shared in place, private again.

use crate::guest::{Give, Guest};
use crate::life::live;
use crate::report::{Check, case, claim, equal, line};
use tenure_test_protocol::layout::{GUEST_LAST, GUEST_PRIVATE, GUEST_SHARED, HOST_VALUE};
use tenure_test_protocol::{Denied, Entry, Event, Observation, Page, Scenario, Step};

/// What was seen of the page; each is set at most once.
#[derive(Default)]
struct Facts {
    /// The host's loads: while private, the second while shared, after it was unshared.
    host: [Option<Result<u64, Denied>>; 3],
    /// The guest's loads: while private, while shared (after the host's store), after it was unshared.
    guest: [Option<u64>; 3],
    shared_loads: u32,
}

impl Facts {
    fn see(&mut self, step: Step, what: Observation) {
        let at = match step {
            Step::Private => 0,
            Step::Shared => 1,
            Step::PrivateAgain => 2,
            _ => return,
        };
        match what {
            Observation::HostLoad(_, seen) => {
                // The first load while shared finds what the guest wrote before; the second what it wrote after.
                self.shared_loads += u32::from(at == 1);
                if at != 1 || self.shared_loads == 2 {
                    self.host[at] = Some(seen);
                }
            }
            Observation::Guest(Event::Value(value)) => self.guest[at] = Some(value),
            _ => {}
        }
    }

    fn check(&self) -> Check {
        let [before, shared, after] = self.host;
        claim("the host's load of the private page faults", before == Some(Err(Denied)), 0)?;
        equal("what the host reads", shared.and_then(Result::ok).unwrap_or(0), GUEST_SHARED)?;
        claim("the host's load after unshare faults", after == Some(Err(Denied)), 0)?;
        let [private, shared, last] = self.guest;
        equal("what the guest reads while private", private.unwrap_or(0), GUEST_PRIVATE)?;
        equal("what the guest reads while shared", shared.unwrap_or(0), HOST_VALUE)?;
        equal("the guest's data at the end", last.unwrap_or(0), GUEST_LAST)
    }
}

pub(super) fn run() {
    case("a_page_is_shared_in_place", shown());
}

fn shown() -> Check {
    let guest = Guest::new(Entry { scenario: Scenario::ShareInPlace, rounds: 0 }, Give::Page)?;
    // This host runs with addresses equal to frames: what it loads from is the frame it gave.
    let page = guest.host(Page::A.ipa()).unwrap_or(0);
    let mut facts = Facts::default();
    live(&guest, None, &mut |step, what| facts.see(step, what))?;
    let word = |seen: Option<Result<u64, Denied>>| Word(seen.and_then(Result::ok));
    let [before, shared, after] = facts.host;
    line(format_args!("TENURE demo page={page:#x}"));
    line(format_args!("TENURE demo private_read={}", word(before)));
    line(format_args!("TENURE demo host_read={}", word(shared)));
    line(format_args!("TENURE demo host_read_expected={GUEST_SHARED:#x}"));
    line(format_args!("TENURE demo guest_read={}", Word(facts.guest[1])));
    line(format_args!("TENURE demo guest_read_expected={HOST_VALUE:#x}"));
    // The guest's stage 2 and the host's lead to the one frame that was given; nothing here copies.
    let same = shared.and_then(Result::ok) == Some(GUEST_SHARED) && facts.guest[1] == Some(HOST_VALUE);
    line(format_args!("TENURE demo same_frame={}", if same { "yes" } else { "no" }));
    line(format_args!("TENURE demo copied={}", if same { 0 } else { 4096 }));
    line(format_args!("TENURE demo after_unshare={}", word(after)));
    let intact = facts.guest[2] == Some(GUEST_LAST);
    line(format_args!("TENURE demo guest_data={}", if intact { "intact" } else { "changed" }));
    facts.check()?;
    guest.destroy()
}

/// A value, or the fault there was instead.
struct Word(Option<u64>);

impl core::fmt::Display for Word {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self.0 {
            Some(value) => write!(f, "{value:#x}"),
            None => f.write_str("FAULT"),
        }
    }
}
