//! What the calls cost at EL2: instructions, where the machine runs one tick an instruction.
//!
//! The guest reads its counter, calls, reads it again. Of the difference, two instructions are not the
//! hypervisor's: the HVC, and the reading that ends it, which the floor measures.

use crate::life::{Backing, Host, Life, Machine};
use tenure_test_protocol::{Measure, Scenario};

/// Ticks per second of a machine that runs one tick an instruction.
const ONE_TICK_AN_INSTRUCTION: u64 = 1_000_000_000;
/// The HVC itself is executed by the guest.
const HVC: u64 = 1;

/// Measures and prints; a machine whose ticks are not instructions is said so.
pub fn run(host: &Host) -> Result<(), String> {
    let life = Machine::new(host, true, Backing::Client, Scenario::Bench)?.live();
    if life.rate != ONE_TICK_AN_INSTRUCTION {
        println!("TENURE case linux_ticks_are_instructions skip the machine has {} ticks per second", life.rate);
        return Ok(());
    }
    for (what, name) in
        [(Measure::Share, "mem_share"), (Measure::Unshare, "mem_unshare"), (Measure::MemInfo, "meminfo")]
    {
        match instructions(&life, what) {
            Some(count) => println!("TENURE fig pkvm.el2_insns.{name}.linux {count} insns"),
            None => println!("TENURE case linux_measures_{name} fail the guest reported no measurement"),
        }
    }
    Ok(())
}

/// EL2 instructions of one call: the smallest of the repeats, because an interrupt only adds.
fn instructions(life: &Life, what: Measure) -> Option<u64> {
    let least = |what| life.ticks.iter().filter(|(of, _)| *of == what).map(|&(_, ticks)| ticks).min();
    least(what)?.checked_sub(least(Measure::Floor)? + HVC)
}
