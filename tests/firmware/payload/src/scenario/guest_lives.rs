//! The test guest's scenarios over our own EL2. Each is told line by line, for the comparison with real Linux, and ends with everything
//! back at the host.

use crate::guest::{Give, Guest, put};
use crate::life::{Life, live};
use crate::probe;
use crate::report::{Check, case, claim, equal, line, row};
use crate::service::call;
use tenure_abi::PAGE_SIZE;
use tenure_abi::service::HostCall;
use tenure_test_protocol::layout::{GUEST_LAST, RANGE_BASE};
use tenure_test_protocol::{Denied, Ending, Entry, Event, Observation, Page, Scenario, Step};

/// Rounds of the storm: as on Linux, so that the transcripts agree.
pub(super) const ROUNDS: u32 = 400;

fn guest(scenario: Scenario, give: Give) -> Result<Guest, crate::report::Wrong> {
    Guest::new(Entry { scenario, rounds: if scenario == Scenario::Storm { ROUNDS } else { 0 } }, give)
}

/// One whole life, told.
fn whole(scenario: Scenario, listen: &mut dyn FnMut(Step, Observation)) -> Check {
    let guest = guest(scenario, Give::Page)?;
    live(&guest, Some(scenario), listen)?;
    guest.destroy()
}

/// Counts observations that must be there.
struct Expect<'a> {
    wanted: &'a [(Step, Observation)],
    found: usize,
}

impl Expect<'_> {
    /// In this order, with others between them.
    fn see(&mut self, step: Step, what: Observation) {
        if self.wanted.get(self.found) == Some(&(step, what)) {
            self.found += 1;
        }
    }
    fn check(&self) -> Check {
        equal("the first observation that is missing, of those expected", self.found as u64, self.wanted.len() as u64)
    }
}

/// A life with these observations among others, in this order.
pub(super) fn expecting(scenario: Scenario, wanted: &[(Step, Observation)]) -> Check {
    let mut expect = Expect { wanted, found: 0 };
    whole(scenario, &mut |step, what| expect.see(step, what))?;
    expect.check()
}

const fn x0(value: i64) -> Observation {
    Observation::Guest(Event::Reply { register: 0, value: value.cast_unsigned() })
}

pub(super) fn calls() {
    let wanted = [
        (Step::Features, x0(0x21d)),
        (Step::Uid, x0(0xb66f_b428)),
        (Step::MemInfo, x0(4096)),
        (Step::MemInfoReserved, x0(-3)),
        (Step::Share, x0(0)),
        (Step::ShareAgain, x0(-3)),
        (Step::Unshare, x0(0)),
        (Step::UnshareAgain, x0(-3)),
        (Step::Unaligned, x0(-3)),
        (Step::OneGranule, x0(0)),
        (Step::Reserved, x0(-3)),
        (Step::UnshareUntouched, x0(-3)),
        (Step::Unknown, x0(-1)),
    ];
    case("guest_calls_are_answered", expecting(Scenario::Calls, &wanted));
}

pub(super) fn share_in_place() {
    let a = Page::A.ipa();
    let wanted = [
        (Step::Private, Observation::HostLoad(a, Err(Denied))),
        (Step::Private, Observation::HostStore(a, Err(Denied))),
        (Step::Shared, x0(0)),
        (Step::Shared, Observation::HostStore(a, Ok(()))),
        (Step::PrivateAgain, x0(0)),
        (Step::PrivateAgain, Observation::HostLoad(a, Err(Denied))),
    ];
    let shown = expecting(Scenario::ShareInPlace, &wanted);
    row("PK-11", "host pages donated to a guest, then out of the host's reach", shown);
    row("PK-12", "the host loads and stores after MEM_SHARE", shown);
    row("PK-13", "the host's access faults after MEM_UNSHARE, data kept", shown);
}

pub(super) fn never_touched() {
    let wanted = [(Step::Shared, x0(0))];
    case("a_share_of_a_page_never_touched_waits_for_the_host", expecting(Scenario::NeverTouched, &wanted));
}

pub(super) fn forced_reclaim() {
    let a = Page::A.ipa();
    let wanted = [
        (Step::ForcedOut, Observation::ForcedOut(a, Ok(0))),
        (Step::Poisoned, x0(-3)),
        (Step::Poisoned, x0(-3)),
        (Step::Poisoned, Observation::Ended(Ending::Burnt)),
    ];
    let shown = expecting(Scenario::ForcedReclaim, &wanted);
    row("PK-15", "a private page forced out reads zero, its address is burnt", shown);
    row("PK-16", "the vCPU's stop is told to be at a burnt address", shown);
}

pub(super) fn outside_ram() {
    let syndrome = Observation::Guest(Event::Exception(tenure_test_protocol::Exception::Syndrome, 0x9600_0010));
    let wanted = [(Step::NoMemory, syndrome)];
    case("a_share_without_memory_is_an_external_abort", expecting(Scenario::OutsideRam, &wanted));
}

pub(super) fn left_shared() {
    row("PK-14", "private pages come back zeroed, a shared one with its data", leave_shared());
}

fn leave_shared() -> Check {
    let guest = guest(Scenario::LeftShared, Give::Page)?;
    live(&guest, Some(Scenario::LeftShared), &mut |_, _| {})?;
    let at = |page: Page| guest.host(page.ipa()).unwrap_or(0);
    let (shared, private, code) = (at(Page::A), at(Page::B), guest.base);
    claim("the private page is out of reach before", probe::load(private).is_err(), private)?;
    guest.destroy()?;
    for (page, address) in [(Page::A, shared), (Page::B, private)] {
        let seen = Observation::AfterDeath(page.ipa(), probe::load(address).map_err(|_| Denied));
        line(format_args!("TENURE obs {} {} {seen}", Scenario::LeftShared.name(), Step::Leaving.name()));
    }
    equal("the shared page keeps its data", probe::load(shared).unwrap_or(0), GUEST_LAST)?;
    equal("the private page is zero", probe::load(private).unwrap_or(1), 0)?;
    equal("the guest's code is zero", probe::load(code).unwrap_or(1), 0)
}

pub(super) fn ranges() {
    case("ranges_over_4k_leaves", whole(Scenario::Ranges, &mut |_, _| {}));
}

pub(super) fn ranges_in_a_2m_leaf() {
    let lived = guest(Scenario::Ranges, Give::Region).and_then(|guest| {
        let mut faults = 0;
        live(&guest, None, &mut |_, what| faults += u64::from(matches!(what, Observation::HostLoad(_, Err(_)))))?;
        claim("some host loads fault", faults > 0, faults)?;
        guest.destroy()
    });
    case("ranges_and_single_pages_in_a_2m_leaf", lived);
}

pub(super) fn storm() {
    case("a_storm_of_one_guest_keeps_every_value", whole(Scenario::Storm, &mut |_, _| {}));
    case("a_second_page_at_an_occupied_address_is_refused", occupied());
}

/// The guest keeps seeing the first page it was given at an address.
fn occupied() -> Check {
    let guest = guest(Scenario::HostCalls, Give::Page)?;
    let mut tries = |guest: &Guest| {
        let spare = guest.host(RANGE_BASE).unwrap_or(0);
        put(spare, 0xbad)?;
        for page in [Page::A, Page::B] {
            let gfn = crate::service::gfn(page.ipa());
            let frames = crate::service::pfns(spare, 1);
            let refused = call(HostCall::DonateGuest { vm: guest.vm, frames, gfn });
            let denied = refused.is_err_and(|r| r.is(tenure_abi::Errno::EPERM, gfn.number()));
            claim("EPERM at the gfn", denied, page.ipa())?;
            equal("the second page stays the host's", probe::load(spare).unwrap_or(0), 0xbad)?;
        }
        // The page behind it is the guest's own, so a range that reaches it is refused as a whole.
        let frames = crate::service::pfns(spare, 2);
        let gfn = crate::service::gfn(Page::A.ipa() - PAGE_SIZE);
        let refused = call(HostCall::DonateGuest { vm: guest.vm, frames, gfn });
        claim("a range that ends at an occupied address", refused.is_err(), 0)
    };
    let mut values = [0; 2];
    let mut at = 0;
    let mut listen = |step, what| {
        if let (Step::HostTries, Observation::Guest(Event::Value(value))) = (step, what)
            && let Some(place) = values.get_mut(at)
        {
            *place = value;
            at += 1;
        }
    };
    Life::new(&guest, None, &mut tries, &mut listen, &mut |_| {}).run()?;
    equal("what the guest reads at its private page", values[0], tenure_test_protocol::layout::GUEST_PRIVATE)?;
    equal("what the guest reads at its shared page", values[1], tenure_test_protocol::layout::GUEST_SHARED)?;
    guest.destroy()
}
