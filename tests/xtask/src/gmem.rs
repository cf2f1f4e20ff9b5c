//! The suite of `guest_memfd`: the same rows on our provider and on real kernels, then both in lock-step.
//!
//! | target | what it is |
//! |---|---|
//! | `provider-7.3`, … | our own implementation, once for each kernel it can behave like |
//! | `linux-6.18.44` | this machine's `/dev/kvm`, by the running kernel's version |
//! | `linux-7.3.4` | the small x86 kernel with private memory, under QEMU |
//! | `linux-inplace-…` | a kernel built from a tree that a person supplied, if it converts in place |
//!
//! The programs are those of `tests/gmem`: a target prints one line for each row, and a row that does not apply to it
//! says so. What a machine lacks is a skip with the reason; anything that goes wrong after that is a failure.

mod cost;
mod demo;
mod differential;
mod machine;
mod programs;
mod rows;

pub(crate) use cost::figures;
pub(crate) use demo::{Demonstrated, demonstrations};

use crate::command::{self, BUILD_LIMIT};
use crate::progress::Step;
use crate::report::Case;
use crate::setup::Need;
use crate::suites::Run;
use machine::Machine;
use programs::Programs;

/// The package with the programs.
const PACKAGE: &str = "tenure-test-gmem";
/// What a run on a kernel under QEMU needs.
const NEEDS: [Need; 2] = [Need::X86Linux, Need::QemuX86];

/// Rows on every target, then the runs in lock-step; what the rows say goes to the evidence.
pub(crate) fn all(run: &mut Run<'_>, step: &Step) -> Vec<Case> {
    if !run.workspace.has_package(PACKAGE) {
        return vec![Case::fail("gmem_is_there", "tests/gmem is not in this checkout")];
    }
    step.note("building the programs");
    let native = match Programs::build(run.workspace, None) {
        Ok(programs) => programs,
        Err(seen) => return vec![Case::fail("gmem_programs_build", seen)],
    };
    let machine = Machine::prepare(run.workspace, run.setup);
    let mut cases = Vec::new();
    for tried in rows::all(run.workspace, &native, &machine, step) {
        cases.extend(rows::cases(&tried));
        run.evidence.gmem.push(tried);
    }
    cases.extend(differential::all(run, &native, &machine, step));
    step.note("the example");
    cases.push(Case::of("the_example_of_a_vmm_shares_a_page", example(run)));
    cases
}

/// What a VMM's author runs first: it has to come to its last line, on this machine's KVM or on the provider.
fn example(run: &Run<'_>) -> Result<(), String> {
    let mut cargo = run.workspace.cargo();
    cargo.args(["run", "--quiet", "-p", "tenure-host", "--features", "linux", "--example", "vmm"]);
    let log = run.workspace.log("example-vmm");
    let done = command::run(&mut cargo, BUILD_LIMIT, Some(&log), |_| {}).map_err(|error| format!("{error:#}"))?;
    let whole = done.lines.iter().any(|line| line == "the host wrote 0xb2; the guest sees: 0xb2");
    if done.ok() && whole { Ok(()) } else { Err(format!("{}: {}", done.ended, done.tail(8))) }
}
