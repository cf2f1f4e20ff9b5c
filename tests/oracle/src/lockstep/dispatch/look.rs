//! What a walk through all states sees of EL2 beside the answers: one guest address, and how a region is stored.

use super::{Dispatch, root_of};
use crate::lockstep::walk::{self, Seen};
use tenure_abi::{PageSize, Pfn, VmSlot};

impl Dispatch {
    /// The frame that a guest's table has at `gfn`, and whether a note says that the address is burnt.
    pub fn guest_sees(&self, vm: VmSlot, gfn: u64) -> (Option<u64>, bool) {
        let seen = self.vms.get(&vm).and_then(|known| walk::one(self.board, root_of(known.place), gfn));
        match seen {
            Some(Seen::Frame(pfn)) => (Some(pfn), false),
            Some(Seen::Note) => (None, true),
            None => (None, false),
        }
    }

    /// How the region of frame `first` is stored: bit 1 for mixed, bit 0 for 4 KiB entries in hardware. `None`: it is in work.
    pub fn stored(&self, first: u64) -> Option<u64> {
        let guard = self.el2.tracker().lock_region(Pfn::new(first).ok()?).ok()?;
        let mixed = u64::from(guard.uniform().is_none());
        Some(mixed << 1 | u64::from(guard.hardware_size() == PageSize::Size4K))
    }
}
