//! Two CPUs at once.

use super::guest_lives::ROUNDS;
use crate::guest::{Give, Guest, audit};
use crate::life::live;
use crate::report::{Check, Wrong, case, claim, equal};
use crate::service::{call, pfns};
use crate::{cpu, probe, report};
use core::sync::atomic::{AtomicU64, Ordering};
use tenure_abi::service::HostCall;
use tenure_test_protocol::layout::{RAM_BASE, storm_ipa};
use tenure_test_protocol::{Entry, Scenario};

/// Pages the storm goes round.
const PAGES: usize = 8;
const STORM: Entry = Entry { scenario: Scenario::Storm, rounds: ROUNDS };

/// What the other CPU came to: 0 while it works, 1 all right, 2 something was wrong.
static OTHER: AtomicU64 = AtomicU64::new(0);

fn start(work: cpu::Work, argument: u64) -> Check {
    OTHER.store(0, Ordering::Release);
    cpu::on(1, work, argument).map_err(|code| Wrong { what: "CPU_ON", seen: code.cast_unsigned() })
}

fn finish() -> Check {
    while OTHER.load(Ordering::Acquire) == 0 {
        core::hint::spin_loop();
    }
    equal("the other CPU's outcome", OTHER.load(Ordering::Acquire), 1)
}

fn done(outcome: Check) {
    if let Err(Wrong { what, seen }) = outcome {
        report::line(format_args!("on the other CPU: {what}: saw {seen:#x}"));
    }
    OTHER.store(if outcome.is_ok() { 1 } else { 2 }, Ordering::Release);
}

fn one_guest() -> Check {
    let guest = Guest::new(STORM, Give::Page)?;
    live(&guest, None, &mut |_, _| {})?;
    guest.destroy()
}

/// Two guests, each on its own CPU.
pub(super) fn run() {
    let both = start(|_| done(one_guest()), 0).and_then(|()| {
        let mine = one_guest();
        finish().and(mine).and_then(|()| audit())
    });
    case("two_guests_storm_on_two_cpus", both);
}

static VICTIM: AtomicU64 = AtomicU64::new(0);
static STOP: AtomicU64 = AtomicU64::new(0);
static TRIES: AtomicU64 = AtomicU64::new(0);
static FAULTS: AtomicU64 = AtomicU64::new(0);

/// A guest storms on one CPU while the host on the other touches its pages and asks for what it may not have.
pub(super) fn hostile() {
    let lived = Guest::new(STORM, Give::Page).and_then(|guest| {
        VICTIM.store(guest.base, Ordering::Release);
        start(harass, 0)?;
        let lived = live(&guest, None, &mut |_, _| {});
        STOP.store(1, Ordering::Release);
        finish()?;
        lived?;
        guest.destroy()
    });
    case("a_storm_against_a_hostile_host_keeps_every_value", lived);
    let (tries, faults) = (TRIES.load(Ordering::Relaxed), FAULTS.load(Ordering::Relaxed));
    case(
        "the_hostile_host_tried",
        claim("faults among the tries", tries > 100 && faults > 0 && faults < tries, faults),
    );
    case("the_records_are_in_order_after_the_storm", audit());
}

/// Loads from and asks for the pages of the storm until told to stop. A page that faulted once is the guest's for good:
/// from then on no call for it may succeed.
fn harass(_: u64) {
    let base = VICTIM.load(Ordering::Acquire);
    let mut owned = [false; PAGES];
    let mut wrong = 0u64;
    for round in (0..PAGES).cycle() {
        if STOP.load(Ordering::Acquire) != 0 {
            break;
        }
        let page = base + (storm_ipa(round as u64) - RAM_BASE);
        let faulted = probe::load(page).is_err();
        TRIES.fetch_add(1, Ordering::Relaxed);
        FAULTS.fetch_add(faulted.into(), Ordering::Relaxed);
        if let Some(owned) = owned.get_mut(round) {
            *owned |= faulted;
            if *owned {
                wrong += u64::from(call(HostCall::ShareHyp(pfns(page, 1))).is_ok());
                wrong += u64::from(call(HostCall::UnshareHyp(pfns(page, 1))).is_ok());
            }
        }
    }
    done(equal("calls for a guest's page that succeeded", wrong, 0));
}
