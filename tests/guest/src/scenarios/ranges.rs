//! A whole 2 MiB leaf through the library: what the guest code asks for is the same on every hypervisor,
//! whether it takes one call or 512.

use crate::calls::call;
use crate::io::{host_loads, host_stores, load, put, report, send, store};
use smccc::Hvc;
use tenure_abi::pkvm::id;
use tenure_abi::{AddressWidth, FrameRange, Gfn, PAGE_SIZE};
use tenure_arch::guest::{Pkvm, SharedMemory, converted};
use tenure_test_protocol::layout::{GUEST_PRIVATE, HOST_VALUE, RANGE_BASE, RANGE_PAGES, range_value};
use tenure_test_protocol::{Event, Page, Step};

/// Which page of the range is shared beforehand in the last step.
const BLOCKER: u64 = 100;

fn page(index: u64) -> u64 {
    RANGE_BASE + index * PAGE_SIZE
}

pub fn run() {
    let range = FrameRange::<Gfn>::from_bytes(RANGE_BASE, RANGE_PAGES * PAGE_SIZE, AddressWidth::GUEST_MAX);
    let (Ok(pkvm), Ok(range)) = (Pkvm::<Hvc>::probe(), range) else {
        return send(Event::PagesDone(u64::MAX));
    };
    send(Event::Step(Step::Private));
    for index in 0..RANGE_PAGES {
        store(page(index), range_value(index));
    }
    put(Page::RangeNext, GUEST_PRIVATE);
    host_loads(Page::RangeFirst);
    host_loads(Page::RangeLast);

    send(Event::Step(Step::RangeShared));
    send(Event::PagesDone(converted(range, pkvm.share(range))));
    host_loads(Page::RangeFirst);
    host_loads(Page::RangeLast);
    host_loads(Page::RangeNext);
    host_stores(Page::RangeLast);
    report(Page::RangeLast);

    send(Event::Step(Step::RangePrivate));
    send(Event::PagesDone(converted(range, pkvm.unshare(range))));
    host_loads(Page::RangeFirst);
    host_loads(Page::RangeLast);
    let kept = |index| if index == RANGE_PAGES - 1 { HOST_VALUE } else { range_value(index) };
    send(Event::Mismatches((0..RANGE_PAGES).filter(|&index| load(page(index)) != kept(index)).count() as u64));

    send(Event::Step(Step::RangeBlocked));
    call(id::MEM_SHARE, page(BLOCKER), 0, 0);
    send(Event::PagesDone(converted(range, pkvm.share(range))));
    // Whatever was shared is closed again, page by page; pages that were not refuse.
    for index in 0..RANGE_PAGES {
        call(id::MEM_UNSHARE, page(index), 0, 0);
    }
    host_loads(Page::RangeFirst);
    send(Event::Step(Step::Leaving));
}
