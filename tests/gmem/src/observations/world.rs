//! The VMs and files that everything is tried on, and short words for trying.

use super::Table;
use super::words;
use crate::rows::Trial;
use crate::target::{FileId, MappingId, ProcessId, VmId};
use tenure_abi::gmem::{
    Attributes, CreateFlags, CreateGuestMemfd, MemoryAttributes, RegionFlags, UserspaceMemoryRegion,
    UserspaceMemoryRegion2, VmType,
};

/// Bytes of every file here, and of the memory beside it.
pub(super) const BYTES: u64 = 0x8000;
/// Where the file without flags stands in the guest's memory.
pub(super) const TWO: u64 = 0x1_0000;
/// Where the file that can be mapped stands.
pub(super) const MAPPED: u64 = 0x2_0000;

/// Everything that is used more than once.
pub(super) struct World<'a, 't> {
    pub(super) trial: &'a mut Trial<'t>,
    pub(super) table: Table,
    /// A VM without private memory.
    pub(super) plain: VmId,
    /// A VM with private memory.
    pub(super) private: VmId,
    /// The memory that the VMM gives as `userspace_addr`; page i holds 0x50 + i.
    pub(super) beside: MappingId,
    /// A file of `private` without flags.
    pub(super) file: FileId,
    /// A file of `private` that can be mapped.
    pub(super) mappable: FileId,
}

impl<'a, 't> World<'a, 't> {
    pub(super) fn new(trial: &'a mut Trial<'t>) -> Result<Self, String> {
        let (plain, private) = (trial.vm(VmType::DEFAULT)?, trial.vm(VmType::SW_PROTECTED)?);
        let beside = trial.target.anonymous(BYTES).map_err(|errno| format!("memory: {errno:?}"))?;
        for page in 0..BYTES / 0x1000 {
            trial.store(beside, page * 0x1000, 0x50 + page as u8)?;
        }
        let file = trial.file(private, BYTES, CreateFlags::empty())?;
        let mappable = trial.file(private, BYTES, CreateFlags::MMAP)?;
        Ok(Self { trial, table: Table::new(), plain, private, beside, file, mappable })
    }

    /// A row.
    pub(super) fn row(&mut self, name: impl Into<String>, value: impl Into<String>) {
        self.table.push((name.into(), value.into()));
    }

    /// Creates a file of `bytes` bytes with raw flags and a raw first reserved word.
    pub(super) fn create(&mut self, vm: VmId, bytes: u64, flags: u64, reserved: u64) -> String {
        let create = CreateGuestMemfd { size: bytes, flags, reserved: [reserved, 0, 0, 0, 0, 0] };
        words::answer(&self.trial.target.create_file(vm, &create))
    }

    /// The slot `slot` at `gpa` with the file and the memory beside it.
    pub(super) fn slot(&mut self, slot: u32, gpa: u64, bytes: u64, file: Option<FileId>) -> UserspaceMemoryRegion2 {
        let flags = if file.is_some() { RegionFlags::GUEST_MEMFD.bits() } else { 0 };
        let userspace_addr = self.trial.target.address(self.beside);
        let region = UserspaceMemoryRegion { slot, flags, guest_phys_addr: gpa, memory_size: bytes, userspace_addr };
        let guest_memfd = file.map_or(0, |file| self.trial.target.number(file));
        UserspaceMemoryRegion2 { region, guest_memfd, ..Default::default() }
    }

    /// Sets a slot of the VM with private memory.
    pub(super) fn bind(&mut self, slot: &UserspaceMemoryRegion2) -> String {
        words::answer(&self.trial.target.set_region2(self.private, slot))
    }

    /// Deletes one.
    pub(super) fn delete(&mut self, vm: VmId, slot: u32) -> String {
        let region = UserspaceMemoryRegion { slot, ..Default::default() };
        words::answer(&self.trial.target.set_region2(vm, &UserspaceMemoryRegion2 { region, ..Default::default() }))
    }

    /// Sets attributes of the VM with private memory.
    pub(super) fn set(&mut self, address: u64, size: u64, to: Attributes) -> String {
        words::answer(&self.trial.target.set_attributes(self.private, &MemoryAttributes::new(address, size, to)))
    }

    /// Its guest loads a byte.
    pub(super) fn load(&mut self, gpa: u64) -> String {
        match self.trial.target.guest_load(self.private, gpa) {
            Ok(value) => format!("read {value:#x}"),
            Err(stop) => words::stop(&stop, self.trial.target.exit_reason(self.private)),
        }
    }

    /// Its guest stores a byte.
    pub(super) fn store(&mut self, gpa: u64, value: u8) -> String {
        match self.trial.target.guest_store(self.private, gpa, value) {
            Ok(()) => "done".into(),
            Err(stop) => words::stop(&stop, self.trial.target.exit_reason(self.private)),
        }
    }

    /// The VMM loads a byte.
    pub(super) fn host(&mut self, mapping: MappingId, offset: u64) -> String {
        words::touch(self.trial.target.load(ProcessId::VMM, mapping, offset))
    }
}
