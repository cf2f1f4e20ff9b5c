//! The loops of a launch over the provider, as every kernel that has SNP guests or TDs: each page is filled once with its own bytes, and
//! where a launch stops is named exactly.

use std::collections::VecDeque;
use tenure_abi::Errno;
use tenure_abi::gmem::{
    Attributes, CreateFlags, CreateGuestMemfd, MemoryAttributes, MemoryAttributes2, RegionFlags, SnpLaunchUpdate,
    TdxInitMemRegion, UserspaceMemoryRegion, UserspaceMemoryRegion2, VmType,
};
use tenure_host::gmem::kvm::{Host, TdxCommand};
use tenure_host::launch::{self, Refused, Stopped, Why};
use tenure_test_gmem::Target;
use tenure_test_gmem::provider::Provider;
use tenure_test_gmem::target::{FileId, Files, Guest, MapKind, Memory, Personality, ProcessId, VmId, Vmm};

const PAGE: u64 = 0x1000;
const GPA: u64 = 0x10_0000;
/// Pages of a slot, and slots, one behind the other.
const SLOT: u64 = 4;
const SLOTS: u64 = 3;
const PAGES: u64 = SLOT * SLOTS;
const COMMAND: TdxCommand = TdxCommand { flags: 1, vcpu_ready: true, shared_bit: 47 };

/// Every kernel with such guests.
const MEASURED: [(Personality, VmType); 9] = [
    (Personality::V6_11, VmType::SNP),
    (Personality::V6_18, VmType::SNP),
    (Personality::V7_3, VmType::SNP),
    (Personality::RfcV5, VmType::SNP),
    (Personality::V8, VmType::SNP),
    (Personality::V6_18, VmType::TDX),
    (Personality::V7_3, VmType::TDX),
    (Personality::RfcV5, VmType::TDX),
    (Personality::V8, VmType::TDX),
];

/// A guest in its launch, all of whose pages are private, in three slots with a file each; page n of the VMM holds n + 1.
struct World {
    target: Provider,
    vm: VmId,
    kind: VmType,
    files: Vec<FileId>,
    /// Where the VMM's bytes are; 0 for those that are in place already.
    source: u64,
    /// Refusals that come instead of the next calls.
    refusals: VecDeque<Errno>,
    /// Calls that reached the provider, and pauses, with the attempt of each.
    calls: u32,
    attempts: Vec<u32>,
}

impl World {
    /// With a source of `bytes` pages: what lies behind it faults.
    fn new(personality: Personality, kind: VmType, bytes: u64) -> Self {
        let mut target = Provider::built(Host { vm_types: 0x3f, ..Host::new(personality) });
        let in_place = personality >= Personality::RfcV5;
        let vm = target.create_vm(kind).expect("a VM");
        let flags = if in_place { CreateFlags::all() } else { CreateFlags::empty() };
        let files = (0..SLOTS).map(|slot| {
            let file = target.create_file(vm, &CreateGuestMemfd::new(SLOT * PAGE, flags)).expect("a file");
            let region = UserspaceMemoryRegion {
                slot: slot as u32 + 1,
                flags: RegionFlags::GUEST_MEMFD.bits(),
                guest_phys_addr: GPA + slot * SLOT * PAGE,
                memory_size: SLOT * PAGE,
                userspace_addr: 0,
            };
            let region = UserspaceMemoryRegion2 { region, guest_memfd: target.number(file), ..Default::default() };
            target.set_region2(vm, &region).expect("a slot");
            file
        });
        let files: Vec<_> = files.collect();
        let memory = target.anonymous(bytes * PAGE).expect("memory");
        for page in 0..bytes {
            target.store(ProcessId::VMM, memory, page * PAGE, page as u8 + 1).expect("memory of the VMM");
        }
        let source = target.address(memory);
        let (refusals, calls, attempts) = (VecDeque::new(), 0, Vec::new());
        let mut world = Self { target, vm, kind, files, source, refusals, calls, attempts };
        if in_place {
            world.convert(Attributes::PRIVATE, 0);
        } else {
            let private = MemoryAttributes::new(GPA, PAGES * PAGE, Attributes::PRIVATE);
            world.target.set_attributes(vm, &private).expect("attributes");
        }
        world.target.launch_start(vm).expect("a launch");
        world
    }

    fn convert(&mut self, to: Attributes, flags: u64) {
        for &file in &self.files {
            let mut request = MemoryAttributes2::new(0, SLOT * PAGE, to);
            request.flags = flags;
            self.target.set_attributes2(file, Some(&mut request)).expect("a conversion");
        }
    }

    /// Launches `count` pages from page `first` on; a refusal that passes is met `patience` times in a row.
    fn launch(&mut self, first: u64, count: u64, patience: u32) -> Result<(), Stopped> {
        let Self { target, vm, source, refusals, calls, attempts, .. } = self;
        let from = if *source == 0 { 0 } else { *source + first * PAGE };
        let gpa = GPA + first * PAGE;
        let refuse = |errno| Refused { errno, firmware: 0 };
        let pause = |attempt| {
            attempts.push(attempt);
            attempt < patience
        };
        let mut instead = || {
            let refusal = refusals.pop_front();
            *calls += u32::from(refusal.is_none());
            refusal.map_or(Ok(()), |errno| Err(refuse(errno)))
        };
        if self.kind == VmType::TDX {
            let region = TdxInitMemRegion { source_addr: from, gpa, nr_pages: count };
            let call = |region: &mut TdxInitMemRegion| {
                instead()?;
                target.init_mem_region(*vm, COMMAND, region).map_err(refuse)
            };
            return launch::tdx(region, call, pause);
        }
        let gfn_start = gpa / PAGE;
        let update = SnpLaunchUpdate { gfn_start, uaddr: from, len: count * PAGE, page_type: 1, ..Default::default() };
        let call = |update: &mut SnpLaunchUpdate| {
            instead()?;
            target.launch_update(*vm, update).map_err(refuse)
        };
        launch::snp(update, call, pause)
    }

    /// What the kernel calls a source that faults.
    fn fault(&self) -> Errno {
        if self.kind == VmType::TDX { Errno::EFAULT } else { Errno::EIO }
    }

    /// The guest runs and finds these bytes.
    fn finds(&mut self, bytes: impl IntoIterator<Item = u8>) {
        self.target.launch_finish(self.vm).expect("the end of the launch");
        for (page, value) in (0..).zip(bytes) {
            assert_eq!(self.target.guest_load(self.vm, GPA + page * PAGE), Ok(value), "page {page}");
        }
    }
}

fn stopped(done: u64, page: u64, errno: Errno) -> Result<(), Stopped> {
    Err(Stopped { done, gpa: GPA + page * PAGE, why: Why::Refused(Refused { errno, firmware: 0 }) })
}

fn each(mut check: impl FnMut(&mut World)) {
    for (personality, kind) in MEASURED {
        check(&mut World::new(personality, kind, PAGES));
    }
}

#[test]
fn a_range_over_several_slots_is_filled_to_its_end() {
    each(|world| {
        assert_eq!(world.launch(1, PAGES - 2, 0), Ok(()));
        // An SNP request ends with its slot.
        assert_eq!(world.calls, if world.kind == VmType::TDX { 1 } else { SLOTS as u32 });
        assert!(world.attempts.is_empty());
        let bytes = (0..PAGES as u8).map(|page| if page == 0 || page == PAGES as u8 - 1 { 0 } else { page + 1 });
        world.finds(bytes);
    });
}

#[test]
fn a_page_that_was_filled_before_stops_the_launch_there() {
    each(|world| {
        assert_eq!(world.launch(6, 1, 0), Ok(()));
        assert_eq!(world.launch(1, 9, 9), stopped(5, 6, Errno::EIO));
        // Firmware's refusal does not pass: nobody asks again.
        assert!(world.attempts.is_empty());
        assert_eq!(world.launch(7, 3, 0), Ok(()));
        world.finds((0..10).map(|page| if page == 0 { 0 } else { page + 1 }));
    });
}

#[test]
fn a_source_that_faults_half_way_stops_the_launch_there() {
    for (personality, kind) in MEASURED {
        for readable in [1, 4, 6] {
            let mut world = World::new(personality, kind, readable);
            let wanted = stopped(readable, readable, world.fault());
            assert_eq!(world.launch(0, PAGES, 9), wanted);
            assert!(world.attempts.is_empty());
            world.finds((0..PAGES).map(|page| if page < readable { page as u8 + 1 } else { 0 }));
        }
    }
}

#[test]
fn beyond_the_last_slot_the_launch_stops_at_its_end() {
    for (personality, kind) in MEASURED {
        let mut world = World::new(personality, kind, PAGES + 2);
        assert_eq!(world.launch(PAGES - 2, 4, 9), stopped(2, PAGES, Errno::EINVAL));
        world.finds([0]);
    }
}

#[test]
fn what_passes_is_asked_again_and_no_page_is_filled_twice() {
    each(|world| {
        let mut reasons = vec![Errno::EAGAIN, Errno::EINTR];
        reasons.extend((world.kind == VmType::TDX).then_some(Errno::EBUSY));
        let attempts: Vec<_> = (0..reasons.len() as u32).collect();
        world.refusals.extend(reasons);
        assert_eq!(world.launch(0, PAGES, 5), Ok(()));
        assert_eq!(world.attempts, attempts);
        world.finds((0..PAGES as u8).map(|page| page + 1));
    });
}

#[test]
fn what_never_passes_ends_with_the_callers_patience() {
    each(|world| {
        world.refusals.extend([Errno::EAGAIN; 100]);
        assert_eq!(world.launch(2, 5, 3), stopped(0, 2, Errno::EAGAIN));
        assert_eq!((&world.attempts[..], world.calls), (&[0, 1, 2, 3][..], 0));
        // Continued where it stopped.
        world.refusals.clear();
        assert_eq!(world.launch(2, 5, 3), Ok(()));
        world.finds((0..7).map(|page| if page < 2 { 0 } else { page + 1 }));
    });
}

#[test]
fn busy_firmware_is_no_passing_reason_for_snp() {
    each(|world| {
        if world.kind == VmType::SNP {
            world.refusals.push_back(Errno::EBUSY);
            assert_eq!(world.launch(0, 2, 9), stopped(0, 0, Errno::EBUSY));
            assert!(world.attempts.is_empty());
        }
    });
}

#[test]
fn in_place_the_bytes_are_those_that_the_host_wrote_while_they_were_shared() {
    each(|world| {
        let personality = world.target.machine().personality;
        if personality < Personality::RfcV5 {
            world.source = 0;
            assert_eq!(world.launch(0, PAGES, 0), stopped(0, 0, Errno::EINVAL));
            return;
        }
        world.convert(Attributes::empty(), 0);
        for (slot, &file) in (0..).zip(&world.files) {
            let mapping = world.target.map(file, 0, SLOT * PAGE, MapKind::Shared).expect("a mapping");
            world.target.store(ProcessId::VMM, mapping, PAGE, 0x50 + slot).expect("a shared page");
        }
        // RFC v5 says what becomes of contents; later revisions keep them.
        world.convert(Attributes::PRIVATE, if personality == Personality::RfcV5 { 2 } else { 0 });
        world.source = 0;
        assert_eq!(world.launch(0, PAGES, 0), Ok(()));
        world.finds((0..PAGES).map(|page| if page % SLOT == 1 { 0x50 + (page / SLOT) as u8 } else { 0 }));
    });
}
