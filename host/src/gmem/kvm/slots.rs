//! The memory slots of a VM, in the order of guest-physical addresses.

use super::host::Host;
use crate::gmem::FileId;
use tenure_abi::gmem::RegionFlags;
use tenure_abi::{AddressWidth, FrameRange, Gfn};

/// The file behind a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backing {
    /// Which; `None` after the VM has lost it: a slot does not keep a file open.
    pub file: Option<FileId>,
    /// The file's page behind the first of the slot.
    pub first: u64,
    /// Whether shared pages come from the file too, and none from `userspace_addr`.
    pub only: bool,
}

/// Guest-physical memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    /// Its number.
    pub id: u16,
    /// Where the guest sees it.
    pub gfns: FrameRange<Gfn>,
    /// What kind of slot.
    pub flags: RegionFlags,
    /// The VMM's address of its first byte.
    pub userspace_addr: u64,
    /// The file behind it, if it was made with one.
    pub backing: Option<Backing>,
}

impl Slot {
    /// The VMM's address of a guest-physical address in the slot.
    pub(super) fn address(&self, gpa: u64) -> u64 {
        self.userspace_addr.wrapping_add(gpa.wrapping_sub(self.gfns.first().address()))
    }

    /// One past its last frame.
    pub(super) fn end(&self) -> u64 {
        self.gfns.first().number() + self.gfns.count()
    }
}

/// At most `SLOTS` slots, none of which overlap.
pub(super) struct Slots<const SLOTS: usize>(heapless::Vec<Slot, SLOTS>);

impl<const SLOTS: usize> Slots<SLOTS> {
    pub(super) const fn new() -> Self {
        Self(heapless::Vec::new())
    }

    pub(super) fn all(&self) -> &[Slot] {
        &self.0
    }

    pub(super) fn all_mut(&mut self) -> &mut [Slot] {
        &mut self.0
    }

    pub(super) fn is_full(&self) -> bool {
        self.0.is_full()
    }

    /// The slot with this number.
    pub(super) fn by_id(&self, id: u16) -> Option<&Slot> {
        self.0.iter().find(|slot| slot.id == id)
    }

    /// The slot that shows `gfn`.
    pub(super) fn at(&self, gfn: Gfn) -> Option<&Slot> {
        let after = self.0.partition_point(|slot| slot.gfns.first() <= gfn);
        self.0.get(after.checked_sub(1)?).filter(|slot| slot.gfns.contains(gfn))
    }

    /// Whether a slot other than `but` shows one of the frames from `first` up to `end`.
    pub(super) fn overlap(&self, first: u64, end: u64, but: u16) -> bool {
        self.0.iter().any(|slot| slot.id != but && slot.gfns.first().number() < end && first < slot.end())
    }

    /// Whether a slot has one of `count` pages of `file` from `first` on.
    pub(super) fn bound(&self, file: FileId, first: u64, count: u64) -> bool {
        let has = |slot: &Slot| {
            slot.backing.is_some_and(|backing| {
                let theirs = backing.first.saturating_add(slot.gfns.count());
                backing.file == Some(file) && backing.first < first.saturating_add(count) && first < theirs
            })
        };
        self.0.iter().any(has)
    }

    /// Puts a slot in its place, instead of the one with its number; there has to be room.
    pub(super) fn put(&mut self, slot: Slot) {
        self.remove(slot.id);
        let place = self.0.partition_point(|other| other.gfns.first() < slot.gfns.first());
        let put = self.0.insert(place, slot);
        debug_assert!(put.is_ok(), "a slot without room");
    }

    pub(super) fn remove(&mut self, id: u16) {
        self.0.retain(|slot| slot.id != id);
    }
}

/// The frames of a region, if a guest-physical address reaches all of them.
pub(super) fn gfns(gpa: u64, bytes: u64) -> Option<FrameRange<Gfn>> {
    gpa.checked_add(bytes).filter(|end| *end <= Host::GPA_END)?;
    FrameRange::from_bytes(gpa, bytes, AddressWidth::MAX).ok()
}
