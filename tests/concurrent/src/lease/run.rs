//! Who schedules: `shuttle`.

use core::time::Duration;
use tenure_machine::step::{self, Kind};

pub(super) use tenure_host::modelled::begin_time;
pub(super) use tenure_machine::step::{draw, note, violation, wait};

/// Others may run here.
pub(super) fn primitive() {
    step::primitive(Kind::Access);
}

/// Time goes on.
pub(super) fn pass_time(by: Duration) {
    note("time passed");
    tenure_host::modelled::pass_time(by);
}
