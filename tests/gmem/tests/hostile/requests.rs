//! KVM's requests, one field at a time.

use super::values::{NUMBERS, WORDS, bitmaps};
use super::world::{GPA, World, each};
use tenure_abi::Errno;
use tenure_abi::gmem::{
    Attributes, Capability, CreateFlags, CreateGuestMemfd, EnableCapability, MemoryAttributes, MemoryAttributes2,
    PreFaultMemory, UserspaceMemoryRegion2,
};
use tenure_test_gmem::target::{Guest, Vmm};

#[test]
fn creation_refuses_or_makes_a_file() {
    each(|world| {
        for size in WORDS {
            let seen = world
                .ask(|world| world.target.create_file(world.vm, &CreateGuestMemfd::new(size, CreateFlags::empty())));
            let good = size != 0 && size % 4096 == 0 && size < 1 << 63;
            assert_eq!(seen.map(drop), if good { Ok(()) } else { Err(Errno::EINVAL) }, "size {size:#x}");
        }
        for flags in bitmaps() {
            let create = CreateGuestMemfd { flags, ..CreateGuestMemfd::new(4096, CreateFlags::empty()) };
            let offered = world.target.check(Some(world.vm), Capability::GUEST_MEMFD_FLAGS);
            let seen = world.ask(|world| world.target.create_file(world.vm, &create));
            let good = flags & !u64::from(offered) == 0;
            assert_eq!(seen.map(drop), if good { Ok(()) } else { Err(Errno::EINVAL) }, "flags {flags:#x}");
        }
        let reserved =
            CreateGuestMemfd { reserved: [u64::MAX; 6], ..CreateGuestMemfd::new(4096, CreateFlags::empty()) };
        assert!(world.ask(|world| world.target.create_file(world.vm, &reserved)).is_ok());
    });
}

/// One change to the slot that would show the file elsewhere; whether slots that have nothing to do with it are taken too.
fn slots(world: &mut World, change: impl Fn(&mut UserspaceMemoryRegion2)) {
    for (id, gpa, offset) in [(1, GPA, 0), (2, 0x100_0000, 0), (2, 0x100_0000, 0x4000)] {
        let mut slot = world.slot;
        (slot.region.slot, slot.region.guest_phys_addr, slot.guest_memfd_offset) = (id, gpa, offset);
        slot.region.memory_size = 0x1000;
        change(&mut slot);
        let known = [Errno::EINVAL, Errno::EEXIST, Errno::EBADF, Errno::ENOMEM];
        let seen = world.ask(|world| world.target.set_region2(world.vm, &slot));
        assert!(seen.is_ok() || known.iter().any(|errno| seen == Err(*errno)), "{slot:x?}: {seen:?}");
        let seen = world.ask(|world| world.target.set_region(world.vm, &slot.region));
        assert!(seen.is_ok() || known.iter().any(|errno| seen == Err(*errno)), "{:x?}: {seen:?}", slot.region);
    }
}

#[test]
fn slots_are_refused_or_made() {
    each(|world| {
        for number in NUMBERS {
            slots(world, |slot| slot.region.slot = number);
            slots(world, |slot| slot.guest_memfd = number);
        }
        for flags in (0..32).map(|bit| 1 << bit).chain([0, 3, 5, 6, 7, u32::MAX]) {
            slots(world, |slot| slot.region.flags = flags);
        }
        for word in WORDS {
            slots(world, |slot| slot.region.guest_phys_addr = word);
            slots(world, |slot| slot.region.memory_size = word);
            slots(world, |slot| slot.region.userspace_addr = word);
            slots(world, |slot| slot.guest_memfd_offset = word);
        }
        slots(world, |slot| (slot.pad1, slot.pad2) = (u32::MAX, [u64::MAX; 14]));
    });
}

#[test]
fn attributes_by_address_are_refused_or_set() {
    each(|world| {
        let good = MemoryAttributes::new(GPA, 0x2000, Attributes::PRIVATE);
        let mut requests = Vec::new();
        for word in WORDS {
            requests.extend([MemoryAttributes { address: word, ..good }, MemoryAttributes { size: word, ..good }]);
        }
        for bits in bitmaps() {
            requests.extend([MemoryAttributes { attributes: bits, ..good }, MemoryAttributes { flags: bits, ..good }]);
        }
        for request in requests {
            let seen = world.ask(|world| world.target.set_attributes(world.vm, &request));
            let known = matches!(seen, Ok(()) | Err(Errno::EINVAL | Errno::ENOTTY));
            assert!(known, "{request:x?}: {seen:?}");
            let offered = world.target.check(Some(world.vm), Capability::MEMORY_ATTRIBUTES);
            assert!(seen.is_err() || request.attributes & !u64::from(offered) == 0, "{request:x?} is not offered");
        }
    });
}

#[test]
fn conversions_in_place_are_refused_or_done() {
    each(|world| {
        let good = MemoryAttributes2::new(0, 0x2000, Attributes::PRIVATE);
        let mut requests = vec![good];
        for word in WORDS {
            requests.extend([MemoryAttributes2 { offset: word, ..good }, MemoryAttributes2 { size: word, ..good }]);
            requests.push(MemoryAttributes2 { error_offset: word, ..good });
        }
        for bits in bitmaps() {
            requests
                .extend([MemoryAttributes2 { attributes: bits, ..good }, MemoryAttributes2 { flags: bits, ..good }]);
            requests.push(MemoryAttributes2 { attributes: 0, flags: bits, ..good });
        }
        for word in 0..11 {
            let mut request = good;
            request.reserved[word] = 1 << 63;
            requests.push(request);
        }
        for request in requests {
            let mut asked = request;
            let seen = world.ask(|world| world.target.set_attributes2(world.file, Some(&mut asked)));
            let located = matches!(seen, Err(Errno::EAGAIN | Errno::EOPNOTSUPP | Errno::ENOMEM));
            let known = located || matches!(seen, Ok(()) | Err(Errno::EINVAL | Errno::ENOTTY));
            assert!(known, "{request:x?}: {seen:?}");
            let wanted = MemoryAttributes2 { error_offset: asked.error_offset, ..request };
            assert_eq!(asked, wanted, "what nobody may write was written");
            assert!(located || asked == request, "{request:x?}: an offset without a page to blame, {asked:x?}");
            assert!(!located || asked.error_offset % 4096 == 0 && asked.error_offset < 0x5000, "{asked:x?}");
        }
        let seen = world.ask(|world| world.target.set_attributes2(world.file, None));
        assert!(matches!(seen, Err(Errno::EFAULT | Errno::ENOTTY)), "{seen:?}");
    });
}

#[test]
fn prefault_makes_its_range_smaller_or_leaves_it() {
    each(|world| {
        let good = PreFaultMemory::new(GPA, 0x2000);
        let mut requests = vec![good, PreFaultMemory::new(GPA, 0x1_0000), PreFaultMemory::new(0, 0x2_0000)];
        for word in WORDS {
            requests.extend([PreFaultMemory { gpa: word, ..good }, PreFaultMemory { size: word, ..good }]);
        }
        requests.extend(bitmaps().map(|flags| PreFaultMemory { flags, ..good }));
        requests.push(PreFaultMemory { padding: [u64::MAX; 5], ..good });
        for request in requests {
            let mut range = request;
            let seen = world.ask(|world| world.target.prefault(world.vm, &mut range));
            match seen {
                Ok(()) => {
                    assert!(range.size < request.size, "{request:x?} to {range:x?}");
                    assert_eq!(range.gpa - request.gpa, request.size - range.size);
                }
                Err(_) => assert_eq!(range, request),
            }
        }
    });
}

#[test]
fn capabilities_are_numbers_and_enabling_is_strict() {
    each(|world| {
        for number in (0..300).chain([u32::MAX]) {
            let capability = Capability(number);
            let all = world.target.check(None, capability);
            let this = world.target.check(Some(world.vm), capability);
            assert_eq!(this & !all, 0, "{capability:?}: a VM has what the kernel has not");
            let seen = world.ask(|world| world.target.enable(world.vm, &EnableCapability::new(capability, 1 << 12)));
            let good = capability == Capability::EXIT_HYPERCALL;
            assert_eq!(seen, if good { Ok(()) } else { Err(Errno::EINVAL) }, "{capability:?}");
        }
        for bits in bitmaps() {
            let asked = EnableCapability::new(Capability::EXIT_HYPERCALL, bits);
            let seen = world.ask(|world| world.target.enable(world.vm, &asked));
            assert_eq!(seen.is_ok(), bits & !(1 << 12) == 0, "{bits:#x}");
        }
    });
}

#[test]
fn guests_can_say_and_touch_anything() {
    each(|world| {
        for a in WORDS.map(|word| word as u32) {
            for b in WORDS.map(|word| word as u32) {
                let seen = world.target.hypercall(world.vm, 12, [a, b, u32::MAX], 1 << 40 | 7);
                assert!(seen.is_ok_and(|called| called.exit.is_none() || called.result == 7), "{a:#x}, {b:#x}");
            }
        }
        for gpa in WORDS {
            // Whatever comes of it: nobody falls over.
            let _ = world.target.guest_load(world.vm, gpa);
            let _ = world.target.guest_store(world.vm, gpa, 1);
        }
        world.refused += 1;
    });
}
