//! Many rounds of share and unshare over a few pages; both sides check every value.

use crate::io::{load, send, store};
use smccc::Hvc;
use tenure_abi::{FrameRange, Gfn};
use tenure_arch::guest::{Pkvm, SharedMemory};
use tenure_test_protocol::layout::{storm_guest_value, storm_host_value, storm_ipa};
use tenure_test_protocol::{Event, Step};

/// A page comes round again after this many rounds.
const PERIOD: u64 = 8;

pub fn run(rounds: u32) {
    let Ok(pkvm) = Pkvm::<Hvc>::probe() else {
        return send(Event::Mismatches(u64::MAX));
    };
    send(Event::Step(Step::Rounds));
    let bad = (0..u64::from(rounds)).map(|round| one(&pkvm, round)).sum();
    send(Event::Mismatches(bad));
    send(Event::Step(Step::Leaving));
}

/// One round; how many things were wrong.
fn one(pkvm: &Pkvm<Hvc>, round: u64) -> u64 {
    let ipa = storm_ipa(round);
    let Ok(gfn) = Gfn::from_address(ipa) else {
        return 1;
    };
    let page = FrameRange::single(gfn);
    let mut bad = 0;
    let mut check = |right: bool| bad += u64::from(!right);
    check(round < PERIOD || load(ipa) == storm_host_value(round - PERIOD));
    store(ipa, round);
    check(pkvm.share(page).is_ok());
    store(ipa, storm_guest_value(round));
    send(Event::Round(round));
    check(load(ipa) == storm_host_value(round));
    check(pkvm.unshare(page).is_ok());
    check(load(ipa) == storm_host_value(round));
    bad
}
