//! This machine's kernel in lock-step with our own provider, by random operations.
//!
//! `--ops N --seed S`; without a seed, one of the clock's. The provider is built as the kernel is: its personality, its
//! kinds of VMs, its attributes, its guests' paging. `--itself` compares the kernel with itself, which shows that what is
//! compared does not depend on chance.

use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};
use tenure_abi::Errno;
use tenure_abi::gmem::{Attributes, Capability, MemoryAttributes, VmType};
use tenure_host::gmem::kvm::Host;
use tenure_test_gmem::target::{GuestPath, Vmm};
use tenure_test_gmem::{Target, differential, kernel::Kernel, provider::Provider, system};

const USAGE: &str = "usage: gmem-differential [--ops N] [--seed S] [--itself]";

/// So many operations meet every pair.
const ENOUGH: u64 = 20_000;

struct Options {
    operations: u64,
    seed: u64,
    itself: bool,
}

fn main() -> ExitCode {
    system::prepare();
    let good = match options(std::env::args().skip(1)) {
        Ok(options) => run(&options),
        Err(why) => {
            eprintln!("{why}\n{USAGE}");
            false
        }
    };
    system::finish(good)
}

fn options(mut arguments: impl Iterator<Item = String>) -> Result<Options, String> {
    let clock = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.subsec_nanos());
    let mut options = Options { operations: 100_000, seed: clock.into(), itself: false };
    while let Some(argument) = arguments.next() {
        let mut number = || {
            let value = arguments.next().ok_or_else(|| format!("{argument} needs a number"))?;
            value.parse().map_err(|_| format!("{value} is no number"))
        };
        match argument.as_str() {
            "--ops" => options.operations = number()?,
            "--seed" => options.seed = number()?,
            "--itself" => options.itself = true,
            _ => return Err(format!("{argument} is not known")),
        }
    }
    Ok(options)
}

fn run(options: &Options) -> bool {
    const CASE: &str = "TENURE case gmem_differential";
    let (mut kernel, mut other) = match Kernel::open().and_then(|mut kernel| {
        let other = other(&mut kernel, options.itself)?;
        Ok((kernel, other))
    }) {
        Ok(sides) => sides,
        Err(why) => {
            println!("{CASE} skip {why}");
            return true;
        }
    };
    let names = format!("{} and {}", kernel.machine().name, other.machine().name);
    println!("{names}: {} operations, seed {}", options.operations, options.seed);
    match differential::run(&mut kernel, other.as_mut(), options.operations, options.seed, |at| {
        if at > 0 && at % 20_000 == 0 {
            eprintln!("{at} operations");
        }
    }) {
        Ok(report) => {
            let (surveys, spots) = report.surveys;
            println!("{} operations, {surveys} surveys of {spots} places", report.operations);
            println!("accesses that went through: {} of {}", report.touches.0, report.touches.1);
            println!("frames checked: {} and {}", report.frames.0, report.frames.1);
            println!("{}; missing: {:?}", report.pairs, report.pairs.missing());
            println!("{CASE} pass");
            every_pair(&report)
        }
        Err(difference) => {
            println!("{difference}");
            println!("{CASE} fail seed {}: {}", options.seed, difference.what);
            false
        }
    }
}

/// A run that is long enough has to have seen each operation after each.
fn every_pair(report: &differential::Report) -> bool {
    const CASE: &str = "TENURE case gmem_differential_every_ordered_pair";
    let missing = report.pairs.missing();
    if missing.is_empty() {
        println!("{CASE} pass");
    } else if report.operations < ENOUGH {
        println!("{CASE} skip {} operations are too few", report.operations);
    } else {
        println!("{CASE} fail missing: {missing:?}");
    }
    missing.is_empty() || report.operations < ENOUGH
}

fn other(kernel: &mut Kernel, itself: bool) -> Result<Box<dyn Target>, String> {
    if itself {
        return Ok(Box::new(Kernel::open()?));
    }
    let vm = kernel.create_vm(VmType::DEFAULT).map_err(|errno| format!("creating a VM: {errno:?}"))?;
    // Nothing is changed by making shared what is shared.
    let request = MemoryAttributes::new(0x1000_0000, 0x1000, Attributes::empty());
    let vm_attributes = kernel.set_attributes(vm, &request) != Err(Errno::ENOTTY);
    kernel.reset();
    let vm_types = kernel.check(None, Capability::VM_TYPES);
    let machine = kernel.machine();
    let (paging, in_place) = (machine.guest == GuestPath::Paged, machine.in_place);
    let host = Host { vm_types, vm_attributes, paging, in_place, ..Host::new(machine.personality) };
    Ok(Box::new(Provider::built(host)))
}
