//! Slots: which are accepted, and what a guest then sees.

use super::trial::{GPA, Outcome, PAGE, SHARED, SLOT, Trial, refused, same, works};
use super::{Applies, Row, needs, row};
use crate::target::{FileId, Foreign, MappingId, Personality, VmId};
use tenure_abi::Errno;
use tenure_abi::gmem::{CreateFlags, RegionFlags, UserspaceMemoryRegion2, VmType};

/// The rows.
pub(super) const ROWS: &[Row] = &[
    row("GM-62", "an offset that overflows with any size is refused; up to 6.18 it is not", needs::bindable, overflow),
    row("GM-63", "guest and host see each other's data in the file", guest_sees, host_data),
    row("GM-87", "the older request does not take files", needs::bindable, |trial| {
        let world = World::new(trial)?;
        refused("the older request", trial.target.set_region(world.vm, &world.slot.region), Errno::EINVAL)
    }),
    row("GM-88", "slots of files are neither logged nor read-only", needs::bindable, |trial| {
        let flags = [RegionFlags::LOG_DIRTY_PAGES, RegionFlags::READONLY, RegionFlags::all()];
        World::new(trial)?.each(trial, Errno::EINVAL, flags, |slot, flag| slot.region.flags |= flag.bits())
    }),
    row("GM-89", "other kinds of files are refused", needs::bindable, |trial| {
        let world = World::new(trial)?;
        let foreign = [Foreign::Kvm, Foreign::Vm(world.vm), Foreign::Memfd];
        let numbers = foreign.map(|what| trial.target.foreign(what));
        world.each(trial, Errno::EINVAL, numbers, |slot, number| slot.guest_memfd = number)
    }),
    row("GM-90", "a file of another VM is refused", needs::bindable, |trial| {
        let (world, other) = (World::new(trial)?, World::new(trial)?);
        world.each(trial, Errno::EINVAL, [other.slot.guest_memfd], |slot, number| slot.guest_memfd = number)
    }),
    row("GM-91", "the offset in the file is whole pages", needs::bindable, |trial| {
        World::new(trial)?.each(trial, Errno::EINVAL, 1..PAGE, |slot, offset| {
            (slot.guest_memfd_offset, slot.region.memory_size) = (offset, PAGE);
        })
    }),
    row("GM-92", "a part of a file stands in one slot only", needs::bindable, overlap_in_file),
    row("GM-93", "slots do not overlap in the guest's memory", needs::bindable, overlap_in_guest),
    row("GM-94", "a number that is no open descriptor is bad", needs::bindable, |trial| {
        World::new(trial)?.each(trial, Errno::EBADF, [1_000_000, i32::MAX.cast_unsigned(), u32::MAX], |slot, number| {
            slot.guest_memfd = number;
        })
    }),
    row("GM-95", "the slot of a file is never changed, only deleted", needs::bindable, unchangeable),
];

/// Pages of the file.
const PAGES: u64 = 4;

/// A VM with a file and memory of the VMM, and the slot that would show them.
struct World {
    vm: VmId,
    file: FileId,
    mapping: MappingId,
    slot: UserspaceMemoryRegion2,
}

impl World {
    fn new(trial: &mut Trial) -> Outcome<Self> {
        let mappable = needs::mappable(trial) == Applies::Yes;
        let (kind, flags) =
            if mappable { (VmType::DEFAULT, SHARED) } else { (VmType::SW_PROTECTED, CreateFlags::empty()) };
        let vm = trial.vm(kind)?;
        let file = trial.file(vm, PAGES * PAGE, flags)?;
        let mapping = works("memory", trial.target.anonymous(PAGES * PAGE))?;
        let slot = trial.slot(file, PAGES * PAGE, Some(mapping));
        Ok(Self { vm, file, mapping, slot })
    }

    /// The slot, changed in each of these ways, is refused; unchanged it is accepted afterwards.
    fn each<T: Copy + std::fmt::Debug>(
        &self,
        trial: &mut Trial,
        errno: Errno,
        ways: impl IntoIterator<Item = T>,
        change: impl Fn(&mut UserspaceMemoryRegion2, T),
    ) -> Outcome {
        for way in ways {
            let mut slot = self.slot;
            change(&mut slot, way);
            refused(&format!("{way:x?}"), trial.target.set_region2(self.vm, &slot), errno)?;
        }
        works("the slot as it should be", trial.target.set_region2(self.vm, &self.slot))
    }
}

fn overflow(trial: &mut Trial) -> Outcome {
    let accepted = trial.target.machine().personality <= Personality::V6_18;
    for pages in [1, PAGES] {
        let world = World::new(trial)?;
        let mut slot = world.slot;
        (slot.guest_memfd_offset, slot.region.memory_size) = (0x7fff_ffff_ffff_f000, pages * PAGE);
        let seen = trial.target.set_region2(world.vm, &slot);
        same(&format!("{pages} pages"), seen, if accepted { Ok(()) } else { Err(Errno::EINVAL) })?;
    }
    Ok(())
}

fn guest_sees(trial: &mut Trial) -> Applies {
    match needs::mappable(trial) {
        Applies::Yes if !needs::paged(trial) => Applies::Part("with userspace_addr at the file's mapping"),
        applies => applies,
    }
}

fn host_data(trial: &mut Trial) -> Outcome {
    let (vm, file, mapping) = trial.shared_file(PAGES * PAGE)?;
    let paged = needs::paged(trial);
    trial.bind(vm, file, PAGES * PAGE, (!paged).then_some(mapping))?;
    let places = || (0..PAGES * PAGE).step_by(0x800 - 1);
    for at in 0..PAGES * PAGE {
        trial.store(mapping, at, 0xaa)?;
    }
    if paged {
        trial.target.unmap(mapping);
    }
    for at in places() {
        trial.guest_finds(vm, GPA + at, 0xaa)?;
        trial.guest_store(vm, GPA + at, 0xff)?;
    }
    let mapping = trial.map(file, PAGES * PAGE)?;
    for at in places() {
        trial.finds(mapping, at, 0xff)?;
    }
    Ok(())
}

/// The first two pages in one slot; another that has the first, and one that has the second.
fn overlap_in_file(trial: &mut Trial) -> Outcome {
    let errno = if trial.target.machine().personality <= Personality::V6_18 { Errno::EINVAL } else { Errno::EEXIST };
    let world = World::new(trial)?;
    let mut first = world.slot;
    (first.guest_memfd_offset, first.region.memory_size) = (PAGE, 2 * PAGE);
    works("the first slot", trial.target.set_region2(world.vm, &first))?;
    for (offset, pages) in [(0, 2), (2 * PAGE, 2), (PAGE, 1), (0, 4), (PAGE, 2)] {
        let mut second = world.slot;
        second.region.slot = SLOT + 1;
        second.region.guest_phys_addr = GPA + 0x10_0000;
        (second.guest_memfd_offset, second.region.memory_size) = (offset, pages * PAGE);
        refused(&format!("{pages} pages at {offset:#x}"), trial.target.set_region2(world.vm, &second), errno)?;
    }
    let mut beside = world.slot;
    (beside.region.slot, beside.region.guest_phys_addr) = (SLOT + 1, GPA + 0x10_0000);
    (beside.guest_memfd_offset, beside.region.memory_size) = (3 * PAGE, PAGE);
    works("a slot beside it", trial.target.set_region2(world.vm, &beside))
}

fn overlap_in_guest(trial: &mut Trial) -> Outcome {
    let world = World::new(trial)?;
    works("the first slot", trial.target.set_region2(world.vm, &world.slot))?;
    let flags = if needs::mappable(trial) == Applies::Yes { SHARED } else { CreateFlags::empty() };
    let other = trial.file(world.vm, PAGES * PAGE, flags)?;
    for first in [GPA - 3 * PAGE, GPA, GPA + 3 * PAGE] {
        let mut second = trial.slot(other, PAGES * PAGE, Some(world.mapping));
        (second.region.slot, second.region.guest_phys_addr) = (SLOT + 1, first);
        refused(&format!("a slot at {first:#x}"), trial.target.set_region2(world.vm, &second), Errno::EEXIST)?;
    }
    Ok(())
}

fn unchangeable(trial: &mut Trial) -> Outcome {
    let world = World::new(trial)?;
    works("the slot", trial.target.set_region2(world.vm, &world.slot))?;
    let changes: [fn(&mut UserspaceMemoryRegion2); 6] = [
        |_| {},
        |slot| slot.region.guest_phys_addr += 0x10_0000,
        |slot| slot.region.userspace_addr += PAGE,
        |slot| slot.region.flags |= RegionFlags::READONLY.bits(),
        |slot| slot.region.memory_size -= PAGE,
        |slot| slot.region.flags = 0,
    ];
    for (at, change) in changes.into_iter().enumerate() {
        let mut slot = world.slot;
        change(&mut slot);
        refused(&format!("change {at}"), trial.target.set_region2(world.vm, &slot), Errno::EINVAL)?;
    }
    trial.unbind(world.vm, SLOT)?;
    works("the slot again", trial.target.set_region2(world.vm, &world.slot))?;
    same("the file", trial.target.number(world.file), world.slot.guest_memfd)
}
