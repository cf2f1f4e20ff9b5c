//! Processes: mappings, loads and stores, and system calls that touch memory for them.

use super::mappings::{Mapped, Mapping};
use super::{PAGE, Provider};
use crate::target::{Answer, Fault, FileId, MapKind, MappingId, Memory, MemoryCall, PinId, ProcessId};
use std::collections::BTreeSet;
use tenure_abi::Errno;
use tenure_host::gmem::Facts;
use tenure_host::gmem::kvm::may_map;

impl Provider {
    fn add_mapping(&mut self, bytes: u64, what: Mapped) -> Answer<MappingId> {
        let (start, whole) = (self.next_address, bytes.next_multiple_of(PAGE));
        // A page that nothing is ever mapped at comes after each.
        self.next_address = start.checked_add(whole).and_then(|end| end.checked_add(PAGE)).ok_or(Errno::ENOMEM)?;
        let holders = BTreeSet::from([ProcessId::VMM]);
        let mapping = Mapping { start, bytes: whole, what, holders, sealed: false };
        Ok(MappingId(self.space.mappings.add(mapping)))
    }

    /// Offsets of the pages of a range that lie in the mapping.
    fn pages_of(&mut self, mapping: MappingId, offset: u64, bytes: u64) -> Vec<u64> {
        let all = self.space.mappings.get(mapping.0).bytes;
        let end = offset.saturating_add(bytes).min(all);
        (offset / PAGE * PAGE..end).step_by(PAGE as usize).collect()
    }

    /// The frames behind a range, as the VMM reaches them.
    fn frames_of(&mut self, mapping: MappingId, offset: u64, bytes: u64, write: bool) -> Result<Vec<u64>, Fault> {
        let pages = self.pages_of(mapping, offset, bytes);
        pages.into_iter().map(|at| self.space.reach(&self.inodes, ProcessId::VMM, mapping, at, write)).collect()
    }

    fn first_byte(&mut self, mapping: MappingId, offset: u64, errno: Errno) -> Answer<u8> {
        self.load(ProcessId::VMM, mapping, offset).map_err(|_| errno)
    }
}

impl Provider {
    /// Memory of its own loses pages. What the call does to a file is not modelled.
    fn remove_pages(&mut self, mapping: MappingId, offset: u64, bytes: u64) -> Answer<u8> {
        let Mapped::Memory(pages) = &mut self.space.mappings.get(mapping.0).what else { return Err(Errno::EOPNOTSUPP) };
        let (first, end) = ((offset / PAGE) as usize, offset.saturating_add(bytes).div_ceil(PAGE) as usize);
        let range = pages.get_mut(first..end).ok_or(Errno::ENOMEM)?;
        for pfn in range.iter_mut().filter_map(Option::take) {
            self.frames.release(pfn);
        }
        Ok(0)
    }
}

impl Memory for Provider {
    fn map(&mut self, file: FileId, offset: u64, bytes: u64, kind: MapKind) -> Answer<MappingId> {
        if bytes == 0 || !offset.is_multiple_of(PAGE) {
            return Err(Errno::EINVAL);
        }
        let open = self.inodes.opened(*self.files.get(file.0));
        may_map(open.flags, kind != MapKind::Private)?;
        let mapping = self.add_mapping(bytes, Mapped::File { open, first: offset / PAGE })?;
        if kind == MapKind::Populated {
            // What cannot be populated is not, and nobody is told.
            let _ = self.frames_of(mapping, 0, bytes, true);
        }
        Ok(mapping)
    }

    fn anonymous(&mut self, bytes: u64) -> Answer<MappingId> {
        let pages = usize::try_from(bytes.div_ceil(PAGE)).map_err(|_| Errno::ENOMEM)?;
        if pages == 0 || pages > 1 << 20 {
            return Err(if pages == 0 { Errno::EINVAL } else { Errno::ENOMEM });
        }
        self.add_mapping(bytes, Mapped::Memory(vec![None; pages]))
    }

    fn unmap(&mut self, mapping: MappingId) {
        self.give_up(ProcessId::VMM, mapping);
    }

    fn address(&mut self, mapping: MappingId) -> u64 {
        self.space.mappings.get(mapping.0).start
    }

    fn fork(&mut self) -> Answer<ProcessId> {
        let child = ProcessId(self.processes.add(()));
        for (_, mapping) in self.space.mappings.all_mut() {
            if mapping.holders.contains(&ProcessId::VMM) {
                mapping.holders.insert(child);
            }
        }
        Ok(child)
    }

    fn end(&mut self, process: ProcessId) {
        self.processes.remove(process.0);
        let mappings: Vec<_> = self.space.mappings.all().map(|(id, _)| MappingId(id)).collect();
        for mapping in mappings {
            if self.space.mappings.get(mapping.0).holders.contains(&process) {
                self.give_up(process, mapping);
            }
        }
    }

    fn load(&mut self, process: ProcessId, mapping: MappingId, offset: u64) -> Result<u8, Fault> {
        let pfn = self.space.reach(&self.inodes, process, mapping, offset, false)?;
        Ok(self.frames.load(pfn, offset % PAGE))
    }

    fn store(&mut self, process: ProcessId, mapping: MappingId, offset: u64, value: u8) -> Result<(), Fault> {
        let pfn = self.space.reach(&self.inodes, process, mapping, offset, true)?;
        self.frames.store(pfn, offset % PAGE, value);
        Ok(())
    }

    fn memory_call(&mut self, mapping: MappingId, offset: u64, bytes: u64, call: MemoryCall) -> Answer<u8> {
        let odd = !offset.is_multiple_of(PAGE);
        match call {
            MemoryCall::WriteToPipe | MemoryCall::ProcessRead | MemoryCall::Splice | MemoryCall::DirectWrite => {
                self.first_byte(mapping, offset, Errno::EFAULT)
            }
            MemoryCall::SelfMem => self.first_byte(mapping, offset, Errno::EIO),
            MemoryCall::Lock => self.frames_of(mapping, offset, bytes, false).map(|_| 0).map_err(|_| Errno::ENOMEM),
            _ if odd => Err(Errno::EINVAL),
            MemoryCall::PopulateRead | MemoryCall::PopulateWrite => {
                let write = call == MemoryCall::PopulateWrite;
                self.frames_of(mapping, offset, bytes, write).map(|_| 0).map_err(|_| Errno::EFAULT)
            }
            MemoryCall::DontNeed => {
                let pages = offset / PAGE..offset.saturating_add(bytes).div_ceil(PAGE);
                let vmm = ProcessId::VMM.0;
                self.frames.unmap_host(|(who, which, page)| *who == vmm && *which == mapping.0 && pages.contains(page));
                Ok(0)
            }
            MemoryCall::Remove => self.remove_pages(mapping, offset, bytes),
            MemoryCall::HugePage => Ok(0),
            MemoryCall::Collapse => Err(Errno::EINVAL),
            MemoryCall::MakeExecutable => {
                let mapping = self.space.mappings.get(mapping.0);
                if mapping.file_page(0).is_some() {
                    return Err(Errno::EACCES);
                }
                mapping.sealed = true;
                Ok(0)
            }
        }
    }

    fn resident(&mut self, mapping: MappingId, offset: u64) -> Answer<bool> {
        let mapping = self.space.mappings.get(mapping.0);
        if let Mapped::Memory(pages) = &mapping.what {
            return Ok(pages[(offset / PAGE) as usize].is_some());
        }
        let (file, page) = mapping.file_page(offset).ok_or(Errno::ENOMEM)?;
        // The page cache shows pages whose contents are there.
        let facts = self.inodes.get(file).facts(page * PAGE);
        Ok(facts.is_some_and(|(facts, _)| facts.contains(Facts::INITIALISED)))
    }

    fn pin(&mut self, mapping: MappingId, offset: u64, bytes: u64) -> Answer<PinId> {
        let frames = self.frames_of(mapping, offset, bytes, true).map_err(|_| Errno::EFAULT)?;
        for pfn in &frames {
            self.frames.pin(*pfn);
        }
        Ok(PinId(self.pins.add(frames)))
    }

    fn unpin(&mut self, pin: PinId) {
        for pfn in self.pins.remove(pin.0) {
            self.frames.unpin(pfn);
        }
    }

    fn frame(&mut self, mapping: MappingId, offset: u64) -> Option<u64> {
        let place = (ProcessId::VMM.0, mapping.0, offset / PAGE);
        match &self.space.mappings.get(mapping.0).what {
            Mapped::Memory(pages) => *pages.get((offset / PAGE) as usize)?,
            Mapped::File { .. } => self.frames.host_entry(place),
        }
    }
}
