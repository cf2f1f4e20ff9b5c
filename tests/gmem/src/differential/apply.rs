//! An operation on one side, and what it answered.

use super::op::{Op, Slot, SlotFile};
use super::world::{Bound, Child, File, Mapping, Vm, World};
use crate::Target;
use crate::target::{Answer, Called, Fault, FileId, ProcessId, Stop, VmId};
use std::collections::{BTreeMap, BTreeSet};
use tenure_abi::gmem::hypercall::MAP_GPA_RANGE;
use tenure_abi::gmem::{
    Capability, CreateGuestMemfd, EnableCapability, MemoryAttributes2, PreFaultMemory, RegionFlags,
    UserspaceMemoryRegion, UserspaceMemoryRegion2, VmType,
};

/// What an operation answered, without anything that differs between equal sides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// What the operation names is not open.
    Absent,
    Answer(Answer<u64>),
    Touch(Result<u8, Fault>),
    Guest(Result<u8, Stop>),
    Called(Result<Called, Stop>),
    /// Size, block size, blocks; and whether the inode is that of the other descriptors of the same file only.
    Stat(Answer<(u64, u64, u64)>),
    Attributes2(Answer, MemoryAttributes2),
    Prefault(Answer, PreFaultMemory),
}

fn done<T>(answer: Answer<T>) -> Seen {
    Seen::Answer(answer.map(|_| 0))
}

/// Does it.
pub(super) fn apply(target: &mut dyn Target, world: &mut World, op: &Op) -> Seen {
    try_apply(target, world, op).unwrap_or(Seen::Absent)
}

#[expect(clippy::too_many_lines, reason = "one arm an operation, side by side")]
fn try_apply(target: &mut dyn Target, world: &mut World, op: &Op) -> Option<Seen> {
    let vm = |world: &World, place: usize| world.vms[place].as_ref().map(|vm| vm.id);
    let file = |world: &World, place: usize| world.files[place].map(|file| file.id);
    Some(match *op {
        Op::CreateVm(place, kind) => create_vm(target, world, place, VmType(kind)),
        Op::CloseVm(place) => {
            target.close_vm(world.vms[place].take()?.id);
            done(Ok(()))
        }
        Op::Check(place, number) => Seen::Answer(Ok(target.check(Some(vm(world, place)?), Capability(number)).into())),
        Op::CreateFile(place, of, create) => {
            let vm = vm(world, of)?;
            create_file(target, world, place, vm, &create)
        }
        Op::CloseFile(place) => {
            target.close(world.files[place].take()?.id);
            done(Ok(()))
        }
        Op::Dup(place, from) => {
            let from = world.files[from]?;
            let answer = target.dup(from.id);
            world.files[place] = answer.ok().map(|id| File { id, ..from });
            done(answer)
        }
        Op::Stat(place) => {
            let stat = target.stat(file(world, place)?);
            Seen::Stat(stat.map(|stat| (stat.size, stat.block_size, stat.blocks)))
        }
        Op::Allocate(place, mode, offset, bytes) => {
            let file = world.files[place]?;
            let answer = target.allocate(file.id, mode, offset, bytes);
            if mode & 2 != 0 && answer.is_ok() {
                // What comes next in these pages is another frame.
                world.frames.retain(|(life, page), _| {
                    *life != file.life || !(offset..offset.saturating_add(bytes)).contains(page)
                });
            }
            done(answer)
        }
        Op::Truncate(place, bytes) => done(target.truncate(file(world, place)?, bytes)),
        Op::FileCall(place, call) => Seen::Answer(target.file_call(file(world, place)?, call)),
        Op::Map(place, from, offset, bytes, kind) => {
            let from = world.files[from]?;
            let answer = target.map(from.id, offset, bytes, kind);
            let number = world.next();
            let file = Some((from.life, from.flags, offset));
            world.mappings[place] = answer.ok().map(|id| Mapping { id, file, bytes, number });
            done(answer)
        }
        Op::Anonymous(place, bytes) => {
            let answer = target.anonymous(bytes);
            let number = world.next();
            world.mappings[place] = answer.ok().map(|id| Mapping { id, file: None, bytes, number });
            done(answer)
        }
        Op::Unmap(place) => {
            target.unmap(world.mappings[place].take()?.id);
            for shown in world.vms.iter_mut().flatten().flat_map(|vm| vm.slots.values_mut()) {
                if shown.mapping == Some(place) {
                    shown.mapping = None;
                }
            }
            done(Ok(()))
        }
        Op::Load(place, child, offset) => {
            let (process, mapping) = touched(world, place, child, offset)?;
            Seen::Touch(target.load(process, mapping.id, offset))
        }
        Op::Store(place, child, offset, value) => {
            let (process, mapping) = touched(world, place, child, offset)?;
            Seen::Touch(target.store(process, mapping.id, offset, value).map(|()| value))
        }
        Op::MemoryCall(place, offset, call) => Seen::Answer(
            target.memory_call(part(world, place, offset, 0x1000)?.id, offset, 0x1000, call).map(u64::from),
        ),
        Op::Resident(place, offset) => {
            Seen::Answer(target.resident(part(world, place, offset, 0x1000)?.id, offset).map(u64::from))
        }
        Op::Pin(place, mapping, offset) => {
            let answer = target.pin(part(world, mapping, offset, 0x1000)?.id, offset, 0x1000);
            world.pins[place] = answer.ok();
            done(answer)
        }
        Op::Unpin(place) => {
            target.unpin(world.pins[place].take()?);
            done(Ok(()))
        }
        Op::Fork(place) => {
            let answer = target.fork();
            let mappings = world.mappings.iter().flatten().map(|mapping| mapping.number).collect();
            world.children[place] = answer.ok().map(|id| Child { id, mappings });
            done(answer)
        }
        Op::End(place) => {
            target.end(world.children[place].take()?.id);
            done(Ok(()))
        }
        Op::Bind(place, slot) => {
            let vm = vm(world, place)?;
            let region = region(target, world, vm, &slot)?;
            let answer = target.set_region2(vm, &region);
            if answer.is_ok() {
                let bound = Bound { mapping: slot.mapping, gpa: slot.gpa, bytes: slot.bytes };
                world.vms[place].as_mut()?.slots.insert(slot.number, bound);
            }
            done(answer)
        }
        Op::Unbind(place, number) => {
            let region = UserspaceMemoryRegion { slot: number, ..Default::default() };
            let region = UserspaceMemoryRegion2 { region, ..Default::default() };
            let answer = target.set_region2(vm(world, place)?, &region);
            if answer.is_ok() {
                world.vms[place].as_mut()?.slots.remove(&number);
            }
            done(answer)
        }
        Op::Attributes(place, attributes) => {
            let vm = vm(world, place)?;
            let answer = target.set_attributes(vm, &attributes);
            if answer.is_ok() {
                world.vms[place].as_mut()?.set(&attributes);
            }
            done(answer)
        }
        Op::Attributes2(place, attributes) => {
            let mut attributes = attributes;
            let answer = target.set_attributes2(file(world, place)?, Some(&mut attributes));
            Seen::Attributes2(answer, attributes)
        }
        Op::Prefault(place, range) => {
            let mut range = range;
            let vm = world.vms[place].as_ref().filter(|vm| vm.may_touch(range.gpa, range.size))?;
            let answer = target.prefault(vm.id, &mut range);
            Seen::Prefault(answer, range)
        }
        Op::GuestLoad(place, gpa) => {
            let vm = world.vms[place].as_ref().filter(|vm| vm.may_touch(gpa, 1))?;
            Seen::Guest(target.guest_load(vm.id, gpa))
        }
        Op::GuestStore(place, gpa, value) => {
            let vm = world.vms[place].as_ref().filter(|vm| vm.may_touch(gpa, 1))?;
            Seen::Guest(target.guest_store(vm.id, gpa, value).map(|()| value))
        }
        Op::Hypercall(place, number, arguments, reply) => {
            Seen::Called(target.hypercall(vm(world, place)?, number, arguments, reply))
        }
    })
}

fn create_vm(target: &mut dyn Target, world: &mut World, place: usize, kind: VmType) -> Seen {
    let answer = target.create_vm(kind);
    world.vms[place] = answer.ok().map(|id| Vm { id, kind, slots: BTreeMap::new(), private: BTreeSet::new() });
    match answer {
        Ok(vm) => done(target.enable(vm, &EnableCapability::new(Capability::EXIT_HYPERCALL, 1 << MAP_GPA_RANGE))),
        refused => done(refused),
    }
}

fn create_file(target: &mut dyn Target, world: &mut World, place: usize, vm: VmId, create: &CreateGuestMemfd) -> Seen {
    let answer: Answer<FileId> = target.create_file(vm, create);
    let life = world.next();
    let (bytes, flags) = (create.size, create.flags);
    world.files[place] = answer.ok().map(|id| File { id, life, bytes, flags });
    done(answer)
}

/// The mapping at a place, if it has these bytes: in a shortened list it may be another than it was.
fn part(world: &World, place: usize, offset: u64, bytes: u64) -> Option<Mapping> {
    world.mappings[place].filter(|mapping| offset + bytes <= mapping.bytes)
}

/// Who touches, and what; `None` if that process does not have the mapping.
fn touched(world: &World, place: usize, child: Option<usize>, offset: u64) -> Option<(ProcessId, Mapping)> {
    let mapping = part(world, place, offset, 1)?;
    let process = match child {
        None => ProcessId::VMM,
        Some(child) => {
            let child = world.children[child].as_ref()?;
            child.mappings.contains(&mapping.number).then_some(child.id)?
        }
    };
    Some((process, mapping))
}

/// The slot in this side's own descriptors and addresses.
fn region(target: &mut dyn Target, world: &World, vm: VmId, slot: &Slot) -> Option<UserspaceMemoryRegion2> {
    let address = match slot.mapping {
        None => 0,
        // A byte too far is a slot that no side accepts.
        Some(place) => target.address(part(world, place, slot.into & !0xfff, slot.bytes & !0xfff)?.id),
    };
    let (file_flag, guest_memfd) = match slot.file {
        SlotFile::None => (0, 0),
        SlotFile::File(place) => (RegionFlags::GUEST_MEMFD.bits(), target.number(world.files[place]?.id)),
        SlotFile::Other(other) => {
            let number = other.foreign(vm).map_or(1_000_000, |foreign| target.foreign(foreign));
            (RegionFlags::GUEST_MEMFD.bits(), number)
        }
    };
    let region = UserspaceMemoryRegion {
        slot: slot.number,
        flags: slot.flags | file_flag,
        guest_phys_addr: slot.gpa,
        memory_size: slot.bytes,
        userspace_addr: address.wrapping_add(slot.into),
    };
    Some(UserspaceMemoryRegion2 { region, guest_memfd_offset: slot.offset, guest_memfd, ..Default::default() })
}
