//! Two fields of a structure at once: where sums wrap and orders of checks show.

use super::values::FEW;
use super::world::{GPA, each};
use tenure_abi::Errno;
use tenure_abi::gmem::{Attributes, MemoryAttributes, MemoryAttributes2, PreFaultMemory};
use tenure_test_gmem::target::Vmm;

#[test]
fn ranges_that_wrap_are_refused_by_every_request() {
    each(|world| {
        for first in FEW {
            for bytes in FEW {
                let wraps = first.checked_add(bytes).is_none();
                let odd = !(first | bytes).is_multiple_of(4096) || bytes == 0;
                let mut convert = MemoryAttributes2::new(first, bytes, Attributes::PRIVATE);
                let seen = world.ask(|world| world.target.set_attributes2(world.file, Some(&mut convert)));
                assert!(seen.is_err() || first + bytes <= 0x5000, "{first:#x}, {bytes:#x}");
                let set = MemoryAttributes::new(first, bytes, Attributes::empty());
                let seen = world.ask(|world| world.target.set_attributes(world.vm, &set));
                assert_eq!(seen == Err(Errno::EINVAL), (wraps || odd) && seen != Err(Errno::ENOTTY), "{set:x?}");
                let mut ahead = PreFaultMemory::new(first, bytes);
                let seen = world.ask(|world| world.target.prefault(world.vm, &mut ahead));
                assert!(seen.is_err() || !wraps && !odd, "{first:#x}, {bytes:#x}");
                let mut slot = world.slot;
                (slot.region.slot, slot.region.guest_phys_addr) = (2, 0x100_0000);
                (slot.guest_memfd_offset, slot.region.memory_size) = (first, bytes);
                let seen = world.ask(|world| world.target.set_region2(world.vm, &slot));
                assert!(seen.is_err() || !odd, "{slot:x?}");
                let mut slot = world.slot.region;
                (slot.slot, slot.flags, slot.guest_phys_addr, slot.memory_size) = (2, 0, first, bytes);
                let seen = world.ask(|world| world.target.set_region(world.vm, &slot));
                let before = first >= 0x1_0000 && first.checked_add(bytes).is_some_and(|end| end <= GPA);
                let beside = before || first >= GPA + 0x5000 || !world.bound;
                assert!(seen.is_err() || !wraps && !odd && beside, "{slot:x?}");
            }
        }
    });
}
