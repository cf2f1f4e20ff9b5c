//! Sharing through pKVM's guest calls, see [`tenure_abi::pkvm`].
//!
//! Ranges are used where `HYP_MEMINFO` offers them (Android, Tenure); otherwise one call per page
//! (Linux up to 7.3, which refuses any x2 but 0).

use super::{Failure, SharedMemory};
use core::marker::PhantomData;
use smccc::Call;
use tenure_abi::pkvm::{Features, GuestCall, UID};
use tenure_abi::{Error, FrameRange, Gfn, Located, PAGE_SIZE, smccc as codes};

/// The functions without which nothing can be shared; a Linux guest demands the same three.
const NEEDED: Features = Features::HYP_MEMINFO.union(Features::MEM_SHARE).union(Features::MEM_UNSHARE);

/// Bit 0 of x1 of `HYP_MEMINFO`: the memory calls take ranges.
const HAS_RANGES: u64 = 1;

/// pKVM's interface, reached through the conduit `C` (a protected guest uses `smccc::Hvc`).
pub struct Pkvm<C> {
    features: Features,
    ranges: bool,
    conduit: PhantomData<fn() -> C>,
}

impl<C: Call> Pkvm<C> {
    /// Looks for the interface.
    ///
    /// # Errors
    /// [`Error::NotSupported`] where another hypervisor answers, where one of the calls for sharing is
    /// missing (a VM that is not protected), or where the granule is not 4 KiB.
    pub fn probe() -> Result<Self, Error> {
        let [x0, x1, x2, x3] = call32::<C>(GuestCall::CallUid);
        if [x0, x1, x2, x3] != UID {
            return Err(Error::NotSupported);
        }
        // NOT_SUPPORTED is all ones and would pass for every feature at once.
        let [bitmap, ..] = call32::<C>(GuestCall::Features);
        let features = Features::from_bits_truncate(bitmap);
        if bitmap == u32::MAX || !features.contains(NEEDED) {
            return Err(Error::NotSupported);
        }
        let [granule, offers, ..] = call64::<C>(GuestCall::HypMemInfo);
        if granule != PAGE_SIZE {
            return Err(Error::NotSupported);
        }
        Ok(Self { features, ranges: offers & HAS_RANGES != 0, conduit: PhantomData })
    }

    /// What the hypervisor offers.
    pub fn features(&self) -> Features {
        self.features
    }

    /// Whether one call may convert several pages.
    pub fn ranges(&self) -> bool {
        self.ranges
    }

    /// Gives a private page back to the host, which finds zeroes in it.
    ///
    /// # Errors
    /// [`Error::NotSupported`] where the call is not offered; otherwise the hypervisor's refusal.
    pub fn relinquish(&self, gfn: Gfn) -> Result<(), Located<Failure>> {
        if !self.features.contains(Features::MEM_RELINQUISH) {
            return Err(Located::gfn(Failure::Refused(Error::NotSupported), gfn));
        }
        let [code, ..] = call64::<C>(GuestCall::MemRelinquish(gfn));
        success(code).map_err(|why| Located::gfn(why, gfn))
    }

    /// Converts `range` by calls of `kind`: at least one page a call, so at most one call a page.
    fn convert(&self, range: FrameRange<Gfn>, kind: fn(FrameRange<Gfn>) -> GuestCall) -> Result<(), Located<Failure>> {
        let mut rest = Some(range);
        while let Some(now) = rest {
            let fail = |why| Located::gfn(why, now.first());
            let asked = if self.ranges { now } else { FrameRange::single(now.first()) };
            let [code, done, ..] = call64::<C>(kind(asked));
            success(code).map_err(fail)?;
            // Without ranges x1 says nothing: Linux leaves 0 there.
            let done = if self.ranges { done } else { 1 };
            if done == 0 || done > asked.count() {
                return Err(fail(Failure::Surprise(done)));
            }
            rest = now.rest(done);
        }
        Ok(())
    }
}

impl<C: Call> SharedMemory for Pkvm<C> {
    fn share(&self, range: FrameRange<Gfn>) -> Result<(), Located<Failure>> {
        self.convert(range, GuestCall::MemShare)
    }

    fn unshare(&self, range: FrameRange<Gfn>) -> Result<(), Located<Failure>> {
        self.convert(range, GuestCall::MemUnshare)
    }
}

/// What the code in x0 says about a call on pages that are well-formed by their type: a refusal can only
/// mean their state.
fn success(code: u64) -> Result<(), Failure> {
    match code.cast_signed() {
        codes::SUCCESS => Ok(()),
        codes::NOT_SUPPORTED => Err(Failure::Refused(Error::NotSupported)),
        codes::INVALID_PARAMETER => Err(Failure::Refused(Error::Denied)),
        _ => Err(Failure::Surprise(code)),
    }
}

/// x0..x3 of the answer to a call of the 64-bit convention.
fn call64<C: Call>(call: GuestCall) -> [u64; 4] {
    let [function, x1, x2, x3] = call.to_regs();
    let args = [x1, x2, x3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let [x0, x1, x2, x3, ..] = C::call64(codes::function(function), args);
    [x0, x1, x2, x3]
}

/// w0..w3 of the answer to a call of the 32-bit convention without arguments.
fn call32<C: Call>(call: GuestCall) -> [u32; 4] {
    let [function, ..] = call.to_regs();
    let [w0, w1, w2, w3, ..] = C::call32(codes::function(function), [0; 7]);
    [w0, w1, w2, w3]
}

#[cfg(test)]
mod tests;
