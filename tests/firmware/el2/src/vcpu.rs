//! A virtual CPU: its registers while it does not run, and what traps while it does.

use crate::host;
use crate::state::El1State;

/// `HCR_EL2`: as the host's, and interrupts go to EL2, waiting is seen, and what a small guest has no use for is
/// trapped.
pub(crate) const HCR: u64 = host::HCR
    | 1 << 1   // SWIO: set/way invalidate becomes clean and invalidate
    | 7 << 3   // FMO, IMO, AMO
    | 1 << 9   // FB: maintenance reaches all CPUs
    | 1 << 10  // BSU: barriers are inner shareable at least
    | 1 << 13  // TWI
    | 1 << 20  // TIDCP
    | 1 << 21; // TACR
/// `CPTR_EL2`. TFP: the vector registers stay the host's; EL2 and guests are soft-float. TTA: no trace.
pub(crate) const CPTR: u64 = host::CPTR | 1 << 10 | 1 << 20;
/// `MDCR_EL2`: debug and performance monitor registers trap: TDRA, TDOSA, TDA, TPM, TPMCR.
pub(crate) const MDCR: u64 = 1 << 11 | 1 << 10 | 1 << 9 | 1 << 6 | 1 << 5;
/// `CNTHCTL_EL2`: EL1 reads the physical counter only.
pub(crate) const CNTHCTL: u64 = 1;

/// PSTATE of a CPU that starts at EL1: own stack pointer, D, A, I and F masked.
pub(crate) const PSTATE_START: u64 = 0x3c5;

/// A virtual CPU that is not running. `x` comes first: the assembly addresses it by that.
#[repr(C)]
pub(crate) struct Vcpu {
    /// x0..x30.
    pub(crate) x: [u64; 31],
    /// Where it goes on.
    pub(crate) pc: u64,
    /// With which PSTATE.
    pub(crate) pstate: u64,
    /// Its EL1 registers; while it runs, the live registers are the truth.
    pub(crate) el1: El1State,
    /// `HCR_EL2`, usually [`HCR`].
    pub(crate) hcr: u64,
    /// `VTTBR_EL2`: its stage 2 and VMID.
    pub(crate) vttbr: u64,
    /// `VTCR_EL2`.
    pub(crate) vtcr: u64,
    /// `MPIDR_EL1` as it sees it.
    pub(crate) vmpidr: u64,
    /// For the glue: what this vCPU belongs to.
    pub(crate) user: u64,
}

impl Vcpu {
    /// A vCPU that starts at `entry` with `argument` in x0 and the stage 2 given.
    pub(crate) const fn new(entry: u64, argument: u64, vttbr: u64, vtcr: u64, index: u64) -> Self {
        let mut x = [0; 31];
        x[0] = argument;
        Self {
            x,
            pc: entry,
            pstate: PSTATE_START,
            el1: El1State::RESET,
            hcr: HCR,
            vttbr,
            vtcr,
            vmpidr: 1 << 31 | index & 0xff,
            user: 0,
        }
    }
}
