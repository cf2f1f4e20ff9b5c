//! What the calls cost, each measured alone so that an interrupted one can be told from the rest.

use crate::calls::call;
use crate::io::{host_loads, put, send, store};
use crate::stopwatch;
use tenure_abi::PAGE_SIZE;
use tenure_abi::pkvm::id;
use tenure_test_protocol::layout::{GUEST_PRIVATE, RANGE_BASE, RANGE_PAGES};
use tenure_test_protocol::{Event, Measure, Page, Step};

pub fn run(rounds: u32) {
    let page = Page::A;
    put(page, GUEST_PRIVATE);
    send(Event::Step(Step::Measuring));
    send(Event::TickRate(stopwatch::rate()));
    for _ in 0..rounds {
        ticks(Measure::Share, stopwatch::call(id::MEM_SHARE, page.ipa(), 0));
        host_loads(page);
        ticks(Measure::Unshare, stopwatch::call(id::MEM_UNSHARE, page.ipa(), 0));
        let (cost, _) = stopwatch::call(id::HYP_MEMINFO, 0, 0);
        send(Event::Ticks(Measure::MemInfo, cost));
        send(Event::Ticks(Measure::Floor, stopwatch::floor()));
    }
    send(Event::Step(Step::Leaving));
}

/// One call for a 2 MiB leaf, before and after one of its pages went its own way.
pub fn ranges(rounds: u32) {
    send(Event::Step(Step::Measuring));
    store(RANGE_BASE, GUEST_PRIVATE);
    for what in [Measure::ShareRangeUniform, Measure::ShareRangeMixed] {
        for _ in 0..rounds {
            if what == Measure::ShareRangeMixed {
                call(id::MEM_SHARE, RANGE_BASE + PAGE_SIZE, 0, 0);
                call(id::MEM_UNSHARE, RANGE_BASE + PAGE_SIZE, 0, 0);
            }
            ticks(what, stopwatch::call(id::MEM_SHARE, RANGE_BASE, RANGE_PAGES));
            send(Event::Ticks(Measure::Floor, stopwatch::floor()));
            let [code, done, ..] = call(id::MEM_UNSHARE, RANGE_BASE, RANGE_PAGES, 0);
            if code != 0 || done != RANGE_PAGES {
                send(Event::Reply { register: 1, value: done });
            }
        }
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
