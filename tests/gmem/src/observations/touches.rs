//! What guest and host find in private and shared memory, and how a fault looks.

use super::words;
use super::world::{BYTES, MAPPED, TWO, World};
use crate::target::{MapKind, MemoryCall, ProcessId};
use tenure_abi::gmem::{Attributes, CreateFlags};

const PRIVATE: Attributes = Attributes::PRIVATE;
const SHARED: Attributes = Attributes::empty();
/// Memory beside the file in a slot of its own, which the faults are tried on.
pub(super) const PLAIN: u64 = 0x8_8000;

pub(super) fn observe(world: &mut World) -> Result<(), String> {
    two_backings(world);
    memory_faults(world)?;
    gone_files(world)?;
    without_private_memory(world)?;
    mapped(world);
    Ok(())
}

/// Pages 0 and 1 of the slot are private, the others shared.
fn two_backings(world: &mut World) {
    let keep = |world: &mut World, mode, offset, bytes| {
        words::answer(&world.trial.target.allocate(world.file, mode, offset, bytes))
    };
    let seen = world.load(TWO);
    world.row("two.private_first_read", seen);
    let seen = world.store(TWO, 0xa1);
    world.row("two.private_write_A1", seen);
    let seen = world.host(world.beside, 0);
    world.row("two.host_shared_side_after", seen);
    let seen = world.load(TWO + 0x2000);
    world.row("two.shared_read(page2)", seen);
    let seen = world.store(TWO + 0x2000, 0xb2);
    world.row("two.shared_write_B2", seen);
    let seen = world.host(world.beside, 0x2000);
    world.row("two.host_sees", seen);
    let seen = world.set(TWO, 0x1000, SHARED);
    world.row("two.to_shared(page0)", seen);
    let seen = world.load(TWO);
    world.row("two.guest_reads_shared_side", seen);
    let seen = world.store(TWO, 0xc3);
    world.row("two.guest_writes_C3", seen);
    let seen = world.set(TWO, 0x1000, PRIVATE);
    world.row("two.back_to_private", seen);
    let seen = world.load(TWO);
    world.row("two.guest_reads_old_private", seen);
    let (punched, seen) = (keep(world, 3, 0, 0x1000), world.load(TWO));
    world.row("two.punch_private", format!("{punched} then {seen}"));
    let seen = world.host(world.beside, 0);
    world.row("two.punch_keeps_attribute", format!("host {seen}"));
    let calls = [(1, 0, 0x1000), (0, 0, 0x1000), (1, 1, 0x1000), (1, 0, 0x10000)];
    let [whole, nokeep, odd, beyond] = calls.map(|(mode, offset, bytes)| keep(world, mode, offset, bytes));
    world.row("two.fallocate", format!("{whole} nokeep {nokeep} unaligned {odd} beyond {beyond}"));
    let seen = words::answer(&world.trial.target.map(world.file, 0, BYTES, MapKind::Shared));
    world.row("two.mmap_flags0", seen);
}

fn memory_faults(world: &mut World) -> Result<(), String> {
    let slot = world.slot(4, PLAIN, 0x1000, None);
    let memory = world.trial.target.anonymous(0x1000).map_err(|errno| format!("memory: {errno:?}"))?;
    let mut slot = slot;
    slot.region.userspace_addr = world.trial.target.address(memory);
    world.bind(&slot);
    let (set, seen) = (world.set(PLAIN, 0x1000, PRIVATE), world.load(PLAIN));
    world.row("mf.private_attr_slot_without_gmem", format!("{set} {seen}"));
    let seen = world.store(PLAIN + 0xabc, 1);
    world.row("mf.same_write", seen);
    let seen = world.load(0x20_0000);
    world.row("mf.private_attr_no_slot", seen);
    let seen = world.load(0x30_0000);
    world.row("mf.shared_attr_no_slot", seen);
    let seen = world.store(0x30_0004, 7);
    world.row("mf.shared_write_no_slot", seen);
    let (set, seen) = (world.set(PLAIN, 0x1000, SHARED), world.load(PLAIN));
    world.row("mf.retry_after_set_shared", format!("{set} {seen}"));

    let gone = world.trial.target.anonymous(0x1000).map_err(|errno| format!("memory: {errno:?}"))?;
    let mut slot = world.slot(5, 0x4_0000, 0x1000, None);
    slot.region.userspace_addr = world.trial.target.address(gone);
    world.bind(&slot);
    world.trial.target.unmap(gone);
    let seen = world.load(0x4_0000);
    world.row("mf.shared_with_unmapped_hva", seen);
    world.delete(world.private, 5);
    Ok(())
}

fn gone_files(world: &mut World) -> Result<(), String> {
    const WHERE: u64 = 0x5_0000;
    let file = world.trial.file(world.private, 0x1000, CreateFlags::empty())?;
    let slot = world.slot(6, WHERE, 0x1000, Some(file));
    world.bind(&slot);
    world.set(WHERE, 0x1000, PRIVATE);
    let seen = world.load(WHERE);
    world.row("mf.before_gmem_close", seen);
    world.trial.target.close(file);
    let seen = world.load(WHERE);
    world.row("mf.after_gmem_close", seen);
    let seen = world.delete(world.private, 6);
    world.row("mf.slot_delete", seen);
    let seen = world.load(WHERE);
    world.row("mf.after_slot_delete", seen);
    let seen = world.delete(world.private, 6);
    world.row("mf.slot_delete_again", seen);

    let file = world.trial.file(world.private, 0x2000, CreateFlags::MMAP)?;
    let slot = world.slot(7, WHERE + 0x1_0000, 0x2000, Some(file));
    world.bind(&slot);
    world.set(WHERE + 0x1_1000, 0x1000, PRIVATE);
    world.trial.target.close(file);
    let (shared, private) = (world.load(WHERE + 0x1_0000), world.load(WHERE + 0x1_1000));
    world.row("mf.mmap_gmem_closed", format!("attr shared: {shared}; attr private: {private}"));
    Ok(())
}

fn without_private_memory(world: &mut World) -> Result<(), String> {
    const WHERE: u64 = 0x9_0000;
    for flags in [CreateFlags::empty(), CreateFlags::MMAP, CreateFlags::all()] {
        let file = world.trial.file(world.plain, 0x1000, flags)?;
        let mut slot = world.slot(1, WHERE, 0x1000, Some(file));
        slot.region.userspace_addr += 0x3000;
        // Whether it is accepted shows in what the guest finds.
        let _ = world.trial.target.set_region2(world.plain, &slot);
        let seen = match world.trial.target.guest_load(world.plain, WHERE) {
            Ok(value) => format!("read {value:#x}"),
            Err(stop) => words::stop(&stop, world.trial.target.exit_reason(world.plain)),
        };
        let beside = world.host(world.beside, 0x3000);
        let name = format!("type0.gmem_flags{}_guest_reads", flags.bits());
        world.row(name, format!("{seen} (userspace_addr side {beside})"));
        world.delete(world.plain, 1);
    }
    Ok(())
}

/// A file that can be mapped, on a VM with private memory: never shared for the host, always the file for the guest.
fn mapped(world: &mut World) {
    let slot = world.slot(2, MAPPED, BYTES, Some(world.mappable));
    let seen = world.bind(&slot);
    world.row("mmapgmem.bind", seen);
    let mapping = world.trial.target.map(world.mappable, 0, BYTES, MapKind::Shared);
    world.row("mmapgmem.mmap", words::answer(&mapping));
    let seen = words::answer(&world.trial.target.map(world.mappable, 0, BYTES, MapKind::Private));
    world.row("mmapgmem.mmap_private", seen);
    // Without it there is nothing to touch, and the rows that are missing say so.
    let Ok(mapping) = mapping else { return };
    let seen = world.host(mapping, 0);
    world.row("mmapgmem.host_read", seen);
    let stored = world.trial.target.store(ProcessId::VMM, mapping, 0, 1).map(|()| 1);
    world.row("mmapgmem.host_write", words::touch(stored));
    let calls = [MemoryCall::WriteToPipe, MemoryCall::SelfMem, MemoryCall::PopulateRead, MemoryCall::PopulateWrite];
    let [write, mem, read, populate] =
        calls.map(|call| words::answer(&world.trial.target.memory_call(mapping, 0, 0x1000, call)));
    let seen = format!("write(2)={write} /proc/self/mem={mem} POPULATE_READ={read} POPULATE_WRITE={populate}");
    world.row("mmapgmem.host_syscalls", seen);
    let (read, write) = (world.load(MAPPED), world.store(MAPPED, 0xd4));
    world.row("mmapgmem.attr_shared_guest", format!("read {read} write {write}"));
    let seen = world.host(world.beside, 0);
    world.row("mmapgmem.ua_side", seen);
    for (name, to) in [("to_private", PRIVATE), ("to_shared", SHARED)] {
        let (set, guest, host) = (world.set(MAPPED, 0x1000, to), world.load(MAPPED), world.host(mapping, 0));
        world.row(format!("mmapgmem.{name}"), format!("{set} guest {guest} host {host}"));
    }
}
