//! Structures of requests: well-formed mostly, and every kind of nonsense.

use super::{GPA, PAGE, PAGES, Picker, WINDOW};
use crate::differential::op::Op;
use crate::differential::world::World;
use crate::target::Personality;
use tenure_abi::gmem::{MemoryAttributes, MemoryAttributes2, PreFaultMemory};

/// A range that is no range: first byte and bytes, from a first byte that would be good.
const NONSENSE: [fn(u64) -> (u64, u64); 7] = [
    |at| (at, 0),
    |at| (at + 1, PAGE),
    |at| (at, PAGE - 1),
    |at| (at, PAGE + 0x800),
    |_| (!0xfff, 2 * PAGE),
    |at| (at, !0xfff),
    |at| (at, u64::MAX),
];

impl Picker<'_> {
    /// First byte and bytes of a range of the guest's window; nonsense now and then.
    fn guest_range(&mut self) -> (u64, u64) {
        let at = GPA + self.rng.below(WINDOW) * PAGE;
        let pages = self.rng.below(PAGES) + 1;
        if self.rng.percent(15) { self.rng.one_of(&NONSENSE)(at) } else { (at, pages * PAGE) }
    }

    pub(super) fn capability(&mut self) -> u32 {
        let mut numbers = vec![201, 231, 232, 234, 244];
        if self.limits.attributes {
            numbers.push(233);
        }
        if self.limits.prefault {
            numbers.push(236);
        }
        self.rng.one_of(&numbers)
    }

    pub(super) fn allocation(&mut self, world: &World) -> Option<Op> {
        let place = self.held(&world.files)?;
        let mode = self.rng.one_of(&[1, 1, 3, 3, 3, 3, 0, 2, 8, 16, 17]);
        let at = self.rng.below(PAGES) * PAGE;
        let (offset, bytes) = if self.rng.percent(20) { self.rng.one_of(&NONSENSE)(at) } else { (at, self.pages()) };
        Some(Op::Allocate(place, mode, offset, bytes))
    }

    pub(super) fn attributes(&mut self) -> MemoryAttributes {
        let (address, size) = self.guest_range();
        let attributes = self.rng.one_of(&[8, 8, 8, 8, 0, 0, 0, 0, 1, 9, 1 << 63]);
        let flags = if self.rng.percent(5) { self.rng.one_of(&[1, 8, 1 << 63]) } else { 0 };
        MemoryAttributes { address, size, attributes, flags }
    }

    /// Of a range that lies in the file, mostly.
    pub(super) fn attributes2(&mut self) -> Option<Op> {
        let place = self.held(&self.world.files)?;
        let pages = (self.world.files[place]?.bytes / PAGE).clamp(1, PAGES);
        let first = self.rng.below(pages);
        let count = self.rng.below(pages - first) + 1;
        let (offset, size) = match self.rng.below(20) {
            0 | 1 => self.rng.one_of(&NONSENSE)(first * PAGE),
            2 => (first * PAGE, (pages + 1) * PAGE),
            3 => (pages * PAGE, PAGE),
            _ => (first * PAGE, count * PAGE),
        };
        let attributes = self.rng.one_of(&[8, 8, 8, 8, 0, 0, 0, 0, 1, 9, 1 << 63]);
        let flags = if self.rng.percent(10) { self.rng.one_of(&[1, 2, 3, 4, 1 << 63]) } else { 0 };
        let mut reserved = [0; 11];
        reserved[self.rng.below(11) as usize] = u64::from(self.rng.percent(3));
        let error_offset = if self.rng.percent(10) { 0x1234 } else { 0 };
        Some(Op::Attributes2(place, MemoryAttributes2 { offset, size, attributes, flags, error_offset, reserved }))
    }

    /// Where a side has no two-dimensional paging, nonsense only.
    pub(super) fn prefault(&mut self) -> PreFaultMemory {
        let (gpa, size) = if self.limits.prefault {
            self.guest_range()
        } else {
            let at = GPA + self.rng.below(WINDOW) * PAGE;
            self.rng.one_of(&NONSENSE[..5])(at)
        };
        let flags = if self.rng.percent(5) { self.rng.one_of(&[1, 1 << 63]) } else { 0 };
        PreFaultMemory { flags, ..PreFaultMemory::new(gpa, size) }
    }

    pub(super) fn hypercall(&mut self) -> Option<Op> {
        let vm = self.held(&self.world.vms)?;
        let gpa = (GPA + self.rng.below(WINDOW) * PAGE) as u32;
        let gpa = if self.rng.percent(10) { gpa + 1 } else { gpa };
        let pages = self.rng.one_of(&[1, 1, 2, 8, 512, 0, u32::MAX]);
        let attributes = self.rng.one_of(&[0x10, 0, 0x11, 0x12, 0x1f, u32::MAX]);
        let number = if self.rng.percent(10) { 99 } else { 12 };
        Some(Op::Hypercall(vm, number, [gpa, pages, attributes], self.rng.one_of(&[0, 11, 22])))
    }

    /// Offsets of which no kernel makes anything; up to 6.18 one that overflows is accepted, which no guest must touch.
    pub(super) fn bad_offset(&mut self) -> u64 {
        if self.limits.personality <= Personality::V6_18 {
            self.rng.one_of(&[1, 0x800, 1 << 40])
        } else {
            self.rng.one_of(&[1, 0x800, 1 << 40, 0x7fff_ffff_ffff_f000, !0xfff])
        }
    }
}
