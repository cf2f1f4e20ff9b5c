//! The file itself: how it is made, what it says of itself, what it is not.

use super::trial::{Outcome, PAGE, SHARED, Trial, refused, same, works};
use super::{Row, needs, row};
use crate::target::{FileCall, VmId};
use tenure_abi::Errno;
use tenure_abi::gmem::{Capability, CreateFlags, CreateGuestMemfd, VmType};

/// The rows.
pub(super) const ROWS: &[Row] = &[
    row("GM-42", "each creation flag works if and only if the VM says that it has it", needs::nothing, flags),
    row("GM-43", "files are files of their own", needs::nothing, |trial| each_flags(trial, multiple)),
    row("GM-44", "a size that is not whole pages, or 0, or negative, is refused", needs::nothing, |trial| {
        each_flags(trial, sizes)
    }),
    row("GM-45", "a file can neither be read nor written", needs::nothing, |trial| each_flags(trial, not_a_file)),
    row("GM-54", "a file has the size it was made with", needs::nothing, |trial| each_flags(trial, size)),
    row("GM-64", "VMs without private memory have both flags", needs::mappable, |trial| {
        let vm = trial.vm(VmType::DEFAULT)?;
        same("flags", trial.target.check(Some(vm), Capability::GUEST_MEMFD_FLAGS), 3)
    }),
];

/// The kinds of VMs that this target can make and that need nothing else.
pub(super) fn kinds(trial: &mut Trial) -> Vec<VmType> {
    let kinds = [VmType::DEFAULT, VmType::SW_PROTECTED];
    kinds.into_iter().filter(|kind| needs::offers(trial, *kind)).collect()
}

/// What `flags` allows of the three usual ways to make a file.
fn usual(flags: u32) -> impl Iterator<Item = CreateFlags> {
    let usual = [CreateFlags::empty(), CreateFlags::MMAP, SHARED];
    usual.into_iter().filter(move |one| one.bits() & !u64::from(flags) == 0)
}

/// On every kind of VM, with every usual kind of file.
fn each_flags(trial: &mut Trial, check: fn(&mut Trial, VmId, CreateFlags) -> Outcome) -> Outcome {
    for kind in kinds(trial) {
        let vm = trial.vm(kind)?;
        for flags in usual(trial.target.check(Some(vm), Capability::GUEST_MEMFD_FLAGS)) {
            check(trial, vm, flags).map_err(|seen| format!("{kind:?}, {flags:?}: {seen}"))?;
        }
    }
    Ok(())
}

fn flags(trial: &mut Trial) -> Outcome {
    for kind in kinds(trial) {
        let vm = trial.vm(kind)?;
        let offered = u64::from(trial.target.check(Some(vm), Capability::GUEST_MEMFD_FLAGS));
        for bit in 0..64 {
            let create = CreateGuestMemfd::new(PAGE, CreateFlags::from_bits_retain(1 << bit));
            let seen = trial.target.create_file(vm, &create).map(drop);
            let wanted = if offered & 1 << bit == 0 { Err(Errno::EINVAL) } else { Ok(()) };
            same(&format!("{kind:?}, flag {bit}"), seen, wanted)?;
        }
    }
    Ok(())
}

fn multiple(trial: &mut Trial, vm: VmId, flags: CreateFlags) -> Outcome {
    let one = trial.file(vm, PAGE, flags)?;
    let before = works("stat", trial.target.stat(one))?;
    let two = trial.file(vm, 2 * PAGE, flags)?;
    let other = works("stat", trial.target.stat(two))?;
    same("sizes", (before.size, other.size), (PAGE, 2 * PAGE))?;
    same("whether they are one file", before.inode == other.inode, false)?;
    same("the first file afterwards", trial.target.stat(one), Ok(before))
}

fn sizes(trial: &mut Trial, vm: VmId, flags: CreateFlags) -> Outcome {
    for size in (0..PAGE).chain([PAGE + 1, 1 << 63, (1 << 63) + PAGE, 0_u64.wrapping_sub(PAGE)]) {
        let seen = trial.target.create_file(vm, &CreateGuestMemfd::new(size, flags)).map(drop);
        refused(&format!("size {size:#x}"), seen, Errno::EINVAL)?;
    }
    Ok(())
}

/// All fail; the errnos are those of Linux 6.18 and 7.3.
fn not_a_file(trial: &mut Trial, vm: VmId, flags: CreateFlags) -> Outcome {
    let file = trial.file(vm, PAGE, flags)?;
    for (call, errno) in [
        (FileCall::Read, Errno::EINVAL),
        (FileCall::Write, Errno::EINVAL),
        (FileCall::ReadAt(0), Errno::ESPIPE),
        (FileCall::WriteAt(0), Errno::ESPIPE),
    ] {
        refused(&format!("{call:?}"), trial.target.file_call(file, call), errno)?;
    }
    Ok(())
}

fn size(trial: &mut Trial, vm: VmId, flags: CreateFlags) -> Outcome {
    for bytes in [PAGE, 4 * PAGE, 1 << 30] {
        let file = trial.file(vm, bytes, flags)?;
        let stat = works("stat", trial.target.stat(file))?;
        same("size and block size", (stat.size, stat.block_size), (bytes, PAGE))?;
    }
    Ok(())
}
