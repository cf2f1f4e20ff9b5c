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
];
