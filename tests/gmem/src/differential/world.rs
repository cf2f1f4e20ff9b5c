//! What one side has open, by the places that operations name.

use super::op::Place;
use super::pick::{GPA, PAGE, WINDOW};
use crate::target::{FileId, MappingId, PinId, ProcessId, VmId};
use std::collections::{BTreeMap, BTreeSet};
use tenure_abi::gmem::{MemoryAttributes, VmType};

/// How many of each can be open at a time.
pub(super) const VMS: usize = 3;
pub(super) const FILES: usize = 5;
pub(super) const MAPPINGS: usize = 6;
pub(super) const CHILDREN: usize = 3;
pub(super) const PINS: usize = 3;
/// Slots of a VM: 1 to this.
pub(super) const SLOTS: u32 = 4;

/// A VM.
#[derive(Clone, Debug)]
pub(super) struct Vm {
    pub(super) id: VmId,
    pub(super) kind: VmType,
    /// What is bound, by slot.
    pub(super) slots: BTreeMap<u32, Bound>,
    /// Pages whose attribute is private.
    pub(super) private: BTreeSet<u64>,
}

/// A bound slot.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bound {
    /// The mapping that it shows.
    pub(super) mapping: Option<Place>,
    pub(super) gpa: u64,
    pub(super) bytes: u64,
}

impl Vm {
    /// Attributes were set.
    pub(super) fn set(&mut self, attributes: &MemoryAttributes) {
        // Of the pages that guests touch; a range may be longer than anyone could list.
        let end = attributes.address.saturating_add(attributes.size).min(GPA + 2 * WINDOW * PAGE);
        for page in (attributes.address.max(GPA)..end).step_by(PAGE as usize) {
            if attributes.attributes == 0 {
                self.private.remove(&page)
            } else {
                self.private.insert(page)
            };
        }
    }

    /// Whether an access to these bytes can be compared.
    ///
    /// Where a guest's access or a pre-fault meets no memory, Linux 7.3.4 leaves a mark in the guest's tables, and takes
    /// what meets the mark for a shared access. If the page is made private later, that access is no memory, or a memory
    /// fault with flags 0, even where a slot has come to lie; without the mark it would be private. So on VMs with
    /// private memory nobody touches a shared page without a slot.
    pub(super) fn may_touch(&self, gpa: u64, bytes: u64) -> bool {
        let malformed = bytes == 0 || gpa.checked_add(bytes).is_none();
        let slot = |page: u64| self.slots.values().any(|slot| (slot.gpa..slot.gpa + slot.bytes).contains(&page));
        let first = gpa & !(PAGE - 1);
        self.kind == VmType::DEFAULT
            || malformed
            || (first..gpa + bytes)
                .step_by(PAGE as usize)
                .take(64)
                .all(|page| slot(page) || self.private.contains(&page))
    }
}

/// A descriptor of a file.
#[derive(Clone, Copy, Debug)]
pub(super) struct File {
    pub(super) id: FileId,
    /// The same for descriptors of the same file, and for nothing else.
    pub(super) life: u32,
    pub(super) bytes: u64,
    pub(super) flags: u64,
}

/// A mapping of a file, or memory of the VMM's own.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mapping {
    pub(super) id: MappingId,
    /// The file's life, flags, and the offset of the first byte.
    pub(super) file: Option<(u32, u64, u64)>,
    pub(super) bytes: u64,
    /// Which one it is, to tell it from earlier ones at the same place.
    pub(super) number: u32,
}

/// A child, and the mappings that it has.
#[derive(Clone, Debug)]
pub(super) struct Child {
    pub(super) id: ProcessId,
    pub(super) mappings: Vec<u32>,
}

/// What is open.
#[derive(Clone, Debug, Default)]
pub(super) struct World {
    pub(super) vms: [Option<Vm>; VMS],
    pub(super) files: [Option<File>; FILES],
    pub(super) mappings: [Option<Mapping>; MAPPINGS],
    pub(super) children: [Option<Child>; CHILDREN],
    pub(super) pins: [Option<PinId>; PINS],
    /// Counts files and mappings.
    pub(super) made: u32,
    /// Which frame each page of each file had when it was last seen.
    pub(super) frames: BTreeMap<(u32, u64), u64>,
}

impl World {
    /// A number that nothing else here has.
    pub(super) fn next(&mut self) -> u32 {
        self.made += 1;
        self.made
    }

    /// Whether a slot of some VM shows the mapping at this place.
    pub(super) fn is_bound(&self, mapping: Place) -> bool {
        self.vms.iter().flatten().any(|vm| vm.slots.values().any(|shown| shown.mapping == Some(mapping)))
    }
}

/// The places that hold something.
pub(super) fn held<T>(places: &[Option<T>]) -> Vec<Place> {
    (0..places.len()).filter(|place| places[*place].is_some()).collect()
}

/// The places that hold nothing.
pub(super) fn free<T>(places: &[Option<T>]) -> Vec<Place> {
    (0..places.len()).filter(|place| places[*place].is_none()).collect()
}
