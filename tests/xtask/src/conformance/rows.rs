//! The rows of the behaviour tables that this project claims, and which evidence counts for each.

/// Whether a host of test guests has to speak of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// It cannot: the host offers no way to show it.
    No,
    /// It counts when shown, and is not missed.
    IfShown,
    /// It must.
    Yes,
}

/// One row.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    /// Its id in the tables.
    pub(crate) id: &'static str,
    /// Parts of the paths of hosted tests that show it; each must match at least one test.
    pub(crate) model: &'static [&'static str],
    /// Our firmware image.
    pub(crate) el2: Wanted,
    /// The real kernel.
    pub(crate) linux: Wanted,
}

const fn row(id: &'static str, model: &'static [&'static str], el2: Wanted, linux: Wanted) -> Row {
    Row { id, model, el2, linux }
}

use Wanted::{IfShown, No, Yes};

/// pKVM's transitions. Pins and donations to the hypervisor have no call on Linux, and unprotected guests are not
/// part of the real runs.
pub(crate) const ROWS: &[Row] = &[
    row("PK-01", &["host_share_hyp"], Yes, IfShown),
    row("PK-02", &["host_unshare_hyp"], Yes, IfShown),
    row("PK-03", &["hyp_pin"], IfShown, No),
    row("PK-04", &["hyp_unpin"], IfShown, No),
    row("PK-05", &["host_donate_hyp"], IfShown, No),
    row("PK-06", &["hyp_donate_host"], IfShown, No),
    row("PK-09", &["host_share_guest"], Yes, No),
    row("PK-10", &["host_unshare_guest"], Yes, No),
    row("PK-11", &["host_donate_guest"], Yes, Yes),
    row("PK-12", &["guest_share_host"], Yes, Yes),
    row("PK-13", &["guest_unshare_host"], Yes, Yes),
    row("PK-14", &["reclaim_dying"], Yes, Yes),
    row("PK-15", &["force_reclaim"], Yes, Yes),
    row("PK-16", &["poison"], Yes, Yes),
    row("PK-25", &["relinquish"], Yes, No),
];
