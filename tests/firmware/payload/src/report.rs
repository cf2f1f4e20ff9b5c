//! The lines the runner reads. All else on the UART is noise to it.

use core::fmt::{self, Write};
use core::sync::atomic::{AtomicU64, Ordering};
use firmware_board::{exit, uart};

/// What was seen instead of what was expected.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wrong {
    /// Which expectation.
    pub(crate) what: &'static str,
    /// The value seen.
    pub(crate) seen: u64,
}

/// What a check comes to.
pub(crate) type Check = Result<(), Wrong>;

/// Holds if `seen` is `expected`.
pub(crate) fn equal(what: &'static str, seen: u64, expected: u64) -> Check {
    if seen == expected { Ok(()) } else { Err(Wrong { what, seen }) }
}

/// Holds if `holds`; `seen` says more if not.
pub(crate) fn claim(what: &'static str, holds: bool, seen: u64) -> Check {
    if holds { Ok(()) } else { Err(Wrong { what, seen }) }
}

static FAILED: AtomicU64 = AtomicU64::new(0);

/// One whole line.
pub(crate) fn line(text: fmt::Arguments<'_>) {
    // The port accepts everything.
    let _ = writeln!(uart::PORT.lock(), "{text}");
}

/// The outcome of one case.
pub(crate) fn case(name: impl fmt::Display, outcome: Check) {
    match outcome {
        Ok(()) => line(format_args!("TENURE case {name} pass")),
        Err(Wrong { what, seen }) => {
            FAILED.fetch_add(1, Ordering::Relaxed);
            line(format_args!("TENURE case {name} fail {what}: saw {seen:#x}"));
        }
    }
}

/// The outcome of one behaviour row: `shown` says what was done.
pub(crate) fn row(id: &str, shown: &str, outcome: Check) {
    match outcome {
        Ok(()) => line(format_args!("TENURE row {id} pass {shown}")),
        Err(Wrong { what, seen }) => {
            FAILED.fetch_add(1, Ordering::Relaxed);
            line(format_args!("TENURE row {id} fail {shown}: {what}: saw {seen:#x}"));
        }
    }
}

/// A case that cannot run here.
pub(crate) fn skip(name: &str, reason: &str) {
    line(format_args!("TENURE case {name} skip {reason}"));
}

/// A figure.
pub(crate) fn figure(name: &str, value: u64, unit: &str) {
    line(format_args!("TENURE fig {name} {value} {unit}"));
}

/// A figure divided by a number of pages, to two decimals.
pub(crate) fn figure_per(name: &str, value: u64, pages: u64, unit: &str) {
    let hundredths = value * 100 / pages;
    line(format_args!("TENURE fig {name} {}.{:02} {unit}", hundredths / 100, hundredths % 100));
}

/// The program came to its end: exit code 0 if every case passed.
pub(crate) fn end() -> ! {
    line(format_args!("TENURE end"));
    exit::exit(if FAILED.load(Ordering::Relaxed) == 0 { exit::PASS } else { exit::FAIL })
}
