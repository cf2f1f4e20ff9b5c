//! A guest that gives pages back: row PK-25.

use super::guest_lives::expecting;
use crate::report::row;
use tenure_test_protocol::layout::{GUEST_SHARED, HOST_LEFT_C};
use tenure_test_protocol::{Event, Observation, Page, Scenario, Step};

pub(super) fn run() {
    let x0 = |value: i64| Observation::Guest(Event::Reply { register: 0, value: value.cast_unsigned() });
    let wanted = [
        (Step::GivenBack, x0(0)),
        (Step::GivenBack, Observation::HostLoad(Page::A.ipa(), Ok(0))),
        (Step::GivenBack, x0(-3)),
        (Step::GivenBack, Observation::HostLoad(Page::B.ipa(), Ok(GUEST_SHARED))),
        (Step::GivenBack, x0(0)),
        (Step::GivenBack, Observation::HostLoad(Page::C.ipa(), Ok(HOST_LEFT_C))),
        (Step::GivenBack, Observation::Guest(Event::Value(0))),
        (Step::GivenBack, Observation::Guest(Event::Value(GUEST_SHARED))),
    ];
    row("PK-25", "a private page comes back zeroed, a shared one is kept", expecting(Scenario::Relinquish, &wanted));
}
