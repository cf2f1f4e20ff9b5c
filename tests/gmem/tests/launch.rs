//! Guests that firmware measures, without firmware: what the requests accept, and what becomes of each page.

use tenure_abi::Errno;
use tenure_abi::gmem::{
    Attributes, CreateFlags, CreateGuestMemfd, MemoryAttributes, MemoryAttributes2, PreFaultMemory, RegionFlags,
    SnpLaunchUpdate, TdxInitMemRegion, UserspaceMemoryRegion, UserspaceMemoryRegion2, VmType,
};
use tenure_host::gmem::kvm::{Host, TdxCommand};
use tenure_test_gmem::provider::Provider;
use tenure_test_gmem::target::{Answer, FileId, Files, Guest, MapKind, Memory, Personality, ProcessId, VmId, Vmm};

const PAGE: u64 = 0x1000;
const GPA: u64 = 0x10_0000;
const PAGES: u64 = 8;
const COMMAND: TdxCommand = TdxCommand { flags: 1, vcpu_ready: true, shared_bit: 47 };

/// A guest in its launch, all of whose pages are private, and the VMM's bytes: page n holds n + 1.
struct World {
    target: Provider,
    vm: VmId,
    file: FileId,
    address: u64,
}

impl World {
    fn new(personality: Personality, kind: VmType) -> Self {
        let mut target = Provider::built(Host { vm_types: 0x3f, ..Host::new(personality) });
        let in_place = personality >= Personality::RfcV5;
        let vm = target.create_vm(kind).expect("a VM");
        let flags = if in_place { CreateFlags::all() } else { CreateFlags::empty() };
        let file = target.create_file(vm, &CreateGuestMemfd::new(PAGES * PAGE, flags)).expect("a file");
        let region = UserspaceMemoryRegion {
            slot: 1,
            flags: RegionFlags::GUEST_MEMFD.bits(),
            guest_phys_addr: GPA,
            memory_size: PAGES * PAGE,
            userspace_addr: 0,
        };
        let slot = UserspaceMemoryRegion2 { region, guest_memfd: target.number(file), ..Default::default() };
        target.set_region2(vm, &slot).expect("a slot");
        let source = target.anonymous(PAGES * PAGE).expect("memory");
        for page in 0..PAGES {
            target.store(ProcessId::VMM, source, page * PAGE, page as u8 + 1).expect("memory of the VMM");
        }
        let address = target.address(source);
        let mut world = Self { target, vm, file, address };
        if in_place {
            world.convert(0, PAGES, Attributes::PRIVATE).expect("a conversion");
        } else {
            let private = MemoryAttributes::new(GPA, PAGES * PAGE, Attributes::PRIVATE);
            world.target.set_attributes(vm, &private).expect("attributes");
        }
        world.target.launch_start(vm).expect("a launch");
        world
    }

    fn convert(&mut self, first: u64, count: u64, to: Attributes) -> Answer {
        let mut request = MemoryAttributes2::new(first * PAGE, count * PAGE, to);
        self.target.set_attributes2(self.file, Some(&mut request))
    }

    fn update(&self, first: u64, count: u64) -> SnpLaunchUpdate {
        let uaddr = self.address + first * PAGE;
        let gfn_start = GPA / PAGE + first;
        SnpLaunchUpdate { gfn_start, uaddr, len: count * PAGE, page_type: 1, ..Default::default() }
    }

    fn region(&self, first: u64, count: u64) -> TdxInitMemRegion {
        let source_addr = self.address + first * PAGE;
        TdxInitMemRegion { source_addr, gpa: GPA + first * PAGE, nr_pages: count }
    }

    /// Refused, with nothing changed at all.
    fn refuses<T>(&mut self, errno: Errno, request: impl FnOnce(&mut Self) -> Answer<T>) {
        let before = self.target.snapshot();
        assert_eq!(request(self).map(drop), Err(errno));
        assert_eq!(self.target.snapshot(), before);
    }

    fn guest_finds(&mut self, page: u64, value: u8) {
        assert_eq!(self.target.guest_load(self.vm, GPA + page * PAGE), Ok(value), "page {page}");
    }
}

const SNP: [Personality; 5] =
    [Personality::V6_11, Personality::V6_18, Personality::V7_3, Personality::RfcV5, Personality::V8];

#[test]
fn filled_pages_hold_the_vmms_bytes_and_the_others_zeroes() {
    for personality in SNP {
        let mut world = World::new(personality, VmType::SNP);
        let mut update = world.update(0, 3);
        assert_eq!(world.target.launch_update(world.vm, &mut update), Ok(()));
        assert_eq!(update, SnpLaunchUpdate { len: 0, ..world.update(3, 0) });
        let mut zeroes = SnpLaunchUpdate { page_type: 3, uaddr: 1, ..world.update(3, 1) };
        assert_eq!(world.target.launch_update(world.vm, &mut zeroes), Ok(()));
        assert_eq!(world.target.launch_finish(world.vm), Ok(vec![]));
        for page in 0..PAGES {
            world.guest_finds(page, if page < 3 { page as u8 + 1 } else { 0 });
        }
        let vm = world.vm;
        world.refuses(Errno::EINVAL, |world| world.target.launch_finish(vm));
        let mut late = world.update(5, 1);
        world.refuses(Errno::EINVAL, |world| world.target.launch_update(vm, &mut late));
    }
}

#[test]
fn a_page_is_filled_once_and_what_comes_before_it_counts() {
    for personality in SNP {
        let mut world = World::new(personality, VmType::SNP);
        let vm = world.vm;
        let mut third = world.update(2, 1);
        world.target.launch_update(vm, &mut third).expect("the third page");
        let mut update = world.update(0, 4);
        assert_eq!(world.target.launch_update(vm, &mut update), Ok(()), "two pages of four");
        assert_eq!(update, world.update(2, 2));
        world.refuses(Errno::EIO, |world| world.target.launch_update(vm, &mut update));
        assert_eq!(update, world.update(2, 2));
    }
    let mut world = World::new(Personality::V7_3, VmType::TDX);
    let vm = world.vm;
    let mut third = world.region(2, 1);
    world.target.init_mem_region(vm, COMMAND, &mut third).expect("the third page");
    let mut region = world.region(0, 4);
    assert_eq!(world.target.init_mem_region(vm, COMMAND, &mut region), Err(Errno::EIO), "told even after two pages");
    assert_eq!(region, world.region(2, 2));
    world.target.launch_finish(vm).expect("the end of the launch");
    (0..4).for_each(|page| world.guest_finds(page, if page < 3 { page as u8 + 1 } else { 0 }));
}

#[test]
fn shared_pages_and_bad_sources_are_no_content() {
    for personality in SNP {
        let mut world = World::new(personality, VmType::SNP);
        let vm = world.vm;
        if personality >= Personality::RfcV5 {
            world.convert(1, 1, Attributes::empty()).expect("a conversion");
        } else {
            let shared = MemoryAttributes::new(GPA + PAGE, PAGE, Attributes::empty());
            world.target.set_attributes(vm, &shared).expect("attributes");
        }
        let mut update = world.update(1, 1);
        world.refuses(Errno::EIO, |world| world.target.launch_update(vm, &mut update));
        let mut nowhere = SnpLaunchUpdate { uaddr: 0x5000, ..world.update(0, 1) };
        world.refuses(Errno::EIO, |world| world.target.launch_update(vm, &mut nowhere));
        let mut world = World::new(personality, VmType::SNP);
        let mut beyond = world.update(PAGES - 1, 3);
        beyond.uaddr = world.address;
        let vm = world.vm;
        assert_eq!(world.target.launch_update(vm, &mut beyond), Ok(()), "to the slot's end");
        assert_eq!(beyond.len, 2 * PAGE);
        world.refuses(Errno::EINVAL, |world| world.target.launch_update(vm, &mut beyond));
    }
    let mut world = World::new(Personality::V7_3, VmType::TDX);
    let vm = world.vm;
    let mut nowhere = TdxInitMemRegion { source_addr: 0x5000, ..world.region(0, 1) };
    world.refuses(Errno::EFAULT, |world| world.target.init_mem_region(vm, COMMAND, &mut nowhere));
    let shared = MemoryAttributes::new(GPA, PAGE, Attributes::empty());
    world.target.set_attributes(vm, &shared).expect("attributes");
    let mut region = world.region(0, 1);
    world.refuses(Errno::EINVAL, |world| world.target.init_mem_region(vm, COMMAND, &mut region));
    let mut elsewhere = TdxInitMemRegion { gpa: 0x90_0000, ..region };
    world.refuses(Errno::EINVAL, |world| world.target.init_mem_region(vm, COMMAND, &mut elsewhere));
}

#[test]
fn without_a_source_the_page_keeps_what_the_host_wrote_while_it_was_shared() {
    for (personality, kind) in
        [(Personality::RfcV5, VmType::SNP), (Personality::V8, VmType::SNP), (Personality::V8, VmType::TDX)]
    {
        let mut world = World::new(personality, kind);
        let vm = world.vm;
        world.convert(0, 2, Attributes::empty()).expect("to shared");
        let mapping = world.target.map(world.file, 0, PAGES * PAGE, MapKind::Shared).expect("a mapping");
        world.target.store(ProcessId::VMM, mapping, 0, 0x5a).expect("a shared page");
        let preserve = if personality == Personality::RfcV5 { 2 } else { 0 };
        let mut request = MemoryAttributes2::new(0, 2 * PAGE, Attributes::PRIVATE);
        request.flags = preserve;
        world.target.set_attributes2(world.file, Some(&mut request)).expect("to private");
        if kind == VmType::SNP {
            let mut update = SnpLaunchUpdate { uaddr: 0, ..world.update(0, 2) };
            assert_eq!(world.target.launch_update(vm, &mut update), Ok(()));
            assert_eq!((update.uaddr, update.len), (0, 0));
        } else {
            let mut region = TdxInitMemRegion { source_addr: 0, ..world.region(0, 2) };
            assert_eq!(world.target.init_mem_region(vm, COMMAND, &mut region), Ok(()));
            assert_eq!((region.source_addr, region.nr_pages), (0, 0));
        }
        world.target.launch_finish(vm).expect("the end of the launch");
        world.guest_finds(0, 0x5a);
        world.guest_finds(1, 0);
    }
    let mut world = World::new(Personality::V7_3, VmType::SNP);
    let (vm, mut update) = (world.vm, SnpLaunchUpdate { uaddr: 0, ..world.update(0, 1) });
    world.refuses(Errno::EINVAL, |world| world.target.launch_update(vm, &mut update));
    let mut world = World::new(Personality::V7_3, VmType::TDX);
    let (vm, mut region) = (world.vm, TdxInitMemRegion { source_addr: 0, ..world.region(0, 1) });
    world.refuses(Errno::EINVAL, |world| world.target.init_mem_region(vm, COMMAND, &mut region));
}

#[test]
fn nothing_is_mapped_ahead_before_the_launch_ends() {
    for (personality, kind) in
        [(Personality::V6_11, VmType::SNP), (Personality::V7_3, VmType::TDX), (Personality::V8, VmType::TDX)]
    {
        let mut world = World::new(personality, kind);
        let vm = world.vm;
        let mut range = PreFaultMemory::new(GPA, PAGES * PAGE);
        world.refuses(Errno::EOPNOTSUPP, |world| world.target.prefault(vm, &mut range));
        world.target.launch_finish(vm).expect("the end of the launch");
        assert_eq!(world.target.prefault(vm, &mut range), Ok(()));
        assert_eq!(range, PreFaultMemory::new(GPA + PAGES * PAGE, 0));
    }
}

#[test]
fn only_three_replies_reach_a_measured_guest() {
    for (kind, strict) in [(VmType::SW_PROTECTED, false), (VmType::SNP, true), (VmType::TDX, true)] {
        let mut target = Provider::built(Host { vm_types: 0x3f, ..Host::new(Personality::V7_3) });
        let vm = target.create_vm(kind).expect("a VM");
        let enable = tenure_abi::gmem::EnableCapability::new(tenure_abi::gmem::Capability::EXIT_HYPERCALL, 1 << 12);
        target.enable(vm, &enable).expect("hypercalls that exit");
        for reply in (0..200).chain([u64::MAX, 0_u64.wrapping_sub(22), 1 << 32, 0x1_0000_000b]) {
            let seen = target.hypercall(vm, 12, [0x1000, 1, 16], reply);
            let good = !strict || [0, 11, 22].contains(&reply);
            assert_eq!(seen.map(|called| called.result).ok(), good.then_some(reply as u32), "{kind:?}, {reply:#x}");
        }
    }
}

/// Every field at its edges.
const WORDS: [u64; 16] = [
    0,
    1,
    0xfff,
    0x1000,
    0x1001,
    GPA / PAGE,
    GPA,
    GPA + (PAGES - 1) * PAGE,
    1 << 40,
    1 << 47,
    (1 << 52) - 4096,
    1 << 52,
    1 << 63,
    u64::MAX - 8191,
    u64::MAX - 4095,
    u64::MAX,
];

#[test]
fn hostile_launches_are_refused_and_change_nothing() {
    for (personality, kind) in SNP.into_iter().flat_map(|one| [(one, VmType::SNP), (one, VmType::SW_PROTECTED)]) {
        let mut world = World::new_or_plain(personality, kind);
        let vm = world.vm;
        let good = world.update(0, 2);
        let mut requests = Vec::new();
        for word in WORDS {
            requests.push(SnpLaunchUpdate { gfn_start: word, ..good });
            requests.push(SnpLaunchUpdate { uaddr: word, ..good });
            requests.push(SnpLaunchUpdate { len: word, ..good });
            requests.push(SnpLaunchUpdate { uaddr: word, page_type: 3, ..good });
        }
        requests.extend((0..=255).map(|page_type| SnpLaunchUpdate { page_type, ..good }));
        requests.extend((0..16).map(|bit| SnpLaunchUpdate { flags: 1 << bit, ..good }));
        for request in requests {
            let mut asked = request;
            let before = world.target.snapshot();
            let seen = world.target.launch_update(vm, &mut asked);
            if seen.is_ok() {
                assert!(asked.len < request.len, "{request:x?}");
                assert_eq!(kind, VmType::SNP);
                world = World::new_or_plain(personality, kind);
            } else {
                assert!(matches!(seen, Err(Errno::EINVAL | Errno::EIO)), "{request:x?}: {seen:?}");
                assert_eq!((asked, world.target.snapshot() == before), (request, true));
            }
        }
    }
}

#[test]
fn hostile_regions_are_refused_and_change_nothing_that_is_not_told() {
    for personality in [Personality::V6_18, Personality::V7_3, Personality::RfcV5, Personality::V8] {
        let mut world = World::new(personality, VmType::TDX);
        let good = world.region(0, 2);
        let mut requests = vec![(COMMAND, good), (TdxCommand { vcpu_ready: false, ..COMMAND }, good)];
        for word in WORDS {
            requests.push((COMMAND, TdxInitMemRegion { source_addr: word, ..good }));
            requests.push((COMMAND, TdxInitMemRegion { gpa: word, ..good }));
            requests.push((COMMAND, TdxInitMemRegion { nr_pages: word, ..good }));
            requests.push((TdxCommand { shared_bit: word as u32, ..COMMAND }, good));
        }
        requests.extend((0..32).map(|bit| (TdxCommand { flags: 1 << bit, ..COMMAND }, good)));
        for (command, request) in requests {
            let mut asked = request;
            let before = world.target.snapshot();
            let seen = world.target.init_mem_region(world.vm, command, &mut asked);
            let done = request.nr_pages - asked.nr_pages;
            assert_eq!(asked.gpa, request.gpa + done * PAGE);
            assert_eq!(seen.is_ok(), asked.nr_pages == 0 && request.nr_pages != 0, "{request:x?}: {seen:?}");
            if done == 0 {
                assert!(world.target.snapshot() == before, "{request:x?}: {seen:?} changed something");
            } else {
                world = World::new(personality, VmType::TDX);
            }
        }
    }
}

impl World {
    /// As [`World::new`]; a guest that is not measured has no launch to start.
    fn new_or_plain(personality: Personality, kind: VmType) -> Self {
        if kind == VmType::SNP {
            return Self::new(personality, kind);
        }
        let mut target = Provider::new(personality);
        let vm = target.create_vm(kind).expect("a VM");
        assert_eq!(target.launch_start(vm), Err(Errno::EINVAL));
        let file = target.create_file(vm, &CreateGuestMemfd::new(PAGE, CreateFlags::empty())).expect("a file");
        let source = target.anonymous(PAGE).expect("memory");
        let address = target.address(source);
        Self { target, vm, file, address }
    }
}
