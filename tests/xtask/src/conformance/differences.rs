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

/// All of them.
pub(crate) const DIFFERENCES: &[Difference] = &[
    Difference {
        scenario: "syscall_touch",
        step: None,
        reason: "our bare-metal host has no system calls whose access could be refused",
    },
    Difference {
        scenario: "host_calls",
        step: None,
        reason: "the host's own calls differ: Linux has private ones, Tenure a service of its own",
    },
    Difference { scenario: "calls", step: Some("features"), reason: "Tenure offers MEM_RELINQUISH too (bit 9)" },
    Difference {
        scenario: "calls",
        step: Some("one_granule"),
        reason: "ranges: x2 is a number of granules, so 1 is the page; Linux 7.3 wants 0 there",
    },
    Difference {
        scenario: "ranges",
        step: Some("range_blocked"),
        reason: "ranges: a contiguous run is converted whole or not at all; page by page stops at the first refusal",
    },
    Difference {
        scenario: "relinquish",
        step: Some("given_back"),
        reason: "MEM_RELINQUISH is not offered by Linux 7.3: every call answers NOT_SUPPORTED and changes nothing",
    },
    Difference {
        scenario: "bench_ranges",
        step: None,
        reason: "a measurement of ranges, which Linux 7.3 does not offer",
    },
];
