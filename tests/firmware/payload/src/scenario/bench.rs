//! What calls cost at EL2, in instructions: only where a counter tick is one.

use crate::guest::{Give, Guest};
use crate::life::{Life, Ticks};
use crate::report::{Check, case, claim, figure, figure_per, skip};
use tenure_test_protocol::layout::RANGE_PAGES;
use tenure_test_protocol::{Entry, Measure, Scenario};

/// Rounds: each gives a sample, the smallest counts, because an interrupt only adds.
const ROUNDS: u32 = 10;
/// The guest's own instruction in a measurement: the HVC.
const HVC: u64 = 1;

/// The smallest sample of each measure, and of the host's load that found its page unmapped.
struct Least {
    guest: [u64; Measure::ALL.len()],
    touch: u64,
}

pub(super) fn run() {
    if firmware_board::read_reg!("cntfrq_el0") != 1_000_000_000 {
        return skip(
            "bench",
            "the counter does not count instructions: run with -icount shift=0 and cntfrq=1000000000",
        );
    }
    case("bench_measures", measured());
}

fn measured() -> Check {
    let least = sample(Scenario::Bench, Give::Page)?;
    let floor = least.guest[Measure::Floor as usize] + HVC;
    for (what, name) in [
        (Measure::Share, "pkvm.el2_insns.mem_share.tenure"),
        (Measure::Unshare, "pkvm.el2_insns.mem_unshare.tenure"),
        (Measure::MemInfo, "pkvm.el2_insns.meminfo.tenure"),
    ] {
        let ticks = least.guest[what as usize];
        claim("a sample", ticks != u64::MAX, what as u64)?;
        figure(name, ticks.saturating_sub(floor), "insns");
    }
    let share = least.guest[Measure::Share as usize].saturating_sub(floor);
    figure("pkvm.el2_insns.host_touch.tenure", least.touch, "insns");
    figure("pkvm.el2_insns.share_plus_host_touch.tenure", share + least.touch, "insns");
    let ranges = sample(Scenario::BenchRanges, Give::Region)?;
    let floor = ranges.guest[Measure::Floor as usize] + HVC;
    for (what, name) in [
        (Measure::ShareRangeUniform, "pkvm.el2_insns.mem_share_512_per_page_uniform.tenure"),
        (Measure::ShareRangeMixed, "pkvm.el2_insns.mem_share_512_per_page_mixed.tenure"),
    ] {
        let ticks = ranges.guest[what as usize];
        claim("a sample", ticks != u64::MAX, what as u64)?;
        figure_per(name, ticks.saturating_sub(floor), RANGE_PAGES, "insns");
    }
    Ok(())
}

fn sample(scenario: Scenario, give: Give) -> Result<Least, crate::report::Wrong> {
    let guest = Guest::new(Entry { scenario, rounds: ROUNDS }, give)?;
    let mut least = Least { guest: [u64::MAX; Measure::ALL.len()], touch: u64::MAX };
    let mut measure = |ticks| match ticks {
        Ticks::Guest(what, ticks) => {
            let place = &mut least.guest[what as usize];
            *place = (*place).min(ticks);
        }
        Ticks::HostLoad(ticks) => least.touch = least.touch.min(ticks),
    };
    Life::new(&guest, None, &mut |_| Ok(()), &mut |_, _| {}, &mut measure).run()?;
    guest.destroy()?;
    Ok(least)
}
