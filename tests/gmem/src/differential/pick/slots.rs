//! Slots. What a slot shows of the VMM's own memory always lies inside one mapping: beside it could be anything.

use super::{GPA, PAGE, PAGES, Picker};
use crate::differential::op::{Op, Other, Place, Slot, SlotFile};
use crate::differential::world::SLOTS;
use tenure_abi::gmem::CreateFlags;

/// Guest-physical pages at which slots begin, so that all lie in the window.
const FIRST: u64 = 12;

impl Picker<'_> {
    pub(super) fn bind(&mut self) -> Option<Op> {
        let vm = self.held(&self.world.vms)?;
        let number = self.rng.below(SLOTS.into()) as u32 + 1;
        let gpa = GPA + self.rng.below(FIRST) * PAGE;
        let slot = Slot { number, flags: 0, gpa, bytes: PAGE, mapping: None, into: 0, file: SlotFile::None, offset: 0 };
        let taken = self.world.vms[vm].as_ref()?.slots.contains_key(&number);
        let mut slot = match self.rng.below(10) {
            // Changing a slot without a file is no business of files.
            0 if !taken => self.plain(slot)?,
            1 => Slot { file: SlotFile::Other(self.other()), ..self.plain(slot)? },
            _ => self.with_file(slot)?,
        };
        if self.rng.percent(15) && slot.file != SlotFile::None {
            self.spoil(&mut slot);
        }
        Some(Op::Bind(vm, slot))
    }

    fn other(&mut self) -> Other {
        self.rng.one_of(&[Other::Kvm, Other::Vm, Other::Memfd, Other::Closed])
    }

    /// A part of a mapping.
    fn part(&mut self, place: Place) -> Option<(u64, u64)> {
        let pages = (self.world.mappings[place]?.bytes / PAGE).min(PAGES);
        let first = self.rng.below(pages);
        let count = self.rng.below((pages - first).min(4)) + 1;
        Some((first * PAGE, count * PAGE))
    }

    /// A slot that shows a part of a mapping without a file behind it.
    fn plain(&mut self, slot: Slot) -> Option<Slot> {
        let place = self.held(&self.world.mappings)?;
        let own = self.world.mappings[place]?.file.is_none();
        if self.limits.emulated && !own {
            return None;
        }
        let (into, bytes) = self.part(place)?;
        Some(Slot { mapping: Some(place), into, bytes, ..slot })
    }

    fn with_file(&mut self, slot: Slot) -> Option<Slot> {
        let place = self.held(&self.world.files)?;
        let file = self.world.files[place]?;
        let flags = CreateFlags::from_bits_retain(file.flags);
        let slot = Slot { file: SlotFile::File(place), ..slot };
        if !self.limits.emulated {
            let offset = self.rng.below(PAGES) * PAGE;
            if self.rng.percent(20) {
                return Some(Slot { offset, bytes: self.pages(), ..slot });
            }
            let mapping = self.held(&self.world.mappings)?;
            let (into, bytes) = self.part(mapping)?;
            let offset = if self.rng.percent(70) { into } else { offset };
            return Some(Slot { mapping: Some(mapping), into, bytes, offset, ..slot });
        }
        // Emulated accesses go where `userspace_addr` says: to the same page of the file, or the file has no part in it.
        let mapping = self.held(&self.world.mappings)?;
        let (into, bytes) = self.part(mapping)?;
        let shown = self.world.mappings[mapping]?.file;
        let offset = match shown {
            None if !flags.contains(CreateFlags::MMAP) => into,
            Some((life, _, offset)) if life == file.life && flags == CreateFlags::all() => offset + into,
            _ => return None,
        };
        Some(Slot { mapping: Some(mapping), into, bytes, offset, ..slot })
    }

    /// Makes one field of it wrong.
    fn spoil(&mut self, slot: &mut Slot) {
        match self.rng.below(6) {
            0 => slot.gpa += 1,
            1 => slot.bytes += 1,
            2 => slot.into += 1,
            3 => slot.flags = self.rng.one_of(&[1, 2, 3, 8, 1 << 31]),
            4 => slot.offset = self.bad_offset(),
            _ => slot.number |= 1 << 31,
        }
    }
}
