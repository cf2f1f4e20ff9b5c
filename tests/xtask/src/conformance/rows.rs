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

/// What shows every transition in every state: the tracker's own matrix, and the specification beside it.
const MATRIX: &str = "every_transition_is_allowed_or_refused_as_its_row_says";
const REFUSED: &str = "a_refused_transition_changes_nothing";
const LOCK_STEP: &str = "tracker_in_lock_step";
/// Counters of pins and mappings end in an error, not at zero.
const COUNTERS: &str = "counters_stop_at_their_maximum";
const BASE: &[&str] = &[MATRIX, REFUSED, LOCK_STEP];
const COUNTED: &[&str] = &[MATRIX, REFUSED, LOCK_STEP, COUNTERS];

/// pKVM's transitions. Pins and donations to the hypervisor have no call on Linux, and unprotected guests are not part
/// of the real runs.
pub(crate) const ROWS: &[Row] = &[
    row("PK-01", BASE, Yes, IfShown),
    row("PK-02", BASE, Yes, IfShown),
    row("PK-03", COUNTED, IfShown, No),
    row("PK-04", COUNTED, IfShown, No),
    row("PK-05", BASE, IfShown, No),
    row("PK-06", BASE, IfShown, No),
    row("PK-09", COUNTED, Yes, No),
    row("PK-10", BASE, Yes, No),
    row("PK-11", BASE, Yes, Yes),
    row("PK-12", BASE, Yes, Yes),
    row("PK-13", BASE, Yes, Yes),
    row("PK-14", &[MATRIX, REFUSED, LOCK_STEP, "only_a_page_its_guest_had_shared_comes_back_unscrubbed"], Yes, Yes),
    row("PK-15", &[MATRIX, REFUSED, LOCK_STEP, "a_burnt_address_refuses_everything_but_reclaim"], Yes, Yes),
    // A query of the guest's stage-2: the tracker has no part in it.
    row("PK-16", &["a_poisoned_page_stays_poisoned"], Yes, Yes),
    row("PK-25", &[MATRIX, REFUSED, LOCK_STEP, "relinquish_gives_only_what_the_guest_has_to_itself"], Yes, No),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_listed_once_and_asks_for_evidence() {
        for (at, row) in ROWS.iter().enumerate() {
            assert!(ROWS.iter().skip(at + 1).all(|other| other.id != row.id), "{}", row.id);
            assert!(!row.model.is_empty(), "{}", row.id);
        }
    }
}
