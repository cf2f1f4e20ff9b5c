//! Calls that try the runtime of the EL2 image itself, below ownership and VMs.
//!
//! EL2 offers them only if the scenario number that QEMU wrote is below [`SCENARIOS`]; it looks once, before
//! the host runs. In every other run they do not exist.

use tenure_abi::smccc::vendor_hyp64;

/// Scenarios below this number test the runtime.
pub const SCENARIOS: u64 = 16;

/// Host: run the code at x1 as a guest with x2 in its x0, on the host's own stage 2, until it stops. If x3
/// is not 0, the guest's first abort is answered by an external abort instead of a stop.
///
/// Answers x0 0; x1 0 for a synchronous exception, 1 for an interrupt; x2 `ESR_EL2`; x3 `FAR_EL2`; x4
/// `HPFAR_EL2`; x5..x7 the guest's x1, x19 and PC.
pub const RUN: u32 = vendor_hyp64(0x180);
/// Guest: let the host go on.
pub const STOP: u32 = vendor_hyp64(0x181);
/// Host: map frame x1 at EL2, exchange its first u64 with x2, unmap it. Answers x0 0, x1 the old value; or
/// x0 -3 for a frame that cannot be mapped.
pub const EXCHANGE: u32 = vendor_hyp64(0x182);
/// Host: scrub frame x1 through the fixmap. Answers x0 0 or -3.
pub const SCRUB: u32 = vendor_hyp64(0x183);
/// Host: can EL2 itself reach virtual address x1? Answers x0 0; x1 bit 0 for reading, bit 1 for writing.
pub const REACH: u32 = vendor_hyp64(0x184);
