//! What rows need of a target, and how they say that it is not there.

use super::{Applies, Trial};
use crate::target::{GuestPath, Personality};
use tenure_abi::gmem::{Capability, VmType};

const NO_SERIES: &str = "only kernels with conversion in place";
const SERIES: &str = "only kernels without conversion in place";

/// Whether VMs of this kind can be created.
pub(super) fn offers(trial: &mut Trial, kind: VmType) -> bool {
    trial.target.check(None, Capability::VM_TYPES) & 1 << kind.0 != 0
}

/// Nothing.
pub(super) fn nothing(_: &mut Trial) -> Applies {
    Applies::Yes
}

/// Files that can be mapped.
pub(super) fn mappable(trial: &mut Trial) -> Applies {
    if trial.target.machine().personality >= Personality::V6_18 {
        Applies::Yes
    } else {
        Applies::No("files cannot be mapped before 6.18")
    }
}

/// Slots of VMs without private memory, for which files must be mappable.
pub(super) fn bindable(trial: &mut Trial) -> Applies {
    if mappable(trial) == Applies::Yes || offers(trial, VmType::SW_PROTECTED) {
        Applies::Yes
    } else {
        Applies::Skip("needs a VM with private memory")
    }
}

/// Conversion in place.
pub(super) fn in_place(trial: &mut Trial) -> Applies {
    if trial.target.machine().in_place { Applies::Yes } else { Applies::No(NO_SERIES) }
}

/// Conversion in place by the final form of the series, without content modes.
pub(super) fn final_form(trial: &mut Trial) -> Applies {
    match trial.target.machine().personality {
        Personality::V8 => in_place(trial),
        Personality::RfcV5 => Applies::No("with content modes contents are kept on request only: GM-12"),
        _ => Applies::No(NO_SERIES),
    }
}

/// Conversion in place with content modes.
pub(super) fn content_modes(trial: &mut Trial) -> Applies {
    match trial.target.machine().personality {
        Personality::RfcV5 => in_place(trial),
        Personality::V8 => Applies::No("content modes were dropped after RFC v5"),
        _ => Applies::No(NO_SERIES),
    }
}

/// Attributes per VM.
pub(super) fn per_vm(trial: &mut Trial) -> Applies {
    if trial.target.machine().in_place {
        Applies::No(SERIES)
    } else if offers(trial, VmType::SW_PROTECTED) {
        Applies::Yes
    } else {
        Applies::Skip("needs a VM with private memory")
    }
}

/// A VM with private memory, whichever way it is kept.
pub(super) fn private_memory(trial: &mut Trial) -> Applies {
    if trial.target.machine().in_place { Applies::Yes } else { per_vm(trial) }
}

/// Kernels without conversion in place.
pub(super) fn no_series(trial: &mut Trial) -> Applies {
    if trial.target.machine().in_place { Applies::No(SERIES) } else { Applies::Yes }
}

/// Pre-fault.
pub(super) fn prefault(trial: &mut Trial) -> Applies {
    if trial.target.machine().personality < Personality::V6_11 {
        Applies::No("pre-fault is there since 6.11")
    } else if trial.target.check(None, Capability::PRE_FAULT_MEMORY) == 0 {
        Applies::Skip("needs two-dimensional paging for guests")
    } else {
        Applies::Yes
    }
}

/// Guests whose accesses go through the MMU.
pub(super) fn paged(trial: &Trial) -> bool {
    trial.target.machine().guest == GuestPath::Paged
}

/// Two NUMA nodes.
pub(super) fn two_nodes(_: &mut Trial) -> Applies {
    Applies::Skip("needs two NUMA nodes")
}

/// A processor with SEV-SNP.
pub(super) fn snp(_: &mut Trial) -> Applies {
    Applies::Skip("needs SEV-SNP hardware")
}
