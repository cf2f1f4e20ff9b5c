//! The file in a process.

use super::trial::{Outcome, PAGE, Trial, refused, same, works};
use super::{Row, needs, never, row};
use crate::target::{Fault, MapKind, MappingId, MemoryCall, ProcessId};
use tenure_abi::Errno;
use tenure_abi::gmem::{CreateFlags, VmType};

/// The rows.
pub(super) const ROWS: &[Row] = &[
    row("GM-46", "a shared file can be mapped, touched and punched", needs::mappable, supported),
    row("GM-47", "beyond the file there is nothing, whatever is mapped", needs::mappable, overflow),
    row("GM-48", "a private file can be mapped, and no access goes through", needs::mappable, private),
    row("GM-49", "a file cannot be mapped copy-on-write", needs::nothing, copy_on_write),
    row("GM-50", "a file made without the flag cannot be mapped", needs::nothing, not_supported),
    never("GM-51", "memory policies are kept", needs::two_nodes),
    never("GM-52", "pages come from the node of the policy in force", needs::two_nodes),
    row("GM-53", "pages do not collapse into a huge one", needs::mappable, collapse),
];

fn fill(trial: &mut Trial, mapping: MappingId, bytes: u64, value: u8) -> Outcome {
    (0..bytes).try_for_each(|at| trial.store(mapping, at, value))
}

fn holds(trial: &mut Trial, mapping: MappingId, range: std::ops::Range<u64>, value: u8) -> Outcome {
    range.into_iter().try_for_each(|at| trial.finds(mapping, at, value))
}

fn supported(trial: &mut Trial) -> Outcome {
    let (_, file, mapping) = trial.shared_file(4 * PAGE)?;
    holds(trial, mapping, 0..4 * PAGE, 0)?;
    fill(trial, mapping, 4 * PAGE, 0xaa)?;
    holds(trial, mapping, 0..4 * PAGE, 0xaa)?;
    trial.punch(file, 0, PAGE)?;
    holds(trial, mapping, 0..PAGE, 0)?;
    holds(trial, mapping, PAGE..4 * PAGE, 0xaa)?;
    fill(trial, mapping, 4 * PAGE, 0xaa)?;
    holds(trial, mapping, 0..4 * PAGE, 0xaa)
}

fn overflow(trial: &mut Trial) -> Outcome {
    let (_, file, _) = trial.shared_file(4 * PAGE)?;
    let mapping = trial.map(file, 16 * PAGE)?;
    fill(trial, mapping, 4 * PAGE, 0xaa)?;
    for at in [4 * PAGE, 4 * PAGE + 5, 16 * PAGE - 1] {
        let store = trial.target.store(ProcessId::VMM, mapping, at, 0xaa);
        same(&format!("host store at {at:#x}"), store, Err(Fault::bus(at)))?;
        let load = trial.target.load(ProcessId::VMM, mapping, at);
        same(&format!("host load at {at:#x}"), load, Err(Fault::bus(at)))?;
    }
    holds(trial, mapping, 0..4 * PAGE, 0xaa)
}

/// Loads, stores, and the system calls that do them on behalf of a process.
fn private(trial: &mut Trial) -> Outcome {
    let vm = trial.vm(VmType::DEFAULT)?;
    let file = trial.file(vm, 4 * PAGE, CreateFlags::MMAP)?;
    let mapping = trial.map(file, 4 * PAGE)?;
    for at in [0, 1, PAGE - 1, PAGE, 4 * PAGE - 1] {
        let store = trial.target.store(ProcessId::VMM, mapping, at, 0xaa);
        same(&format!("host store at {at:#x}"), store, Err(Fault::bus(at)))?;
        let load = trial.target.load(ProcessId::VMM, mapping, at);
        same(&format!("host load at {at:#x}"), load, Err(Fault::bus(at)))?;
    }
    for (call, errno) in [
        (MemoryCall::WriteToPipe, Errno::EFAULT),
        (MemoryCall::Splice, Errno::EFAULT),
        (MemoryCall::SelfMem, Errno::EIO),
        (MemoryCall::PopulateRead, Errno::EFAULT),
        (MemoryCall::PopulateWrite, Errno::EFAULT),
        (MemoryCall::Lock, Errno::ENOMEM),
    ] {
        refused(&format!("{call:?}"), trial.target.memory_call(mapping, 0, PAGE, call), errno)?;
    }
    let populated = works("mapping with MAP_POPULATE", trial.target.map(file, 0, 4 * PAGE, MapKind::Populated))?;
    same("host load", trial.target.load(ProcessId::VMM, populated, 0), Err(Fault::bus(0)))
}

fn copy_on_write(trial: &mut Trial) -> Outcome {
    let vm = trial.vm(VmType::DEFAULT)?;
    let mappable = needs::mappable(trial) == super::Applies::Yes;
    let kinds = [(CreateFlags::empty(), Errno::ENODEV), (CreateFlags::MMAP, Errno::EINVAL)];
    for (flags, errno) in kinds.into_iter().take(if mappable { 2 } else { 1 }) {
        let file = trial.file(vm, 4 * PAGE, flags)?;
        let seen = trial.target.map(file, 0, 4 * PAGE, MapKind::Private);
        refused(&format!("mapping {flags:?} copy-on-write"), seen, errno)?;
    }
    Ok(())
}

fn not_supported(trial: &mut Trial) -> Outcome {
    let vm = trial.vm(VmType::DEFAULT)?;
    let file = trial.file(vm, 4 * PAGE, CreateFlags::empty())?;
    for bytes in [PAGE, 4 * PAGE] {
        refused("mapping", trial.target.map(file, 0, bytes, MapKind::Shared), Errno::ENODEV)?;
    }
    Ok(())
}

fn collapse(trial: &mut Trial) -> Outcome {
    const HUGE: u64 = 2 << 20;
    let (_, _, mapping) = trial.shared_file(HUGE)?;
    let pages = || (0..HUGE).step_by(PAGE as usize);
    for at in pages() {
        trial.finds(mapping, at, 0)?;
    }
    trial.store(mapping, PAGE, 0xaa)?;
    works("MADV_HUGEPAGE", trial.target.memory_call(mapping, 0, HUGE, MemoryCall::HugePage))?;
    refused("MADV_COLLAPSE", trial.target.memory_call(mapping, 0, HUGE, MemoryCall::Collapse), Errno::EINVAL)?;
    works("MADV_DONTNEED", trial.target.memory_call(mapping, 0, HUGE, MemoryCall::DontNeed))?;
    for at in pages() {
        trial.finds(mapping, at, if at == PAGE { 0xaa } else { 0 })?;
    }
    Ok(())
}
