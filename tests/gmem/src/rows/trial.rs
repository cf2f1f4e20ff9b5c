//! One row on one target: short words for what most rows do.

use crate::target::{Answer, FileId, MapKind, MappingId, ProcessId, Target, VmId};
use std::fmt::Debug;
use tenure_abi::Errno;
use tenure_abi::gmem::{
    CreateFlags, CreateGuestMemfd, RegionFlags, UserspaceMemoryRegion, UserspaceMemoryRegion2, VmType,
};

/// Bytes of a page.
pub(super) const PAGE: u64 = 0x1000;
/// Where rows put memory for the guest.
pub(super) const GPA: u64 = 0x1000_0000;
/// The slot they put it in.
pub(super) const SLOT: u32 = 1;
/// A file that processes can map and touch.
pub(super) const SHARED: CreateFlags = CreateFlags::MMAP.union(CreateFlags::INIT_SHARED);

/// Whether a row holds, or what was seen instead.
pub type Outcome<T = ()> = Result<T, String>;

/// A row that is being tried.
pub struct Trial<'t> {
    /// The target.
    pub target: &'t mut dyn Target,
    /// What could not be tried, for the report.
    pub notes: Vec<String>,
}

/// `seen` must be `wanted`.
#[expect(clippy::needless_pass_by_value, reason = "callers compare values that they have just made")]
pub(super) fn same<T: PartialEq + Debug>(what: &str, seen: T, wanted: T) -> Outcome {
    if seen == wanted { Ok(()) } else { Err(format!("{what}: saw {seen:?}, wanted {wanted:?}")) }
}

/// It must be refused with this errno.
pub(super) fn refused<T: PartialEq + Debug>(what: &str, seen: Answer<T>, errno: Errno) -> Outcome {
    same(what, seen.map(Some).or_else(|seen| if seen == errno { Ok(None) } else { Err(seen) }), Ok(None))
}

/// It must work.
pub(super) fn works<T>(what: &str, seen: Answer<T>) -> Outcome<T> {
    seen.map_err(|errno| format!("{what}: {errno:?}"))
}

impl Trial<'_> {
    /// A new VM.
    pub(crate) fn vm(&mut self, kind: VmType) -> Outcome<VmId> {
        works("creating a VM", self.target.create_vm(kind))
    }

    /// A new file.
    pub(crate) fn file(&mut self, vm: VmId, bytes: u64, flags: CreateFlags) -> Outcome<FileId> {
        works("creating a file", self.target.create_file(vm, &CreateGuestMemfd::new(bytes, flags)))
    }

    /// All of a file, or more than it, in the VMM's address space.
    pub(crate) fn map(&mut self, file: FileId, bytes: u64) -> Outcome<MappingId> {
        works("mapping a file", self.target.map(file, 0, bytes, MapKind::Shared))
    }

    /// A VM without private memory, with a file that starts shared, and the file's mapping.
    pub(crate) fn shared_file(&mut self, bytes: u64) -> Outcome<(VmId, FileId, MappingId)> {
        let vm = self.vm(VmType::DEFAULT)?;
        let file = self.file(vm, bytes, SHARED)?;
        Ok((vm, file, self.map(file, bytes)?))
    }

    /// The slot that shows `bytes` of the file from its beginning, and of the mapping, at [`GPA`].
    pub(crate) fn slot(&mut self, file: FileId, bytes: u64, mapping: Option<MappingId>) -> UserspaceMemoryRegion2 {
        let region = UserspaceMemoryRegion {
            slot: SLOT,
            flags: RegionFlags::GUEST_MEMFD.bits(),
            guest_phys_addr: GPA,
            memory_size: bytes,
            userspace_addr: mapping.map_or(0, |mapping| self.target.address(mapping)),
        };
        UserspaceMemoryRegion2 { region, guest_memfd: self.target.number(file), ..Default::default() }
    }

    /// Sets that slot.
    pub(crate) fn bind(&mut self, vm: VmId, file: FileId, bytes: u64, mapping: Option<MappingId>) -> Outcome {
        let slot = self.slot(file, bytes, mapping);
        works("binding a file", self.target.set_region2(vm, &slot))
    }

    /// Deletes a slot.
    pub(crate) fn unbind(&mut self, vm: VmId, slot: u32) -> Outcome {
        let region = UserspaceMemoryRegion { slot, ..Default::default() };
        works("deleting a slot", self.target.set_region2(vm, &UserspaceMemoryRegion2 { region, ..Default::default() }))
    }

    /// Frees pages of a file.
    pub(crate) fn punch(&mut self, file: FileId, offset: u64, bytes: u64) -> Outcome {
        works("punching a hole", self.target.allocate(file, 3, offset, bytes))
    }

    /// The VMM stores a byte.
    pub(crate) fn store(&mut self, mapping: MappingId, offset: u64, value: u8) -> Outcome {
        let seen = self.target.store(ProcessId::VMM, mapping, offset, value);
        same(&format!("host store at {offset:#x}"), seen, Ok(()))
    }

    /// The VMM loads a byte, which must be this one.
    pub(crate) fn finds(&mut self, mapping: MappingId, offset: u64, value: u8) -> Outcome {
        let seen = self.target.load(ProcessId::VMM, mapping, offset);
        same(&format!("host load at {offset:#x}"), seen, Ok(value))
    }

    /// The guest stores a byte.
    pub(crate) fn guest_store(&mut self, vm: VmId, gpa: u64, value: u8) -> Outcome {
        let seen = self.target.guest_store(vm, gpa, value);
        same(&format!("guest store at {gpa:#x}"), seen, Ok(()))
    }

    /// The guest loads a byte, which must be this one.
    pub(crate) fn guest_finds(&mut self, vm: VmId, gpa: u64, value: u8) -> Outcome {
        let seen = self.target.guest_load(vm, gpa);
        same(&format!("guest load at {gpa:#x}"), seen, Ok(value))
    }

    /// Something of the row that this target cannot show.
    pub(crate) fn note(&mut self, what: impl Into<String>) {
        self.notes.push(what.into());
    }
}
