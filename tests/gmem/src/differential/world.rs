//! What one side has open, by the places that operations name.

use super::op::Place;
use crate::target::{FileId, MappingId, PinId, ProcessId, VmId};
use std::collections::BTreeMap;

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
    /// The mapping that each bound slot shows, by slot.
    pub(super) slots: BTreeMap<u32, Option<Place>>,
    /// Where the guest has memory: first byte and bytes, by slot.
    pub(super) memory: BTreeMap<u32, (u64, u64)>,
}

impl Vm {
    /// Whether the guest has memory at all of these addresses.
    pub(super) fn has_memory(&self, first: u64, bytes: u64) -> bool {
        let inside = |&(from, count): &(u64, u64)| first >= from && bytes <= count && first - from <= count - bytes;
        self.memory.values().any(inside)
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
        self.vms.iter().flatten().any(|vm| vm.slots.values().any(|shown| *shown == Some(mapping)))
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
