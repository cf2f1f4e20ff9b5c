//! Pages nobody touched, addresses without memory, pages given back and pages left behind.

use crate::calls::{report_code, share, unshare};
use crate::io::{host_loads, put, report, send};
use tenure_abi::pkvm::id;
use tenure_test_protocol::layout::{GUEST_LAST, GUEST_PRIVATE, GUEST_SHARED};
use tenure_test_protocol::{Event, Page, Step};

/// A share of a page the guest never touched, an unshare of one that is not mapped.
pub fn never_touched() {
    send(Event::Step(Step::Shared));
    share(Page::B.ipa());
    host_loads(Page::B);
    send(Event::Step(Step::PrivateAgain));
    unshare(Page::B.ipa());
    host_loads(Page::B);
    report(Page::B);
    send(Event::Step(Step::UnshareUntouched));
    unshare(Page::C.ipa());
    host_loads(Page::C);
    send(Event::Step(Step::Leaving));
}

/// A share of an address without memory. Where that is an exception, the vectors report it and end the guest.
pub fn outside_ram() {
    send(Event::Step(Step::NoMemory));
    share(Page::Outside.ipa());
    send(Event::Step(Step::Leaving));
}

/// One page stays shared, one private, and the guest goes away.
pub fn left_shared() {
    send(Event::Step(Step::Private));
    put(Page::A, GUEST_LAST);
    put(Page::B, GUEST_PRIVATE);
    send(Event::Step(Step::Shared));
    share(Page::A.ipa());
    host_loads(Page::A);
    send(Event::Step(Step::Leaving));
}

/// Pages given back: a private one, which the host then has; a shared one, which stays; one that is not there.
pub fn relinquish() {
    send(Event::Step(Step::Private));
    put(Page::A, GUEST_PRIVATE);
    put(Page::B, GUEST_SHARED);
    share(Page::B.ipa());
    send(Event::Step(Step::GivenBack));
    for page in [Page::A, Page::B, Page::C] {
        report_code(id::MEM_RELINQUISH, page.ipa(), 0, 0);
        host_loads(page);
    }
    // The host gives the page again; whatever it holds now is the host's.
    report(Page::A);
    report(Page::B);
    send(Event::Step(Step::Leaving));
}
