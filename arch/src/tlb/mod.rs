//! How a change of a stage-2 table reaches every CPU.
//!
//! | change | what must follow before anybody relies on it |
//! |---|---|
//! | invalid to valid | [`Stage2Tlb::publish`] |
//! | valid to invalid | [`Stage2Tlb::invalidate`]; only then is the old page out of reach |
//! | valid to another valid | invalid first, invalidate, then valid: break before make |
//!
//! Stage 1 and stage 2 may be cached together, under the guest's virtual address, and an invalidation
//! by IPA does not have to find such an entry. So each one is followed by one of the VMID's stage 1.

#[cfg(target_arch = "aarch64")]
mod cpu;
#[cfg(target_arch = "aarch64")]
pub use cpu::{CpuTlb, PER_FRAME_LIMIT};

use tenure_abi::{Error, Pfn};

/// Which map: the value of `VTTBR_EL2`. Bits 1..=47 root address, 48..=63 VMID, `CnP` 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub struct Vttbr(u64);

impl Vttbr {
    /// The map whose root tables start at `root`, tagged `vmid` in the TLBs.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the root lies beyond 48 bits.
    pub const fn new(root: Pfn, vmid: u16) -> Result<Self, Error> {
        if root.address() >> 48 != 0 {
            return Err(Error::Invalid);
        }
        Ok(Self(root.address() | (vmid as u64) << 48))
    }

    /// The register's value.
    #[inline]
    pub const fn raw(self) -> u64 {
        self.0
    }

    /// The VMID.
    pub const fn vmid(self) -> u16 {
        (self.0 >> 48) as u16
    }

    /// The first root table.
    pub const fn root(self) -> Pfn {
        crate::stage2::descriptor_frame(self.0)
    }
}

/// The stage-2 TLBs of all CPUs in the inner shareable domain.
///
/// Implementations never fail and never return early: code above relies on a returned call as proof
/// that no CPU can use an old translation.
pub trait Stage2Tlb: Sync {
    /// New valid entries, which replaced invalid ones, become visible to the walkers.
    fn publish(&self);

    /// No CPU uses a translation of these frames of `context` any more, from stage 2 or combined.
    ///
    /// One frame of a block leaf stands for the whole leaf. `frames` of 0 does nothing.
    fn invalidate(&self, context: Vttbr, first_frame: u64, frames: u64);

    /// No CPU uses any translation of `context` any more.
    fn invalidate_vm(&self, context: Vttbr);
}

/// What a CPU needs beyond the architecture, around TLB maintenance. Nothing, unless said otherwise.
pub trait Errata: Sync {
    /// Before `VTTBR_EL2` is switched to another map for maintenance (speculative AT).
    #[inline]
    fn before_switch(&self) {}

    /// After an invalidation completed, before the caller relies on it (DVM sync).
    #[inline]
    fn after_invalidate(&self, _context: Vttbr) {}
}

/// A CPU without such errata.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoErrata;

impl Errata for NoErrata {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vttbr_holds_root_and_vmid() {
        let root = Pfn::from_address(0xffff_ffff_e000).unwrap();
        let v = Vttbr::new(root, 0xabcd).unwrap();
        assert_eq!((v.raw(), v.root(), v.vmid()), (0xabcd_ffff_ffff_e000, root, 0xabcd));
        assert_eq!(Vttbr::new(Pfn::from_address(1 << 48).unwrap(), 0), Err(Error::Invalid));
    }
}
