//! The rows of `guest_memfd`, and which targets have to show each.
//!
//! Every target speaks of every row: it holds, it does not, or it does not apply there and why. Beyond that a row is
//! *demanded* of the targets listed here; what another one shows counts, and is not missed.

use super::gmem::Target;
use Target::{Here, Pkvm, Stock};

/// The prefix of the client's rows.
pub(super) const CLIENT: &str = "CL";

/// Some rows in sequence, of which the same is demanded.
pub(super) struct Rows {
    /// What comes before the number: `GM` for the kernel's rows, `CL` for those of the client over it.
    pub(super) prefix: &'static str,
    /// Number of the first.
    pub(super) first: u16,
    /// Number of the last.
    pub(super) last: u16,
    /// The personalities of the provider that show them.
    pub(super) provider: &'static [&'static str],
    /// The real kernels that show them.
    pub(super) real: &'static [Target],
    /// Where nothing is demanded: why.
    pub(super) because: &'static str,
}

const fn rows(first: u16, last: u16, provider: &'static [&'static str], real: &'static [Target]) -> Rows {
    Rows { prefix: "GM", first, last, provider, real, because: "" }
}

const fn not_here(first: u16, last: u16, because: &'static str) -> Rows {
    Rows { prefix: "GM", first, last, provider: &[], real: &[], because }
}

/// Conversion in place as posted last; the final form of the content modes.
const LAST: &[&str] = &["v8"];
/// The only posting with content modes whose ioctl is the file's alone.
const MODES: &[&str] = &["rfc-v5"];
/// Both postings with the ioctl.
const SERIES: &[&str] = &["rfc-v5", "v8"];
/// Kernels without it.
const RELEASED: &[&str] = &["6.8", "6.11", "6.18", "7.3"];
/// Every personality.
const ALL: &[&str] = &super::gmem::PERSONALITIES;
/// Those whose files can be mapped.
const MAPPED: &[&str] = &["6.18", "7.3", "rfc-v5", "v8"];
/// Those that prefault.
const PREFAULT: &[&str] = &["6.11", "6.18", "7.3", "rfc-v5", "v8"];

const REAL: &[Target] = &[Here, Stock];
const QEMU: &[Target] = &[Stock];
const EVERY_KERNEL: &[Target] = &[Here, Stock, Pkvm];
const WITH_PRIVATE: &[Target] = &[Stock, Pkvm];
/// No released kernel converts in place; one from a supplied tree counts when it is there.
const NONE: &[Target] = &[];

const SNP: &str = "needs SEV-SNP hardware";
const NUMA: &str = "needs two NUMA nodes and a kernel with policies for these files";

/// All of them, in order.
const fn client(number: u16, real: &'static [Target]) -> Rows {
    Rows { prefix: CLIENT, first: number, last: number, provider: ALL, real, because: "" }
}

pub(super) const ROWS: &[Rows] = &[
    rows(1, 11, LAST, NONE),
    rows(12, 14, MODES, NONE),
    not_here(15, 17, SNP),
    rows(18, 19, MODES, NONE),
    not_here(20, 20, SNP),
    rows(21, 24, LAST, NONE),
    not_here(25, 25, "only a predecessor of 2025 has attributes of files and of VMs at once"),
    rows(26, 26, LAST, NONE),
    not_here(27, 29, SNP),
    rows(30, 30, RELEASED, REAL),
    not_here(31, 31, "a kernel with the series whose parameter is off counts as one without: GM-30"),
    rows(32, 40, SERIES, NONE),
    rows(41, 41, LAST, NONE),
    rows(42, 45, ALL, REAL),
    rows(46, 48, MAPPED, REAL),
    rows(49, 50, ALL, REAL),
    not_here(51, 52, NUMA),
    rows(53, 53, MAPPED, REAL),
    rows(54, 62, ALL, REAL),
    rows(63, 64, MAPPED, REAL),
    rows(65, 65, ALL, REAL),
    // From here to 84 the guest reaches the file by itself: the kernel needs nested paging, and private memory.
    rows(66, 73, ALL, QEMU),
    rows(74, 74, ALL, REAL),
    rows(75, 76, RELEASED, QEMU),
    rows(77, 77, SERIES, NONE),
    not_here(78, 78, "no kernel has such a state: a slot without a file has nothing that could be private"),
    rows(79, 84, PREFAULT, QEMU),
    rows(85, 85, PREFAULT, REAL),
    not_here(86, 86, "needs SEV-SNP or TDX hardware"),
    rows(87, 95, ALL, REAL),
    rows(96, 107, MAPPED, REAL),
    client(1, EVERY_KERNEL),
    client(2, EVERY_KERNEL),
    // A kernel whose VMs have no private memory converts nothing.
    client(3, WITH_PRIVATE),
    client(4, QEMU),
    client(5, QEMU),
    client(6, EVERY_KERNEL),
    client(7, REAL),
    client(8, QEMU),
    // Where other programs run too nobody can say what backs what.
    client(9, QEMU),
    client(10, EVERY_KERNEL),
    // The provider's guests take turns.
    Rows { prefix: CLIENT, first: 11, last: 11, provider: &[], real: QEMU, because: "" },
    Rows { prefix: CLIENT, first: 12, last: 12, provider: &[], real: REAL, because: "" },
];

#[cfg(test)]
mod tests {
    use super::super::gmem::PERSONALITIES;
    use super::*;

    #[test]
    fn every_row_is_listed_once_in_order() {
        for (prefix, last) in [("GM", 107), ("CL", 12)] {
            let rows = ROWS.iter().filter(|rows| rows.prefix == prefix);
            let numbers: Vec<_> = rows.flat_map(|rows| rows.first..=rows.last).collect();
            assert_eq!(numbers, (1..=last).collect::<Vec<_>>());
        }
    }

    #[test]
    fn what_nobody_has_to_show_has_a_reason_and_nothing_else_has() {
        for rows in ROWS {
            assert_eq!(rows.because.is_empty(), !(rows.provider.is_empty() && rows.real.is_empty()), "{}", rows.first);
            assert!(rows.provider.iter().all(|name| PERSONALITIES.contains(name)), "{}", rows.first);
        }
    }
}
