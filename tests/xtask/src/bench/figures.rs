//! The table of figures: which ones must be in it, how a line looks, and which limits hold.

use crate::json;
use crate::report::Case;
use crate::transcript::Figure;

/// A figure, or why there is none.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Reading {
    /// Its name; for an absent one also the first or last part of the names of all that are absent for that reason.
    name: String,
    value: Result<(f64, String), Absent>,
}

/// Why a figure is absent.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Absent {
    /// The machine cannot measure it.
    Here(String),
    /// It should have been measured.
    Broken(String),
}

impl Absent {
    fn reason(&self) -> &str {
        let (Self::Here(reason) | Self::Broken(reason)) = self;
        reason
    }
}

/// The figures that people and checks rely on, in the order of the table.
const NAMES: &[&str] = &[
    "pkvm.el2_insns.mem_share.tenure",
    "pkvm.el2_insns.mem_share.linux",
    "pkvm.el2_insns.mem_unshare.tenure",
    "pkvm.el2_insns.mem_unshare.linux",
    "pkvm.el2_insns.share_plus_host_touch.tenure",
    "pkvm.el2_insns.mem_share_512_per_page_uniform.tenure",
    "pkvm.el2_insns.mem_share_512_per_page_mixed.tenure",
    "pkvm.tlbi.mem_share.tenure",
    "pkvm.tlbi.mem_share.linux",
    "pkvm.dsb.mem_share.tenure",
    "pkvm.dsb.mem_share.linux",
    "pkvm.tlbi.mem_unshare.tenure",
    "pkvm.tlbi.mem_unshare.linux",
    "pkvm.dsb.mem_unshare.tenure",
    "pkvm.dsb.mem_unshare.linux",
    "tracker.claim_1g_over_2bit_fill",
    "tracker.scan8_over_claim_1g",
    "tracker.claim_page_over_cas",
    "tracker.two_threads_over_one",
    "tracker.two_threads_over_one_2m_apart",
    "gmem.store_uniform_over_btree",
    "gmem.btree_over_store_fragmented",
    "gmem.store_bytes_1t_uniform",
    "gmem.store_bytes_1t_worst",
    "gmem.access_over_cas",
    "gmem.access_take_drop",
    "gmem.access_over_limit",
    "gmem.copy_over_inplace_2m",
    "gmem.client_over_bare_ioctls",
    "gmem.client_over_bare_ioctls_in_use_1",
    "gmem.client_over_bare_ioctls_in_use_512",
    "gmem.client_leases_over_bare_ioctls_in_use_1",
    "gmem.client_leases_over_bare_ioctls_in_use_512",
    "size.metadata_bytes_per_page_uniform",
    "size.metadata_bytes_per_page_worst",
    "size.hyp_text_bytes_aarch64",
    "size.panic_paths",
];

/// What a figure has to be.
struct Limit {
    name: &'static str,
    relation: Relation,
    value: f64,
}

#[derive(Clone, Copy)]
enum Relation {
    AtMost,
    AtLeast,
    Exactly,
}

const fn at_most(name: &'static str, value: f64) -> Limit {
    Limit { name, relation: Relation::AtMost, value }
}

const fn at_least(name: &'static str, value: f64) -> Limit {
    Limit { name, relation: Relation::AtLeast, value }
}

const fn exactly(name: &'static str, value: f64) -> Limit {
    Limit { name, relation: Relation::Exactly, value }
}

/// With the branch-history mitigation that Linux applies on this core.
const LIMITS: &[Limit] = &[
    at_most("pkvm.el2_insns.mem_share.tenure", 300.0),
    exactly("pkvm.tlbi.mem_share.tenure", 0.0),
    exactly("pkvm.dsb.mem_share.tenure", 0.0),
    at_most("pkvm.el2_insns.mem_unshare.tenure", 400.0),
    exactly("pkvm.tlbi.mem_unshare.tenure", 2.0),
    at_most("pkvm.el2_insns.share_plus_host_touch.tenure", 800.0),
    at_most("pkvm.el2_insns.mem_share_512_per_page_uniform.tenure", 1.0),
    at_most("pkvm.el2_insns.mem_share_512_per_page_mixed.tenure", 7.0),
    at_most("size.metadata_bytes_per_page_worst", 8.02),
    at_most("size.hyp_text_bytes_aarch64", 20480.0),
    exactly("size.panic_paths", 0.0),
    at_most("gmem.store_bytes_1t_uniform", 65_536.0),
    at_most("gmem.store_bytes_1t_worst", 34_603_008.0),
    // Times too, and as far from the limit; what is compared stands in `tests/bench/src/copy.rs`.
    at_least("gmem.copy_over_inplace_2m", 100.0),
    // Instructions, of the worse of one page and 512, with and without leases.
    at_most("gmem.client_over_bare_ioctls", 1.05),
    // A time, but far from its limit: two atomic operations where eight are allowed, or 20 ns where those are slow.
    at_most("gmem.access_over_limit", 1.0),
];

/// Ratios of times. What else the machine does can move them, so only the table of figures is judged by them, not a test run.
const TIMED_LIMITS: &[Limit] =
    &[at_most("gmem.store_uniform_over_btree", 1.0), at_least("gmem.btree_over_store_fragmented", 10.0)];

impl Reading {
    /// A measured figure.
    pub(crate) fn measured(figure: &Figure) -> Self {
        Self { name: figure.name.clone(), value: Ok((figure.value, figure.unit.clone())) }
    }

    /// A count.
    #[expect(clippy::cast_precision_loss, reason = "counts of bytes and instructions are far below 2^52")]
    pub(crate) fn count(name: &str, value: u64, unit: &str) -> Self {
        Self { name: name.to_owned(), value: Ok((value as f64, unit.to_owned())) }
    }

    /// One count over another.
    #[expect(clippy::cast_precision_loss, reason = "as above")]
    pub(crate) fn ratio(name: &str, value: u64, over: u64, unit: &str) -> Self {
        Self { name: name.to_owned(), value: Ok((value as f64 / over as f64, unit.to_owned())) }
    }

    /// No figure of this name, or none whose name begins or ends with this part: the machine cannot measure it.
    pub(crate) fn missing(name: &str, reason: &str) -> Self {
        Self { name: name.to_owned(), value: Err(Absent::Here(first_line(reason))) }
    }

    /// The same, but it should have been measured: what it has to keep below counts as not kept.
    pub(crate) fn broken(name: &str, reason: &str) -> Self {
        Self { name: name.to_owned(), value: Err(Absent::Broken(first_line(reason))) }
    }

    /// The line for people.
    pub(crate) fn text(&self) -> String {
        match &self.value {
            Ok((value, unit)) => format!("{} {} {unit}", self.name, number(*value)),
            Err(absent) => format!("{} skip {}", self.name, absent.reason()),
        }
    }

    /// The line for programs.
    pub(crate) fn json(&self) -> String {
        let mut fields = vec![("name", json::string(&self.name))];
        match &self.value {
            Ok((value, unit)) => fields.extend([("value", number(*value)), ("unit", json::string(unit))]),
            Err(absent) => fields.push(("skip", json::string(absent.reason()))),
        }
        json::object(&fields)
    }

    /// Whether this, as a missing part, speaks for the figure `name`.
    fn covers(&self, name: &str) -> bool {
        self.value.is_err() && (name.starts_with(&self.name) || name.ends_with(&self.name))
    }
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}

/// Whole numbers without a fraction, others with up to four digits of one.
fn number(value: f64) -> String {
    let text = format!("{value:.4}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Every figure that must be there, measured or with its reason, then whatever else was measured.
pub(crate) fn table(readings: &[Reading]) -> Vec<Reading> {
    let mut lines: Vec<_> = NAMES.iter().map(|name| find(readings, name)).collect();
    lines.extend(readings.iter().filter(|one| one.value.is_ok() && !NAMES.contains(&one.name.as_str())).cloned());
    lines
}

/// The figure of this name; an absent one takes its reason from whatever speaks for it.
fn find(readings: &[Reading], name: &str) -> Reading {
    let found = readings.iter().find(|one| one.name == name).or_else(|| readings.iter().find(|one| one.covers(name)));
    let absent = || Reading::broken(name, "nothing in this checkout measures it");
    found.map_or_else(absent, |one| Reading { name: name.to_owned(), value: one.value.clone() })
}

/// One case for each limit that holds on every machine.
pub(crate) fn limits(readings: &[Reading]) -> Vec<Case> {
    judge(readings, LIMITS)
}

/// One case for each limit of a ratio of times.
pub(crate) fn timed_limits(readings: &[Reading]) -> Vec<Case> {
    judge(readings, TIMED_LIMITS)
}

fn judge(readings: &[Reading], limits: &[Limit]) -> Vec<Case> {
    let judge = |limit: &Limit| {
        let (relation, holds): (_, fn(f64, f64) -> bool) = match limit.relation {
            Relation::AtMost => ("at_most", |is, limit| is <= limit),
            Relation::AtLeast => ("at_least", |is, limit| is >= limit),
            Relation::Exactly => ("is", |is, limit| number(is) == number(limit)),
        };
        let name = format!("{}_{relation}_{}", limit.name, number(limit.value));
        match find(readings, limit.name).value {
            Err(Absent::Here(reason)) => Case::skip(name, reason),
            Err(Absent::Broken(reason)) => Case::fail(name, reason),
            Ok((value, _)) if holds(value, limit.value) => Case::pass(name),
            Ok((value, _)) => Case::fail(name, format!("it is {}", number(value))),
        }
    };
    limits.iter().map(judge).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Verdict;

    #[test]
    fn a_missing_part_gives_its_reason_to_every_figure_of_it() {
        let readings =
            [Reading::count("pkvm.el2_insns.mem_share.tenure", 238, "insns"), Reading::missing("linux", "no kernel")];
        let lines: Vec<_> = table(&readings).iter().map(Reading::text).collect();
        assert_eq!(lines[0], "pkvm.el2_insns.mem_share.tenure 238 insns");
        assert_eq!(lines[1], "pkvm.el2_insns.mem_share.linux skip no kernel");
        assert_eq!(lines.len(), NAMES.len());
    }

    #[test]
    fn a_figure_beside_the_list_is_kept() {
        let table = table(&[Reading::ratio("pkvm.ratio", 1, 8, "x")]);
        assert_eq!(table.last().map(Reading::text).as_deref(), Some("pkvm.ratio 0.125 x"));
    }

    #[test]
    fn limits_judge_what_was_measured_and_what_should_have_been() {
        let readings = [
            Reading::count("pkvm.el2_insns.mem_share.tenure", 301, "insns"),
            Reading::missing("pkvm.tlbi.mem_share.tenure", "no QEMU"),
            Reading::count("pkvm.tlbi.mem_unshare.tenure", 2, "tlbi"),
        ];
        let cases = limits(&readings);
        assert_eq!(cases[0], Case::fail("pkvm.el2_insns.mem_share.tenure_at_most_300", "it is 301"));
        assert_eq!(cases[4], Case::pass("pkvm.tlbi.mem_unshare.tenure_is_2"));
        assert_eq!(cases[1], Case::skip("pkvm.tlbi.mem_share.tenure_is_0", "no QEMU"));
        assert!(matches!(cases[2].verdict, Verdict::Fail(_)), "a figure that nothing measures is not kept");
    }

    #[test]
    fn a_ratio_of_times_may_have_to_be_at_least_something() {
        let ratio = |value| [Reading::count("gmem.btree_over_store_fragmented", value, "ratio")];
        let judged = |value| timed_limits(&ratio(value)).remove(1);
        assert_eq!(judged(9), Case::fail("gmem.btree_over_store_fragmented_at_least_10", "it is 9"));
        assert_eq!(judged(10), Case::pass("gmem.btree_over_store_fragmented_at_least_10"));
    }

    #[test]
    fn numbers_have_no_needless_digits() {
        assert_eq!([number(300.0), number(8.015_625), number(0.0)], ["300", "8.0156", "0"]);
    }
}
