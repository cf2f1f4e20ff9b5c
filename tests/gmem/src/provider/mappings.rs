//! Ranges of addresses of processes, and how an access goes through them.

use super::frames::Frames;
use super::frames::{Entry, Place};
use super::inodes::Inodes;
use super::{PAGE, Provider};
use crate::table::Table;
use crate::target::{Fault, MappingId, ProcessId, Signal};
use std::collections::BTreeSet;
use tenure_host::gmem::FileId;
use tenure_host::gmem::kvm::OpenFile;

/// What is mapped.
pub(super) enum Mapped {
    /// A file, from a page on.
    File { open: OpenFile, first: u64 },
    /// Memory of its own, shared with children: a frame for each page that was touched.
    Memory(Vec<Option<u64>>),
}

/// A range of addresses, the same in every process that has it.
pub(super) struct Mapping {
    pub(super) start: u64,
    pub(super) bytes: u64,
    pub(super) what: Mapped,
    /// Who has it.
    pub(super) holders: BTreeSet<ProcessId>,
    /// Readable and executable now, and no longer writable.
    pub(super) sealed: bool,
}

impl Mapping {
    /// The file and page behind an offset.
    pub(super) fn file_page(&self, offset: u64) -> Option<(FileId, u64)> {
        match &self.what {
            Mapped::File { open, first } => Some((open.file, first + offset / PAGE)),
            Mapped::Memory(_) => None,
        }
    }
}

/// What an address that is not mapped raises: `SEGV_ACCERR`, because addresses stay reserved.
const fn nothing(offset: u64) -> Fault {
    Fault { signal: Signal::Segv, code: 2, offset }
}

/// Every mapping, and the frames that they lead to.
pub(super) struct Space {
    pub(super) frames: &'static Frames,
    pub(super) mappings: Table<Mapping>,
}

impl Space {
    /// The frame that a process reaches at an offset of a mapping.
    pub(super) fn reach(
        &mut self,
        inodes: &Inodes,
        process: ProcessId,
        id: MappingId,
        offset: u64,
        write: bool,
    ) -> Result<u64, Fault> {
        let frames = self.frames;
        let mapping = self.mappings.get(id.0);
        if !mapping.holders.contains(&process) || write && mapping.sealed {
            return Err(nothing(offset));
        }
        assert!(offset < mapping.bytes, "a test touches {offset:#x} of a mapping of {:#x} bytes", mapping.bytes);
        if let Mapped::Memory(pages) = &mut mapping.what {
            let pfn = &mut pages[(offset / PAGE) as usize];
            *pfn = pfn.or_else(|| frames.anonymous());
            return pfn.ok_or(Fault::bus(offset));
        }
        let (file, page) = mapping.file_page(offset).expect("a mapping of a file");
        let place: Place = (process.0, id.0, offset / PAGE);
        if let Some(pfn) = frames.host_entry(place) {
            return Ok(pfn);
        }
        let mapped = inodes.get(file).host_fault(page * PAGE, |mapping| {
            // The page asked for, whatever size was offered.
            let pfn = mapping.pfn.number() + page % mapping.size.frames();
            frames.map_host(place, Entry { file, page, pfn });
            pfn
        });
        mapped.map_err(|_| Fault::bus(offset))
    }

    /// The frame that the VMM reaches at an address.
    pub(super) fn at_address(&mut self, inodes: &Inodes, address: u64, write: bool) -> Option<u64> {
        let holds = |mapping: &Mapping| {
            let within = mapping.start <= address && address - mapping.start < mapping.bytes;
            within && mapping.holders.contains(&ProcessId::VMM)
        };
        let (id, start) = self.mappings.all().find(|(_, one)| holds(one)).map(|(id, one)| (id, one.start))?;
        self.reach(inodes, ProcessId::VMM, MappingId(id), address - start, write).ok()
    }
}

impl Provider {
    /// Whether a mapping shows a file that was opened so.
    pub(super) fn is_mapped(&self, open: OpenFile) -> bool {
        let shows = |mapping: &Mapping| matches!(mapping.what, Mapped::File { open: mapped, .. } if mapped == open);
        self.space.mappings.all().any(|(_, mapping)| shows(mapping) && !mapping.holders.is_empty())
    }

    /// A process gives up a mapping.
    pub(super) fn give_up(&mut self, process: ProcessId, id: MappingId) {
        let mapping = self.space.mappings.get(id.0);
        mapping.holders.remove(&process);
        self.frames.unmap_host(|(who, which, _)| *who == process.0 && *which == id.0);
        if !mapping.holders.is_empty() {
            return;
        }
        match &mut mapping.what {
            Mapped::Memory(pages) => {
                for pfn in std::mem::take(pages).into_iter().flatten() {
                    self.frames.release(pfn);
                }
            }
            Mapped::File { open, .. } => {
                let open = *open;
                self.forget_if_unused(open);
            }
        }
    }
}
