//! What was first seen on Linux 6.18: files that start shared, on VMs without private memory.

use super::trial::{GPA, Outcome, PAGE, SLOT, Trial, refused, same, works};
use super::{Row, needs, row};
use crate::target::{FileCall, MapKind, MemoryCall, Stop};
use tenure_abi::Errno;
use tenure_abi::gmem::VmType;

const PAGES: u64 = 4;

/// The rows.
pub(super) const ROWS: &[Row] = &[
    row("GM-96", "the size of a file never changes", needs::mappable, |trial| {
        let (_, file, _) = trial.shared_file(PAGES * PAGE)?;
        for bytes in [(PAGES + 1) * PAGE, PAGE, 0] {
            refused(&format!("truncating to {bytes:#x}"), trial.target.truncate(file, bytes), Errno::EINVAL)?;
        }
        Ok(())
    }),
    row("GM-97", "a hole is a hole for a child too", needs::mappable, |trial| {
        let (_, file, mapping) = trial.shared_file(PAGE)?;
        let child = works("forking", trial.target.fork())?;
        trial.store(mapping, 0, 0xaa)?;
        same("child's load", trial.target.load(child, mapping, 0), Ok(0xaa))?;
        trial.punch(file, 0, PAGE)?;
        same("child's load after the hole", trial.target.load(child, mapping, 0), Ok(0))
    }),
    row("GM-98", "two mappings show the same memory", needs::mappable, |trial| {
        let (_, file, one) = trial.shared_file(PAGE)?;
        let two = trial.map(file, PAGE)?;
        trial.store(one, 5, 0xaa)?;
        trial.finds(two, 5, 0xaa)?;
        trial.store(two, 5, 0xbb)?;
        trial.finds(one, 5, 0xbb)?;
        let frames = [one, two].map(|mapping| trial.target.frame(mapping, 0));
        same("whether both have the same frame", frames[0] == frames[1], true)
    }),
    row("GM-99", "system calls touch shared pages", needs::mappable, system_calls),
    row("GM-100", "pages are not executable", needs::mappable, |trial| {
        let (_, _, mapping) = trial.shared_file(PAGE)?;
        let seen = trial.target.memory_call(mapping, 0, PAGE, MemoryCall::MakeExecutable);
        refused("making it executable", seen, Errno::EACCES)
    }),
    row("GM-101", "a descriptor can be duplicated, and not sealed, sought or opened again", needs::mappable, |trial| {
        let (_, file, mapping) = trial.shared_file(PAGE)?;
        let copy = works("dup", trial.target.dup(file))?;
        let stats = [file, copy].map(|file| trial.target.stat(file));
        same("whether both are one file", stats[0] == stats[1], true)?;
        trial.target.close(file);
        trial.store(mapping, 0, 0xaa)?;
        let again = trial.map(copy, PAGE)?;
        trial.finds(again, 0, 0xaa)?;
        refused("seals", trial.target.file_call(copy, FileCall::GetSeals), Errno::EINVAL)?;
        refused("sealing", trial.target.file_call(copy, FileCall::AddSeals), Errno::EINVAL)?;
        refused("seeking", trial.target.file_call(copy, FileCall::Seek(0)), Errno::ESPIPE)?;
        refused("opening again", trial.target.file_call(copy, FileCall::Reopen), Errno::ENXIO)
    }),
    row("GM-102", "a page shows in mincore once it was touched, and never in the block count", needs::mappable, blocks),
    row(
        "GM-103",
        "a file that nobody has open or mapped is gone for the guest, whose slot remains",
        needs::mappable,
        closed,
    ),
    row("GM-104", "a file keeps its contents when it is bound elsewhere", needs::mappable, |trial| {
        let (vm, file, mapping) = trial.shared_file(PAGE)?;
        trial.bind(vm, file, PAGE, Some(mapping))?;
        trial.guest_store(vm, GPA, 0xaa)?;
        trial.unbind(vm, SLOT)?;
        let mut slot = trial.slot(file, PAGE, Some(mapping));
        slot.region.guest_phys_addr += 0x10_0000;
        works("binding elsewhere", trial.target.set_region2(vm, &slot))?;
        trial.guest_finds(vm, GPA + 0x10_0000, 0xaa)?;
        let nothing = Stop::Mmio { gpa: GPA, bytes: 1, write: false };
        same("guest load at the old place", trial.target.guest_load(vm, GPA), Err(nothing))
    }),
    row("GM-105", "a slot shows the file from its offset on", needs::mappable, |trial| {
        let (vm, file, mapping) = trial.shared_file(PAGES * PAGE)?;
        for page in 0..PAGES {
            trial.store(mapping, page * PAGE, 0x10 + page as u8)?;
        }
        let mut slot = trial.slot(file, 2 * PAGE, Some(mapping));
        slot.guest_memfd_offset = 2 * PAGE;
        slot.region.userspace_addr += 2 * PAGE;
        works("binding", trial.target.set_region2(vm, &slot))?;
        trial.guest_finds(vm, GPA, 0x12)?;
        trial.guest_finds(vm, GPA + PAGE, 0x13)
    }),
    row("GM-106", "userspace_addr counts for emulated accesses, and not for the MMU's", needs::mappable, |trial| {
        let (vm, file, mapping) = trial.shared_file(PAGE)?;
        let elsewhere = works("memory", trial.target.anonymous(PAGE))?;
        trial.store(mapping, 0, 0xaa)?;
        trial.store(elsewhere, 0, 0xbb)?;
        trial.bind(vm, file, PAGE, Some(elsewhere))?;
        let paged = needs::paged(trial);
        trial.guest_finds(vm, GPA, if paged { 0xaa } else { 0xbb })?;
        trial.guest_store(vm, GPA, 0xcc)?;
        let (file_now, memory_now) = if paged { (0xcc, 0xbb) } else { (0xaa, 0xcc) };
        trial.finds(mapping, 0, file_now)?;
        trial.finds(elsewhere, 0, memory_now)
    }),
    row("GM-107", "userspace_addr is whole pages of user space", needs::mappable, |trial| {
        let (vm, file, mapping) = trial.shared_file(PAGE)?;
        let good = trial.target.address(mapping);
        for address in [good + 1, good + 0xfff, 1 << 63, 0xffff_8000_0000_0000, 0_u64.wrapping_sub(PAGE)] {
            let mut slot = trial.slot(file, PAGE, None);
            slot.region.userspace_addr = address;
            refused(&format!("address {address:#x}"), trial.target.set_region2(vm, &slot), Errno::EINVAL)?;
        }
        trial.bind(vm, file, PAGE, Some(mapping))
    }),
];

fn system_calls(trial: &mut Trial) -> Outcome {
    let (_, _, mapping) = trial.shared_file(PAGE)?;
    trial.store(mapping, 0, 0xaa)?;
    for (call, wanted) in [
        (MemoryCall::Lock, 0),
        (MemoryCall::Splice, 0xaa),
        (MemoryCall::WriteToPipe, 0xaa),
        (MemoryCall::SelfMem, 0xaa),
        (MemoryCall::PopulateRead, 0),
        (MemoryCall::PopulateWrite, 0),
        (MemoryCall::DirectWrite, 0xaa),
        (MemoryCall::ProcessRead, 0xaa),
    ] {
        match trial.target.memory_call(mapping, 0, PAGE, call) {
            // The system has no such call, or no place for such a file: nothing is said about guest memory.
            Err(errno @ (Errno(38) | Errno::EOPNOTSUPP)) => trial.note(format!("not here: {call:?}, {errno:?}")),
            seen => same(&format!("{call:?}"), seen, Ok(wanted))?,
        }
    }
    let pin = works("holding the page", trial.target.pin(mapping, 0, PAGE))?;
    trial.finds(mapping, 0, 0xaa)?;
    trial.target.unpin(pin);
    Ok(())
}

fn blocks(trial: &mut Trial) -> Outcome {
    let vm = trial.vm(VmType::DEFAULT)?;
    let file = trial.file(vm, PAGES * PAGE, super::trial::SHARED)?;
    let mapping = works("mapping", trial.target.map(file, 0, PAGES * PAGE, MapKind::Shared))?;
    let resident = |trial: &mut Trial| (0..PAGES).map(|page| trial.target.resident(mapping, page * PAGE)).collect();
    let only = |one| (0..PAGES).map(|page| Ok(page == one)).collect::<Vec<_>>();
    let none = PAGES;
    works("allocating page 1", trial.target.allocate(file, 1, PAGE, PAGE))?;
    same("resident pages after an allocation", resident(trial), only(none))?;
    trial.finds(mapping, PAGE, 0)?;
    same("resident pages after a touch", resident(trial), only(1))?;
    same("blocks", works("stat", trial.target.stat(file))?.blocks, 0)?;
    trial.punch(file, PAGE, PAGE)?;
    same("resident pages after the hole", resident(trial), only(none))
}

/// A mapping keeps the file open as a descriptor does. Once it is gone too, the slot shows nothing.
fn closed(trial: &mut Trial) -> Outcome {
    let (vm, file, mapping) = trial.shared_file(PAGE)?;
    trial.bind(vm, file, PAGE, Some(mapping))?;
    trial.store(mapping, 0, 0xaa)?;
    trial.guest_finds(vm, GPA, 0xaa)?;
    trial.target.close(file);
    trial.finds(mapping, 0, 0xaa)?;
    trial.guest_finds(vm, GPA, 0xaa)?;
    trial.target.unmap(mapping);
    let paged = needs::paged(trial);
    let nothing = Stop::Mmio { gpa: GPA, bytes: 1, write: false };
    let wanted = if paged { Stop::memory_fault(0, GPA) } else { nothing };
    same("guest load without the mapping", trial.target.guest_load(vm, GPA), Err(wanted))
}
