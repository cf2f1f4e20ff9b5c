//! The host service of the EL2 image, typed: a call in, its value or the errno out.

use crate::hvc;
use crate::report::Wrong;
use tenure_abi::service::HostCall;
use tenure_abi::{AddressWidth, Errno, FrameRange, Gfn, PAGE_SHIFT, Pfn};

/// A call that was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    /// The code, or 0 if the call is not offered.
    pub(crate) errno: u16,
    /// The frame number at fault, or 0.
    pub(crate) at: u64,
}

impl Refused {
    /// Whether it is this error at this frame number.
    pub(crate) fn is(self, errno: Errno, at: u64) -> bool {
        self == Self { errno: errno.0, at }
    }
}

impl From<Refused> for Wrong {
    fn from(refused: Refused) -> Self {
        Self { what: "a call that should work is refused; errno", seen: refused.errno.into() }
    }
}

/// How often a call is made again that meets another CPU at work on the same 2 MiB.
const PATIENCE: u32 = 100_000;

/// Makes the call; again if another CPU was in the way.
///
/// # Errors
/// As EL2 refuses it.
pub(crate) fn call(call: HostCall) -> Result<u64, Refused> {
    let regs = call.to_regs();
    // Of a forced reclaim the same code is an answer: there is nothing to take.
    let patience = if matches!(call, HostCall::ForceReclaim(_)) { 0 } else { PATIENCE };
    for _ in 0..patience {
        match raw(regs) {
            Err(Refused { errno, .. }) if errno == Errno::EAGAIN.0 => core::hint::spin_loop(),
            done => return done,
        }
    }
    raw(regs)
}

/// Makes a call from bare registers, as a hostile host may.
///
/// # Errors
/// As EL2 refuses it.
pub(crate) fn raw([a, b, c, d, e, f]: [u64; 6]) -> Result<u64, Refused> {
    let [x0, x1, value, at, ..] = hvc::hvc([a, b, c, d, e, f, 0, 0]);
    match (x0.cast_signed(), x1.cast_signed()) {
        (0, 0) => Ok(value),
        (0, code) => Err(Refused { errno: code.unsigned_abs() as u16, at }),
        _ => Err(Refused { errno: 0, at }),
    }
}

/// The frame at a byte address of this board, where every address is one.
pub(crate) fn pfn(address: u64) -> Pfn {
    Pfn::new(address >> PAGE_SHIFT).unwrap_or_else(|_| unreachable_address())
}

/// The guest frame at a byte address.
pub(crate) fn gfn(address: u64) -> Gfn {
    Gfn::new(address >> PAGE_SHIFT).unwrap_or_else(|_| unreachable_address())
}

/// `pages` frames from a byte address on.
pub(crate) fn pfns(address: u64, pages: u64) -> FrameRange<Pfn> {
    FrameRange::new(pfn(address), pages, AddressWidth::MAX).unwrap_or_else(|_| unreachable_address())
}

/// `pages` guest frames from a byte address on.
pub(crate) fn gfns(address: u64, pages: u64) -> FrameRange<Gfn> {
    FrameRange::new(gfn(address), pages, AddressWidth::MAX).unwrap_or_else(|_| unreachable_address())
}

fn unreachable_address() -> ! {
    panic!("a scenario names an address that is none")
}
