//! SMC and PSCI: what is on the list is answered, all else is refused.

use crate::hvc;
use crate::report::{Check, case, claim, equal};
use tenure_abi::smccc::{NOT_SUPPORTED, psci};

type Conduit = fn(u32, [u64; 3]) -> i64;

pub(super) fn run() {
    let checks: [fn(Conduit) -> Check; 3] = [version, refused, no_cpu];
    let names = ["version_is_relayed", "outside_the_list_are_refused", "cpu_on_of_no_cpu_is_refused"];
    for (conduit, by) in [("hvc", hvc::call as Conduit), ("smc", hvc::smc as Conduit)] {
        for (name, check) in names.iter().zip(checks) {
            case(format_args!("firmware_calls_by_{conduit}_{name}"), check(by));
        }
    }
}

fn version(by: Conduit) -> Check {
    let version = by(psci::VERSION, [0; 3]);
    claim("PSCI 0.2 or later", (2..0x1_0000_0000).contains(&version), version.cast_unsigned())
}

fn refused(by: Conduit) -> Check {
    // SYSTEM_RESET, CPU_SUSPEND, PSCI_FEATURES, MEM_PROTECT, TRNG version, an FF-A call, nothing at all.
    [psci::SYSTEM_RESET, 0xc400_0001, 0x8400_000a, 0x8400_0013, 0x8400_0050, 0x8400_0063, 0]
        .iter()
        .try_for_each(|&function| claim("NOT_SUPPORTED", by(function, [0; 3]) == NOT_SUPPORTED, function.into()))
}

fn no_cpu(by: Conduit) -> Check {
    for target in [4, 0x100, u64::MAX] {
        equal("CPU_ON", by(psci::CPU_ON_64, [target, 0, 0]).cast_unsigned(), psci::INVALID_PARAMETERS.cast_unsigned())?;
    }
    equal("CPU_ON of itself", by(psci::CPU_ON_64, [0, 0, 0]).cast_unsigned(), (-4i64).cast_unsigned())
}
