//! The host goes behind the guest's back.

use crate::calls::{share, unshare};
use crate::io::{host_loads, put, report, send};
use tenure_test_protocol::layout::{GUEST_PRIVATE, GUEST_SHARED};
use tenure_test_protocol::{Event, Page, Step};

/// The host's kernel reads the page on behalf of a system call.
pub fn syscall_touch() {
    let page = Page::A;
    send(Event::Step(Step::Private));
    put(page, GUEST_PRIVATE);
    send(Event::HostSyscall(page.ipa()));
    host_loads(page);
    report(page);
    send(Event::Step(Step::Shared));
    share(page.ipa());
    send(Event::HostSyscall(page.ipa()));
    send(Event::Step(Step::PrivateAgain));
    unshare(page.ipa());
    send(Event::HostSyscall(page.ipa()));
    report(page);
    send(Event::Step(Step::Leaving));
}

/// The host takes a private page by force; the guest's next touch is its last.
pub fn forced_reclaim() {
    let page = Page::A;
    send(Event::Step(Step::Private));
    put(page, GUEST_PRIVATE);
    send(Event::Step(Step::ForcedOut));
    send(Event::ForceOut(page.ipa()));
    host_loads(page);
    send(Event::Step(Step::Poisoned));
    share(page.ipa());
    unshare(page.ipa());
    report(page);
    send(Event::Step(Step::Leaving));
}

/// The host tries its own calls on a private and on a shared page of a living guest.
pub fn host_calls() {
    send(Event::Step(Step::Private));
    put(Page::A, GUEST_PRIVATE);
    put(Page::B, GUEST_SHARED);
    send(Event::Step(Step::Shared));
    share(Page::B.ipa());
    send(Event::Step(Step::HostTries));
    send(Event::HostCalls);
    report(Page::A);
    report(Page::B);
    send(Event::Step(Step::PrivateAgain));
    unshare(Page::B.ipa());
    send(Event::Step(Step::Leaving));
}
