//! Threads that work on regions of their own, near and far.

use crate::machine::{Machine, RAM, pfns};
use std::sync::Barrier;
use std::time::Instant;
use tenure_abi::PageSize;
use tenure_hyp::tracker::{Identity, Transition};

const CLAIMS: u32 = 200_000;
const RUNS: usize = 15;

/// Claims per second, all threads together; one thread a region, by the region's number. The best of several runs: a machine
/// that is busy with other things can only be slower.
pub(crate) fn throughput(regions: &[u64]) -> f64 {
    (0..RUNS).map(|_| once(regions)).fold(0.0, f64::max)
}

fn once(regions: &[u64]) -> f64 {
    let machine = Machine::new(1);
    let barrier = Barrier::new(regions.len());
    std::thread::scope(|scope| {
        let work = |region| {
            let (machine, barrier) = (&machine, &barrier);
            scope.spawn(move || {
                barrier.wait();
                let start = Instant::now();
                work(machine, region);
                f64::from(CLAIMS) / start.elapsed().as_secs_f64()
            })
        };
        let threads: Vec<_> = regions.iter().map(|&region| work(region)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap_or(0.0)).sum()
    })
}

fn work(machine: &Machine, region: u64) {
    let frames = pfns(RAM + region * 512, 512);
    for i in 0..CLAIMS {
        let op = if i & 1 == 0 { Transition::HostShareHyp } else { Transition::HostUnshareHyp };
        match machine.tracker().claim(op, frames, Identity::NONE) {
            Ok(claim) => claim.commit(PageSize::Size2M),
            Err(refused) => unreachable!("{refused:?}"),
        }
    }
}
