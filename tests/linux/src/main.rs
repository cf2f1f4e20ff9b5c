//! `/init` of a Linux kernel with pKVM: creates many VMs, runs the test guest in each, and says what was seen.
//!
//! | module | what |
//! |---|---|
//! | [`system`] | being process 1: mounts, the kernel's command line, the end |
//! | [`probe`] | loads and stores that survive a fault |
//! | [`touch`] | other ways in which a host gets at a page |
//! | [`life`] | one VM from its first to its last instruction, and what was observed |
//! | [`host_calls`] | the host kernel's own hypercalls, on the one kernel whose numbers are known |
//! | [`checks`] | what must have been observed, as cases and rows |
//! | [`figures`] | what the calls cost |
//! | [`demo`] | the facts of the main job |
//!
//! Output is lines that begin with `TENURE`; the last one is `TENURE end`.

mod checks;
mod demo;
mod figures;
mod host_calls;
mod life;
mod probe;
mod system;
mod touch;

use tenure_host::linux::Kvm;

fn main() {
    system::prepare();
    probe::catch_faults();
    match run() {
        Ok(()) => println!("TENURE end"),
        Err(why) => println!("TENURE case linux_runs fail {why}"),
    }
    system::power_off();
}

/// Everything, or only what is measured where the command line says `tenure.only=bench`.
fn run() -> Result<(), String> {
    let kvm = Kvm::open().map_err(|failed| failed.to_string())?;
    let guest = std::fs::read("/guest.bin").map_err(|error| format!("/guest.bin: {error}"))?;
    let host = life::Host { kvm, guest };
    if system::asked_for("tenure.only=bench") {
        return figures::run(&host);
    }
    demo::run(&host)?;
    checks::run(&host)
}
