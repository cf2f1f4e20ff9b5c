//! Hypercalls and pre-fault.

use super::touches::PLAIN;
use super::words;
use super::world::{MAPPED, TWO, World};
use tenure_abi::gmem::{Attributes, Capability, EnableCapability, PreFaultMemory};

pub(super) fn observe(world: &mut World) -> Result<(), String> {
    hypercalls(world);
    prefaults(world)
}

fn hypercall(world: &mut World, number: u32, arguments: [u32; 3], reply: u64) -> String {
    match world.trial.target.hypercall(world.private, number, arguments, reply) {
        Ok(called) => words::called(&called),
        Err(stop) => words::stop(&stop, world.trial.target.exit_reason(world.private)),
    }
}

fn hypercalls(world: &mut World) {
    let gpa = TWO as u32;
    let seen = hypercall(world, 12, [gpa, 1, 0x10], 0);
    world.row("hc.not_enabled", seen);
    for mask in [1 << 12, 1 << 11, 1 << 12 | 1, 0, 1 << 12] {
        let enable = EnableCapability::new(Capability::EXIT_HYPERCALL, mask);
        let answer = words::answer(&world.trial.target.enable(world.private, &enable));
        world.row(format!("hc.enable({mask:#x})"), answer);
    }
    for (name, number, arguments, reply) in [
        ("private_ret0", 12, [gpa, 1, 0x10], 0),
        ("shared_3pages", 12, [gpa, 3, 0], 0),
        ("ret1", 12, [gpa, 1, 0x10], 1),
        ("ret22", 12, [gpa, 1, 0x10], 22),
        ("ret-22", 12, [gpa, 1, 0x10], (-22_i64).cast_unsigned()),
        ("size2M", 12, [0x20_0000, 512, 0x11], 0),
        ("attr_all_bits", 12, [gpa, 1, u32::MAX], 0),
        ("no_slot", 12, [0x700_0000, 1, 0x10], 0),
        ("unaligned", 12, [gpa + 1, 1, 0x10], 0),
        ("npages0", 12, [gpa, 0, 0x10], 0),
        ("npages_32bit_max", 12, [gpa, u32::MAX, 0x10], 0),
        ("unknown_nr99", 99, [0, 0, 0], 0),
    ] {
        let seen = hypercall(world, number, arguments, reply);
        world.row(format!("hc.{name}"), seen);
    }
    let seen = world.load(TWO);
    world.row("hc.does_not_change_attribute", format!("page0 still private: {seen}"));
}

fn prefault(world: &mut World, gpa: u64, size: u64, flags: u64) -> String {
    let mut range = PreFaultMemory { flags, ..PreFaultMemory::new(gpa, size) };
    let answer = world.trial.target.prefault(world.private, &mut range);
    words::prefault(answer, &range)
}

fn prefaults(world: &mut World) -> Result<(), String> {
    for (name, gpa, size, flags) in [
        ("private_1", TWO, 0x1000, 0),
        ("shared_6", TWO + 0x2000, 0x6000, 0),
        ("mixed_8", TWO, 0x8000, 0),
        ("past_slot_end", TWO + 0x7000, 0x4000, 0),
        ("no_slot", 0x30_0000, 0x1000, 0),
        ("no_slot_private_attr", 0x20_0000, 0x1000, 0),
        ("size0", TWO, 0, 0),
        ("unaligned", TWO + 1, 0x1000, 0),
        ("size_unaligned", TWO, 1, 0),
        ("flags1", TWO, 0x1000, 1),
        ("wrap", !0xfff, 0x2000, 0),
    ] {
        let seen = prefault(world, gpa, size, flags);
        world.row(format!("prefault.{name}"), seen);
    }
    // Good memory in front of the page that is private without a file.
    let memory = world.trial.target.anonymous(0x1000).map_err(|errno| format!("memory: {errno:?}"))?;
    let mut slot = world.slot(8, PLAIN - 0x1000, 0x1000, None);
    slot.region.userspace_addr = world.trial.target.address(memory);
    world.bind(&slot);
    world.set(PLAIN, 0x1000, Attributes::PRIVATE);
    let seen = prefault(world, PLAIN, 0x1000, 0);
    world.row("prefault.private_attr_without_gmem", seen);
    let seen = prefault(world, PLAIN - 0x1000, 0x2000, 0);
    world.row("prefault.mixed_then_mismatch", seen);
    world.set(PLAIN, 0x1000, Attributes::empty());
    let exit = world.trial.target.exit_reason(world.private);
    world.row(
        "prefault.exit_reason_after",
        exit.map_or_else(|| super::NOT_SHOWN.into(), |exit| format!("{:#x}", exit.0)),
    );
    let (host, guest) = (world.host(world.beside, 0x1000), world.load(TWO + 0x1000));
    world.row("prefault.private_then_host_side", format!("page1 host {host}, guest {guest}"));
    let seen = prefault(world, MAPPED, 0x8000, 0);
    world.row("prefault.mmapgmem", seen);
    Ok(())
}
