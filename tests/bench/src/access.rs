//! What an access to guest memory costs that a conversion must wait for: taking the lease of one page and dropping it, over
//! a bare compare-and-swap.

use crate::{comparators, figure, median};
use std::hint::black_box;
use tenure_abi::{FrameRange, Gfn};
use tenure_host::lease::Leases;

/// Prints the figures. The last is what is judged: it is at most 1 if an access costs at most 20 ns, or at most 8 swaps.
pub(crate) fn times() {
    let leases = Leases::new();
    let mut page = 0;
    let access = median(100_000, || {
        page = (page + 1) & 0x3ff;
        let gfn = Gfn::new(0x10_0000 + page).expect("a frame");
        drop(black_box(leases.access(black_box(FrameRange::single(gfn)))).expect("nobody revokes"));
    });
    let cas = median(100_000, comparators::swap());
    figure("gmem.access_take_drop", access, "ns");
    figure("gmem.access_over_cas", access / cas, "ratio");
    figure("gmem.access_over_limit", (access / 20.0).min(access / cas / 8.0), "ratio");
}
