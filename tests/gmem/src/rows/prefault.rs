//! Mapping before the guest touches: 513 pages in a slot that begins at 2 MiB.

use super::trial::{Outcome, PAGE, Trial, refused, same, works};
use super::{Applies, Row, needs, never, row};
use crate::target::{Answer, Personality, VmId};
use tenure_abi::Errno;
use tenure_abi::gmem::{Attributes, CreateFlags, MemoryAttributes, PreFaultMemory, UserspaceMemoryRegion2, VmType};

const WHERE: u64 = 0xd000_0000;
const SLOT: u32 = 10;
const PAGES: u64 = 513;
const HUGE: u64 = 2 << 20;

/// The rows.
pub(super) const ROWS: &[Row] = &[
    row("GM-79", "a range inside the slot is mapped to its end", needs::prefault, |trial| {
        each(trial, |trial, vm| whole(trial, vm, 0, HUGE, (Ok(()), 0)))
    }),
    row("GM-80", "a range that passes the slot's end stops there", needs::prefault, |trial| {
        each(trial, |trial, vm| whole(trial, vm, HUGE, 2 * PAGE, (Err(Errno::ENOENT), PAGE)))
    }),
    row("GM-81", "a range behind the slot is not found", needs::prefault, |trial| {
        each(trial, |trial, vm| whole(trial, vm, HUGE + PAGE, PAGE, (Err(Errno::ENOENT), PAGE)))
    }),
    row("GM-82", "every call either fails and leaves the range, or makes it smaller", needs::prefault, |trial| {
        each(trial, |trial, vm| {
            let ranges = [(0, HUGE), (0, PAGES * PAGE), (HUGE, 4 * PAGE), (HUGE + PAGE, PAGE), (PAGE, PAGE)];
            ranges.into_iter().try_for_each(|(at, bytes)| run(trial, vm, at, bytes).map(drop))
        })
    }),
    row("GM-83", "while the slot is missing it is not found, or later", needs::prefault, missing),
    row("GM-84", "what was mapped the guest reads without an exit", needs::prefault, |trial| {
        each(trial, |trial, vm| {
            whole(trial, vm, 0, PAGES * PAGE, (Ok(()), 0))?;
            (0..PAGES).try_for_each(|page| trial.guest_finds(vm, WHERE + page * PAGE, 0))
        })
    }),
    row("GM-85", "malformed ranges are refused, whatever the guest's paging", arguments_apply, arguments),
    never("GM-86", "before SNP and TDX finalise it is not supported", needs::snp),
];

/// A VM whose slot shows memory of the VMM, or a file that is private where the VM can have that.
fn world(trial: &mut Trial, kind: VmType, private: bool) -> Outcome<VmId> {
    let vm = trial.vm(kind)?;
    let slot = slot(trial, vm, private)?;
    works("the slot", trial.target.set_region2(vm, &slot))?;
    if private {
        let attributes = MemoryAttributes::new(WHERE, PAGES * PAGE, Attributes::PRIVATE);
        works("making the slot private", trial.target.set_attributes(vm, &attributes))?;
    }
    Ok(vm)
}

fn slot(trial: &mut Trial, vm: VmId, private: bool) -> Outcome<UserspaceMemoryRegion2> {
    let memory = works("memory", trial.target.anonymous(PAGES * PAGE))?;
    let mut slot = UserspaceMemoryRegion2::default();
    if private {
        let file = trial.file(vm, PAGES * PAGE, CreateFlags::empty())?;
        slot = trial.slot(file, PAGES * PAGE, Some(memory));
    }
    (slot.region.slot, slot.region.guest_phys_addr) = (SLOT, WHERE);
    (slot.region.memory_size, slot.region.userspace_addr) = (PAGES * PAGE, trial.target.address(memory));
    Ok(slot)
}

/// On a VM without private memory, on one with it and the slot shared, and private where that is said per VM.
fn each(trial: &mut Trial, check: fn(&mut Trial, VmId) -> Outcome) -> Outcome {
    let mut worlds = vec![(VmType::DEFAULT, false)];
    if needs::per_vm(trial) == Applies::Yes {
        worlds.extend([(VmType::SW_PROTECTED, false), (VmType::SW_PROTECTED, true)]);
    }
    for (kind, private) in worlds {
        let vm = world(trial, kind, private)?;
        check(trial, vm).map_err(|seen| format!("{kind:?}, private {private}: {seen}"))?;
        trial.target.reset();
    }
    Ok(())
}

/// Calls until everything is done or one fails: how the last call ended, and what was left.
fn run(trial: &mut Trial, vm: VmId, at: u64, bytes: u64) -> Outcome<(Answer, u64)> {
    let mut range = PreFaultMemory::new(WHERE + at, bytes);
    loop {
        let before = range;
        let answer = trial.target.prefault(vm, &mut range);
        if answer.is_err() {
            same("the range after an error", range, before)?;
            return Ok((answer, range.size));
        }
        let smaller = range.size < before.size && range.gpa + range.size == before.gpa + before.size;
        same("whether the range is a smaller rest", smaller, true)?;
        if range.size == 0 {
            return Ok((answer, 0));
        }
    }
}

fn whole(trial: &mut Trial, vm: VmId, at: u64, bytes: u64, wanted: (Answer, u64)) -> Outcome {
    let seen = run(trial, vm, at, bytes)?;
    same(&format!("{bytes:#x} bytes at {at:#x}"), seen, wanted)
}

/// The slot goes away between calls; where it goes away during one, schedules are tried elsewhere.
fn missing(trial: &mut Trial) -> Outcome {
    trial.note("the slot goes away between calls");
    let vm = trial.vm(VmType::DEFAULT)?;
    let slot = slot(trial, vm, false)?;
    for _ in 0..8 {
        let (answer, left) = run(trial, vm, 0, HUGE)?;
        let expected = matches!(answer, Err(Errno::ENOENT | Errno::EAGAIN)) && left == HUGE;
        same(&format!("whether {answer:?} may be said without a slot"), expected, true)?;
        works("the slot", trial.target.set_region2(vm, &slot))?;
        whole(trial, vm, 0, HUGE, (Ok(()), 0))?;
        trial.unbind(vm, SLOT)?;
    }
    Ok(())
}

fn arguments_apply(trial: &mut Trial) -> Applies {
    if trial.target.machine().personality < Personality::V6_11 { needs::prefault(trial) } else { Applies::Yes }
}

fn arguments(trial: &mut Trial) -> Outcome {
    let vm = world(trial, VmType::DEFAULT, false)?;
    let odd = [(0, 0), (1, PAGE), (0, 1), (0, PAGE + 1), (PAGE - 1, PAGE)].map(|(at, size)| (WHERE + at, size, 0));
    let wrap = [(0_u64.wrapping_sub(PAGE), 2 * PAGE, 0)];
    let flags = (0..64).map(|bit| (WHERE, PAGE, 1_u64 << bit));
    for (gpa, size, flags) in odd.into_iter().chain(wrap).chain(flags) {
        let asked = PreFaultMemory { flags, ..PreFaultMemory::new(gpa, size) };
        let mut range = asked;
        refused(&format!("{asked:x?}"), trial.target.prefault(vm, &mut range), Errno::EINVAL)?;
        same("the range afterwards", range, asked)?;
    }
    Ok(())
}
