//! The tracker's and the visibility store's figures: each a ratio of two things measured side by side in this run, medians of many samples.
//!
//! | figure | over |
//! |---|---|
//! | claim and commit of a uniform 1 GiB | a branch-free check and fill of 2 bits a page |
//! | a check and set of 8 bytes a page for 1 GiB | the same claim |
//! | claim and commit of one page, 128 RAM ranges | a bare compare-and-swap |
//! | two threads on regions far apart, and 2 MiB apart | one thread |
//! | the visibility store, file uniform | an interval map that joins neighbours |
//! | the interval map, 4,096 fragments | the visibility store |
//! | taking and dropping the lease of one page | a bare compare-and-swap |
//! | copying 2 MiB between two backings of this machine's kernel | the conversion of 2 MiB in place, on the provider |
//!
//! `sizes` as the argument prints what repeats exactly instead: the bytes that the store takes; `access` the cost of a lease, `copy`
//! the last of the table.
//!
//! The comparators are compiled for the baseline instruction set, like everything here.

mod access;
mod comparators;
mod conversion;
mod copy;
mod interval;
mod machine;
mod threads;
mod visibility;

use machine::{GIB_PAGES, Machine, RAM};
use std::hint::black_box;
use std::time::Instant;
use tenure_abi::{Gfn, PageSize, VmSlot};
use tenure_hyp::tracker::{Identity, Transition};

/// Samples of each figure; the median counts.
const SAMPLES: usize = 61;

/// The median time of one call of `work` in nanoseconds.
fn median(calls: u32, mut work: impl FnMut()) -> f64 {
    let mut times: Vec<f64> = (0..SAMPLES)
        .map(|_| {
            let start = Instant::now();
            (0..calls).for_each(|_| work());
            start.elapsed().as_secs_f64() * 1e9 / f64::from(calls)
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times[SAMPLES / 2]
}

fn figure(name: &str, value: f64, unit: &str) {
    println!("TENURE fig {name} {value:.2} {unit}");
}

fn main() {
    match std::env::args().nth(1).as_deref() {
        Some("sizes") => visibility::sizes(),
        Some("conversion") => conversion::times(),
        Some("access") => access::times(),
        Some("copy") => copy::times(),
        _ => times(),
    }
    println!("TENURE end");
}

fn times() {
    visibility::times();
    conversion::times();

    let claim = claim_1g();
    let fill = median(200, comparators::TwoBits::new().toggle());
    let scan = median(20, comparators::EightBytes::new().toggle());
    figure("tracker.claim_1g_over_2bit_fill", claim / fill, "ratio");
    figure("tracker.scan8_over_claim_1g", scan / claim, "ratio");
    figure("tracker.claim_1g", claim / 1000.0, "us");

    let page = claim_page();
    let cas = median(100_000, comparators::swap());
    figure("tracker.claim_page_over_cas", page / cas, "ratio");
    figure("tracker.claim_page", page, "ns");

    let one = threads::throughput(&[0]);
    figure("tracker.two_threads_over_one", threads::throughput(&[0, 64]) / one, "ratio");
    figure("tracker.two_threads_over_one_2m_apart", threads::throughput(&[0, 1]) / one, "ratio");
}

/// Shares a uniform GiB with the hypervisor and unshares it: two claims and commits, of which one is the figure.
fn claim_1g() -> f64 {
    let machine = Machine::new(1);
    let tracker = machine.tracker();
    let mut shared = false;
    median(200, || {
        let op = if shared { Transition::HostUnshareHyp } else { Transition::HostShareHyp };
        shared = !shared;
        match tracker.claim(black_box(op), machine::pfns(RAM, GIB_PAGES), Identity::NONE) {
            Ok(claim) => claim.commit(PageSize::Size2M),
            Err(refused) => unreachable!("{refused:?}"),
        }
    })
}

/// One page of a guest, in a mixed region, on a machine whose memory map has 128 ranges.
fn claim_page() -> f64 {
    let machine = Machine::new(128);
    let tracker = machine.tracker();
    let slot = VmSlot::new(5).expect("a slot");
    let gfn = |i: u64| Gfn::new(0x1000 + i).expect("a gfn");
    let given = tracker.claim(Transition::HostDonateGuest, machine::pfns(RAM, 64), identity(slot, gfn(0)));
    given.expect("the host's own pages").commit(PageSize::Size4K);
    let mut i = 0;
    median(100_000, || {
        i += 1;
        // Share eight pages in turn, then unshare them.
        let op = if i & 8 == 0 { Transition::GuestUnshareHost } else { Transition::GuestShareHost };
        let page = i & 7;
        if let Some(claim) =
            tracker.claim_entry(op, machine::pfn(RAM + page), PageSize::Size4K, identity(slot, gfn(page)))
        {
            claim.commit();
        }
    })
}

fn identity(slot: VmSlot, gfn: Gfn) -> Identity {
    Identity::guest(slot, gfn).expect("a gfn of 48 bits")
}
