//! Private, shared, private again: the page stays where it is, and so does what is in it.

use crate::calls::{share, unshare};
use crate::io::{host_loads, host_stores, put, report, send};
use tenure_test_protocol::layout::{GUEST_LAST, GUEST_PRIVATE, GUEST_SHARED};
use tenure_test_protocol::{Event, Page, Step};

pub fn run() {
    let page = Page::A;
    send(Event::Step(Step::Private));
    report(page);
    put(page, GUEST_PRIVATE);
    host_loads(page);
    host_stores(page);
    report(page);

    send(Event::Step(Step::Shared));
    share(page.ipa());
    host_loads(page);
    // Written after sharing: only a host that reads this very frame can see it.
    put(page, GUEST_SHARED);
    host_loads(page);
    host_stores(page);
    report(page);
    put(page, GUEST_LAST);
    host_loads(page);

    send(Event::Step(Step::PrivateAgain));
    unshare(page.ipa());
    host_loads(page);
    host_stores(page);
    report(page);
    send(Event::Step(Step::Leaving));
}
