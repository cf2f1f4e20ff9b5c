//! What a guest's access looks like where there is no memory of the kind it asks for.

use super::trial::{Outcome, PAGE, Trial, same, works};
use super::{Applies, Row, needs, never, row};
use crate::target::{Stop, VmId};
use tenure_abi::gmem::{Attributes, CreateFlags, FaultFlags, MemoryAttributes, UserspaceMemoryRegion2, VmType};

/// Where the memory is, and its slot.
const WHERE: u64 = 0xc000_0000;
const SLOT: u32 = 10;

/// The rows.
pub(super) const ROWS: &[Row] = &[
    row("GM-75", "a private page whose slot is deleted is a memory fault", needs::per_vm, deleted),
    row("GM-76", "a private page whose slot has no file is a memory fault", needs::per_vm, without_file),
    row("GM-77", "in place, a page whose slot is deleted is no memory at all", or_default_vm, in_place),
    never("GM-78", "in place, a page whose slot has no file is shared", |_| {
        Applies::No("without a file there is nothing that could be private")
    }),
];

fn private(trial: &mut Trial, vm: VmId) -> Outcome {
    let attributes = MemoryAttributes::new(WHERE, PAGE, Attributes::PRIVATE);
    works("making the page private", trial.target.set_attributes(vm, &attributes))
}

/// Loads and stores, at the first byte and at another.
fn faults(trial: &mut Trial, vm: VmId, wanted: impl Fn(u64, bool) -> Stop) -> Outcome {
    for at in [WHERE, WHERE + 0xabc] {
        same("guest load", trial.target.guest_load(vm, at), Err(wanted(at, false)))?;
        same("guest store", trial.target.guest_store(vm, at, 1), Err(wanted(at, true)))?;
    }
    Ok(())
}

const MISSING: fn(u64, bool) -> Stop = |_, _| Stop::memory_fault(FaultFlags::PRIVATE.bits(), WHERE);
const NO_MEMORY: fn(u64, bool) -> Stop = |gpa, write| Stop::Mmio { gpa, bytes: 1, write };

fn deleted(trial: &mut Trial) -> Outcome {
    let vm = trial.vm(VmType::SW_PROTECTED)?;
    let file = trial.file(vm, PAGE, CreateFlags::empty())?;
    let memory = works("memory", trial.target.anonymous(PAGE))?;
    let mut slot = trial.slot(file, PAGE, Some(memory));
    (slot.region.slot, slot.region.guest_phys_addr) = (SLOT, WHERE);
    works("binding", trial.target.set_region2(vm, &slot))?;
    private(trial, vm)?;
    trial.guest_finds(vm, WHERE, 0)?;
    trial.unbind(vm, SLOT)?;
    faults(trial, vm, MISSING)
}

fn without_file(trial: &mut Trial) -> Outcome {
    let vm = trial.vm(VmType::SW_PROTECTED)?;
    let memory = works("memory", trial.target.anonymous(PAGE))?;
    let mut slot = UserspaceMemoryRegion2::default();
    (slot.region.slot, slot.region.guest_phys_addr) = (SLOT, WHERE);
    (slot.region.memory_size, slot.region.userspace_addr) = (PAGE, trial.target.address(memory));
    works("the slot", trial.target.set_region2(vm, &slot))?;
    trial.guest_finds(vm, WHERE, 0)?;
    private(trial, vm)?;
    faults(trial, vm, MISSING)?;
    let shared = MemoryAttributes::new(WHERE, PAGE, Attributes::empty());
    works("making the page shared", trial.target.set_attributes(vm, &shared))?;
    trial.guest_finds(vm, WHERE, 0)
}

/// In place, or else the same on a VM that has no private memory at all.
fn or_default_vm(trial: &mut Trial) -> Applies {
    match needs::mappable(trial) {
        Applies::Yes if !trial.target.machine().in_place => Applies::Part("on a VM without private memory"),
        applies => applies,
    }
}

fn in_place(trial: &mut Trial) -> Outcome {
    let in_place = trial.target.machine().in_place;
    let vm = trial.vm(if in_place { VmType::SW_PROTECTED } else { VmType::DEFAULT })?;
    let file = trial.file(vm, PAGE, if in_place { CreateFlags::MMAP } else { super::trial::SHARED })?;
    let mapping = trial.map(file, PAGE)?;
    let mut slot = trial.slot(file, PAGE, Some(mapping));
    (slot.region.slot, slot.region.guest_phys_addr) = (SLOT, WHERE);
    works("binding", trial.target.set_region2(vm, &slot))?;
    trial.guest_finds(vm, WHERE, 0)?;
    trial.unbind(vm, SLOT)?;
    faults(trial, vm, NO_MEMORY)
}
