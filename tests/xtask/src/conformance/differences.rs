//! Where our EL2 answers a guest differently from Linux's, on purpose.
//!
//! A difference that is listed and not seen is as wrong as one that is seen and not listed.

/// One deliberate difference.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Difference {
    /// The scenario of the test guest.
    pub(crate) scenario: &'static str,
    /// The step, or none: the whole scenario runs under one of the hosts only.
    pub(crate) step: Option<&'static str>,
    /// Why.
    pub(crate) reason: &'static str,
}

const fn step(scenario: &'static str, step: &'static str, reason: &'static str) -> Difference {
    Difference { scenario, step: Some(step), reason }
}

const fn one_host_only(scenario: &'static str, reason: &'static str) -> Difference {
    Difference { scenario, step: None, reason }
}

/// All of them.
pub(crate) const DIFFERENCES: &[Difference] = &[
    step("calls", "features", "relinquish is offered here and not by Linux: bit 9 is set"),
    step("calls", "one_granule", "ranges are offered here, so a count of 1 in x2 is a range; Linux reserves x2"),
    step("ranges", "range_blocked", "one call for the range refuses it whole; on Linux each page is its own call"),
    step("relinquish", "given_back", "relinquish is offered here and not by Linux"),
    one_host_only("syscall_touch", "our bare-metal host has no system calls whose access could be refused"),
    one_host_only("host_calls", "the host's own calls differ: Linux has private ones, Tenure a service of its own"),
    one_host_only("bench_ranges", "our host measures in a life that prints figures, no observations"),
];
