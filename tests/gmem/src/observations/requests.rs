//! Capabilities, kinds of VMs, files, slots, attributes.

use super::words;
use super::world::{BYTES, TWO, World};
use crate::target::Foreign;
use tenure_abi::gmem::{
    Attributes, Capability, CreateFlags, MemoryAttributes, MemoryAttributes2, RegionFlags, UserspaceMemoryRegion2,
    VmType,
};

const PRIVATE: u64 = Attributes::PRIVATE.bits();

pub(super) fn observe(world: &mut World) -> Result<(), String> {
    capabilities(world);
    files(world);
    slots(world)?;
    attributes(world);
    Ok(())
}

fn capabilities(world: &mut World) {
    for (name, number) in [
        ("EXIT_HYPERCALL", 201),
        ("USER_MEMORY2", 231),
        ("MEMORY_FAULT_INFO", 232),
        ("MEMORY_ATTRIBUTES", 233),
        ("GUEST_MEMFD", 234),
        ("VM_TYPES", 235),
        ("PRE_FAULT_MEMORY", 236),
        ("GUEST_MEMFD_FLAGS", 244),
        ("n249", 249),
        ("n250", 250),
        ("n251", 251),
        ("n252", 252),
        ("n253", 253),
    ] {
        let of = [None, Some(world.plain), Some(world.private)];
        let [system, plain, private] = of.map(|vm| world.trial.target.check(vm, Capability(number)));
        world.row(format!("cap.{name}"), format!("system {system:#x}, type 0 {plain:#x}, type 1 {private:#x}"));
    }
    for kind in 2..7 {
        let answer = words::answer(&world.trial.target.create_vm(VmType(kind)));
        world.row(format!("create_vm.type{kind}"), answer);
    }
}

fn files(world: &mut World) {
    for (kind, vm) in [world.plain, world.private].into_iter().enumerate() {
        for flags in 0..5 {
            let answer = world.create(vm, 0x4000, flags, 0);
            world.row(format!("create_gmem.type{kind}.flags{flags}"), answer);
        }
    }
    for (name, bytes, reserved) in [
        ("size0", 0, 0),
        ("size_unaligned", 0x1001, 0),
        ("size_bit63", 1 << 63, 0),
        ("size_2^48", 1 << 48, 0),
        ("size_2^62", 1 << 62, 0),
        ("reserved1", 0x1000, 1),
    ] {
        let answer = world.create(world.private, bytes, 0, reserved);
        world.row(format!("create_gmem.type1.{name}"), answer);
    }
}

fn slots(world: &mut World) -> Result<(), String> {
    let good = world.slot(1, TWO, BYTES, Some(world.file));
    let foreign = world.trial.target.foreign(Foreign::Kvm);
    let other = world.trial.file(world.plain, BYTES, CreateFlags::empty())?;
    let other = world.trial.target.number(other);
    let mappable = world.trial.target.number(world.mappable);
    let older = words::answer(&world.trial.target.set_region(world.private, &good.region));
    world.row("bind.v1_ioctl_flag", older);
    let mut with = |name: &str, change: &dyn Fn(&mut UserspaceMemoryRegion2)| {
        let mut slot = good;
        change(&mut slot);
        let answer = world.bind(&slot);
        world.row(format!("bind.{name}"), answer);
    };
    with("badfd", &|slot| slot.guest_memfd = 999);
    with("notgmem", &|slot| slot.guest_memfd = foreign);
    with("othervm", &|slot| slot.guest_memfd = other);
    with("offset_unaligned", &|slot| (slot.region.memory_size, slot.guest_memfd_offset) = (0x1000, 1));
    with("offset_beyond", &|slot| slot.guest_memfd_offset = 0x1000);
    with("offset_overflow", &|slot| slot.guest_memfd_offset = !0xfff);
    with("readonly", &|slot| slot.region.flags |= RegionFlags::READONLY.bits());
    with("dirty_log", &|slot| slot.region.flags |= RegionFlags::LOG_DIRTY_PAGES.bits());
    with("ua_unaligned", &|slot| slot.region.userspace_addr += 1);
    with("ok", &|_| {});
    with("same_again", &|_| {});
    with("move", &|slot| slot.region.guest_phys_addr += 0x8_0000);
    with("gmem_range_twice", &|slot| {
        (slot.region.slot, slot.region.guest_phys_addr, slot.region.memory_size) = (9, TWO + 0x8_0000, 0x1000);
        slot.guest_memfd_offset = 0x1000;
    });
    with("gpa_overlap", &|slot| {
        (slot.region.slot, slot.region.guest_phys_addr, slot.region.memory_size) = (9, TWO + 0x7000, 0x1000);
        slot.guest_memfd = mappable;
    });
    Ok(())
}

fn attributes(world: &mut World) {
    for (name, address, size, attributes, flags) in [
        ("size0", TWO, 0, PRIVATE, 0),
        ("addr_unaligned", TWO + 1, 0x1000, PRIVATE, 0),
        ("size_unaligned", TWO, 1, PRIVATE, 0),
        ("wrap", !0xfff, 0x2000, PRIVATE, 0),
        ("flags1", TWO, 0x1000, PRIVATE, 1),
        ("attr1", TWO, 0x1000, 1, 0),
        ("attr9", TWO, 0x1000, 9, 0),
        ("attr16", TWO, 0x1000, 16, 0),
        ("private", TWO, 0x2000, PRIVATE, 0),
        ("private_again", TWO, 0x2000, PRIVATE, 0),
        ("no_slot", 0x20_0000, 0x1000, PRIVATE, 0),
        ("shared_never_private", 0x30_0000, 0x1000, 0, 0),
        ("gpa_top", 1 << 51, 0x1000, PRIVATE, 0),
        ("gpa_top_back", 1 << 51, 0x1000, 0, 0),
    ] {
        let request = MemoryAttributes { address, size, attributes, flags };
        let answer = words::answer(&world.trial.target.set_attributes(world.private, &request));
        world.row(format!("set_attr.{name}"), answer);
    }
    for (name, to) in [("private", Attributes::PRIVATE), ("shared", Attributes::empty())] {
        let request = MemoryAttributes::new(TWO, 0x1000, to);
        let answer = words::answer(&world.trial.target.set_attributes(world.plain, &request));
        world.row(format!("set_attr.type0_{name}"), answer);
    }
    let mut request = MemoryAttributes2::new(0, 0x1000, Attributes::PRIVATE);
    let answer = words::answer(&world.trial.target.set_attributes2(world.mappable, Some(&mut request)));
    world.row("attr2.on_gmem_fd", answer);
}
