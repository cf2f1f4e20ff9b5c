//! What the calls cost, each measured alone so that an interrupted one can be told from the rest.

use crate::io::{host_loads, put, send};
use crate::stopwatch;
use tenure_abi::pkvm::id;
use tenure_test_protocol::layout::GUEST_PRIVATE;
use tenure_test_protocol::{Event, Measure, Page, Step};

pub fn run(rounds: u32) {
    let page = Page::A;
    put(page, GUEST_PRIVATE);
    send(Event::Step(Step::Measuring));
    send(Event::TickRate(stopwatch::rate()));
    for _ in 0..rounds {
        ticks(Measure::Share, stopwatch::call(id::MEM_SHARE, page.ipa()));
        host_loads(page);
        ticks(Measure::Unshare, stopwatch::call(id::MEM_UNSHARE, page.ipa()));
        let (cost, _) = stopwatch::call(id::HYP_MEMINFO, 0);
        send(Event::Ticks(Measure::MemInfo, cost));
        send(Event::Ticks(Measure::Floor, stopwatch::floor()));
    }
    send(Event::Step(Step::Leaving));
}

/// A call that was refused is no measurement: its code is reported instead.
fn ticks(what: Measure, (cost, code): (u64, u64)) {
    match code {
        0 => send(Event::Ticks(what, cost)),
        _ => send(Event::Reply { register: 0, value: code }),
    }
}
