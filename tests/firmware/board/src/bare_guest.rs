//! Two calls outside the host service that run host code as a guest, without ownership or a VM: they show
//! that the world switch itself works.

use tenure_abi::smccc::vendor_hyp64;

/// Host: run the code at x1 as a guest with x2 in its x0, on the host's stage 2, until it stops.
///
/// Answers x0 0; x1 0 for a synchronous exception, 1 for an interrupt; x2 `ESR_EL2`; x3 `FAR_EL2`; x4..x7
/// the guest's x0, x1, x19 and PC.
pub const RUN: u32 = vendor_hyp64(0x180);
/// Guest: let the host go on.
pub const STOP: u32 = vendor_hyp64(0x181);
