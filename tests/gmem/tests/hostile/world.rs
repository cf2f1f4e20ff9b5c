//! A provider with something in it, so that there is something to break.

use tenure_abi::Errno;
use tenure_abi::gmem::{
    Attributes, Capability, CreateFlags, CreateGuestMemfd, EnableCapability, MemoryAttributes, RegionFlags,
    UserspaceMemoryRegion, UserspaceMemoryRegion2, VmType,
};
use tenure_test_gmem::provider::Provider;
use tenure_test_gmem::target::{Answer, FileId, Files, Guest, MapKind, Memory, Personality, ProcessId, VmId, Vmm};

/// Where the file is shown to the guest.
pub(crate) const GPA: u64 = 0x10_0000;
/// Its pages.
pub(crate) const PAGES: u64 = 5;

/// A VM of a kind, a file of five pages in a slot, touched by whoever may; another VM with a file of its own.
pub(crate) struct World {
    pub(crate) target: Provider,
    pub(crate) kind: VmType,
    pub(crate) vm: VmId,
    pub(crate) file: FileId,
    /// The slot that shows the file.
    pub(crate) slot: UserspaceMemoryRegion2,
    /// Whether this kernel took it.
    pub(crate) bound: bool,
    /// How many requests were refused, and how many were not.
    pub(crate) refused: u32,
    pub(crate) done: u32,
}

/// Every kernel with every kind of VM.
pub(crate) fn each(check: impl Fn(&mut World)) {
    for personality in Personality::ALL {
        for kind in [VmType::DEFAULT, VmType::SW_PROTECTED] {
            let mut world = World::new(personality, kind);
            check(&mut world);
            assert!(world.refused != 0, "nothing was refused on {personality}, {kind:?}");
        }
    }
}

impl World {
    pub(crate) fn new(personality: Personality, kind: VmType) -> Self {
        let mut target = Provider::new(personality);
        let bytes = PAGES << 12;
        let vm = target.create_vm(kind).expect("a VM");
        let flags = target.check(Some(vm), Capability::GUEST_MEMFD_FLAGS);
        let flags = CreateFlags::from_bits_truncate(flags.into());
        let file = target.create_file(vm, &CreateGuestMemfd::new(bytes, flags)).expect("a file");
        let memory = target.anonymous(bytes).expect("memory");
        let region = UserspaceMemoryRegion {
            slot: 1,
            flags: RegionFlags::GUEST_MEMFD.bits(),
            guest_phys_addr: GPA,
            memory_size: bytes,
            userspace_addr: target.address(memory),
        };
        let slot = UserspaceMemoryRegion2 { region, guest_memfd: target.number(file), ..Default::default() };
        let bound = target.set_region2(vm, &slot).is_ok();
        let private = MemoryAttributes::new(GPA + 0x2000, 0x1000, Attributes::PRIVATE);
        let _ = target.set_attributes(vm, &private);
        let _ = target.enable(vm, &EnableCapability::new(Capability::EXIT_HYPERCALL, 1 << 12));
        for page in 0..PAGES - 1 {
            let _ = target.guest_store(vm, GPA + (page << 12), page as u8 + 1);
        }
        if let Ok(mapping) = target.map(file, 0, bytes, MapKind::Shared) {
            let _ = target.store(ProcessId::VMM, mapping, 0x1000, 0x77);
            let _ = target.pin(mapping, 0x1000, 0x1000);
        }
        let other = target.create_vm(kind).expect("another VM");
        let _ = target.create_file(other, &CreateGuestMemfd::new(bytes, CreateFlags::empty()));
        Self { target, kind, vm, file, slot, bound, refused: 0, done: 0 }
    }

    /// A world like the first: for requests that may succeed and change it.
    pub(crate) fn renew(&mut self) {
        let personality = tenure_test_gmem::Target::machine(&self.target).personality;
        let Self { refused, done, kind, .. } = *self;
        *self = Self { refused, done, ..Self::new(personality, kind) };
    }

    /// Makes a request. What is refused as malformed has changed nothing at all; after any other refusal nothing but host
    /// mappings may be gone, which come back on the next touch.
    pub(crate) fn ask<T>(&mut self, request: impl FnOnce(&mut Self) -> Answer<T>) -> Answer<T> {
        let before = self.target.snapshot();
        let answer = request(self);
        if let Err(errno) = &answer {
            self.refused += 1;
            let after = self.target.snapshot();
            let same = if *errno == Errno::EAGAIN { after.same_but_host_mappings(&before) } else { after == before };
            assert!(same, "{errno:?} changed\n{before:x?}\nto\n{after:x?}");
        } else {
            self.done += 1;
            self.renew();
        }
        answer
    }
}
