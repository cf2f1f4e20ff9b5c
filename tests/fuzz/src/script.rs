//! An input as a list of requests, made to a target one after the other.
//!
//! Every field of every wire structure comes from the input. Handles do not: a target may panic on handles that it never
//! gave out, so the input only says which of the live ones is meant.

use crate::reader::Reader;
use tenure_abi::gmem::{
    Capability, CreateGuestMemfd, EnableCapability, MemoryAttributes, MemoryAttributes2, PreFaultMemory,
    UserspaceMemoryRegion, UserspaceMemoryRegion2, VmType,
};
use tenure_test_gmem::Target;
use tenure_test_gmem::target::{
    FileCall, FileId, Foreign, GUEST_LIMIT, MapKind, MappingId, MemoryCall, OWN_MEMORY, PinId, ProcessId, VmId,
};

/// More of one kind than this would only make runs slow.
const MOST: usize = 6;
/// Bytes of memory that one request may be made to back.
const LARGE: u64 = 1 << 15;
/// Requests of one input at most.
const REQUESTS: usize = 48;

/// What is open.
#[derive(Default)]
struct Open {
    vms: Vec<VmId>,
    files: Vec<FileId>,
    mappings: Vec<(MappingId, u64)>,
    pins: Vec<PinId>,
}

/// Makes the requests of `bytes` to `target`, which is reset first.
pub fn run(target: &mut dyn Target, bytes: &[u8]) {
    target.reset();
    let mut reader = Reader::new(bytes);
    let mut open = Open::default();
    open.vms.extend(target.create_vm(VmType::SW_PROTECTED).or_else(|_| target.create_vm(VmType::DEFAULT)));
    for _ in 0..REQUESTS {
        if open.request(target, &mut reader).is_none() {
            break;
        }
    }
}

impl Open {
    /// One request; `None` at the end of the input.
    fn request(&mut self, target: &mut dyn Target, reader: &mut Reader<'_>) -> Option<()> {
        match reader.below(24)? {
            0 => self.vm(target, reader),
            1 | 2 => self.create(target, reader),
            3 | 4 => self.region2(target, reader),
            5 => self.region(target, reader),
            6 | 7 => self.attributes(target, reader),
            8..=10 => self.attributes2(target, reader),
            11 => self.prefault(target, reader),
            12 | 13 => self.allocate(target, reader),
            14 | 15 => self.map(target, reader),
            16 | 17 => self.touch(target, reader),
            18 | 19 => self.guest(target, reader),
            20 => self.calls(target, reader),
            21 => self.pin(target, reader),
            22 => self.end(target, reader),
            _ => self.capability(target, reader),
        }
    }

    fn vm(&mut self, target: &mut dyn Target, reader: &mut Reader<'_>) -> Option<()> {
        let kind = VmType(reader.word()? >> 12);
        if self.vms.len() < MOST {
            self.vms.extend(target.create_vm(kind));
        }
        Some(())
    }

    fn create(&mut self, target: &mut dyn Target, reader: &mut Reader<'_>) -> Option<()> {
        let vm = *self.vms.get(reader.below(self.vms.len())?)?;
        let (size, flags) = (reader.word()?, u64::from(reader.byte()? % 8) | reader.reserved()?);
        let create = CreateGuestMemfd { size, flags, reserved: [reader.reserved()?; 6] };
        if self.files.len() < MOST {
            self.files.extend(target.create_file(vm, &create));
        }
        Some(())
    }

    fn plain_region(&mut self, target: &mut dyn Target, reader: &mut Reader<'_>) -> Option<UserspaceMemoryRegion> {
        let userspace_addr = match self.mappings.get(reader.below(self.mappings.len() + 1)?) {
            Some(&(mapping, _)) => target.address(mapping),
            None => reader.word()?,
        };
        // Slot 0 is the target's own.
        let slot = u32::from(reader.byte()? % 8) + 1;
        Some(UserspaceMemoryRegion {
            slot: if reader.byte()? > 250 { slot | 1 << 16 } else { slot },
            flags: u32::from(reader.byte()? % 16),
            guest_phys_addr: reader.word()?.max(OWN_MEMORY),
            memory_size: reader.word()?,
            userspace_addr,
        })
    }

    fn region(&mut self, target: &mut dyn Target, reader: &mut Reader<'_>) -> Option<()> {
        let vm = *self.vms.get(reader.below(self.vms.len())?)?;
        let region = self.plain_region(target, reader)?;
        let _ = target.set_region(vm, &region);
        Some(())
    }

    fn region2(&mut self, target: &mut dyn Target, reader: &mut Reader<'_>) -> Option<()> {
        let vm = *self.vms.get(reader.below(self.vms.len())?)?;
        let region = self.plain_region(target, reader)?;
        let guest_memfd = match (self.files.get(reader.below(self.files.len() + 1)?), reader.byte()? % 16) {
            (Some(&file), 0..=12) => target.number(file),
            (_, 13) => target.foreign(Foreign::Kvm),
            (_, 14) => target.foreign(Foreign::Vm(vm)),
            (_, 15) => target.foreign(Foreign::Memfd),
            _ => reader.word()? as u32,
        };
        let guest_memfd_offset = reader.word()?;
        let (pad1, pad2) = (reader.reserved()? as u32, [reader.reserved()?; 14]);
        let _ = target.set_region2(vm, &UserspaceMemoryRegion2 { region, guest_memfd_offset, guest_memfd, pad1, pad2 });
        Some(())
    }

    fn attributes(&mut self, target: &mut dyn Target, reader: &mut Reader<'_>) -> Option<()> {
        let vm = *self.vms.get(reader.below(self.vms.len())?)?;
        let (address, size) = (reader.word()?, reader.word()?);
        let attributes = if reader.byte()? < 220 { u64::from(reader.byte()? & 1) << 3 } else { reader.word()? };
        let attributes = MemoryAttributes { address, size, attributes, flags: reader.reserved()? };
        let _ = target.set_attributes(vm, &attributes);
        Some(())
    }

    fn attributes2(&mut self, target: &mut dyn Target, reader: &mut Reader<'_>) -> Option<()> {
        let file = *self.files.get(reader.below(self.files.len())?)?;
        let (offset, size) = (reader.word()?, reader.word()?);
        let attributes = if reader.byte()? < 220 { u64::from(reader.byte()? & 1) << 3 } else { reader.word()? };
        let flags = u64::from(reader.byte()? % 4) | reader.reserved()?;
        let (error_offset, reserved) = (reader.reserved()?, [reader.reserved()?; 11]);
        let mut wire = MemoryAttributes2 { offset, size, attributes, flags, error_offset, reserved };
        let _ = target.set_attributes2(file, if reader.byte()? == 255 { None } else { Some(&mut wire) });
        Some(())
    }

    fn prefault(&mut self, target: &mut dyn Target, reader: &mut Reader<'_>) -> Option<()> {
        let vm = *self.vms.get(reader.below(self.vms.len())?)?;
        let (gpa, size) = (reader.word()?, reader.word()?);
        // Every page takes its time, in a kernel as here; sizes that are refused stay what they are.
        let wraps = gpa.checked_add(size).is_none();
        let size = if size > LARGE && !wraps { LARGE | (size % 0x1000) } else { size };
        let mut range = PreFaultMemory { gpa, size, flags: reader.reserved()?, padding: [reader.reserved()?; 5] };
        let _ = target.prefault(vm, &mut range);
        Some(())
    }

    fn allocate(&mut self, target: &mut dyn Target, reader: &mut Reader<'_>) -> Option<()> {
        let file = *self.files.get(reader.below(self.files.len())?)?;
        let mode = [0, 1, 2, 3, 8, 16, 17, 0x40][reader.below(8)?];
        let (offset, bytes) = (reader.word()?, reader.word()?);
        // A model has only so many frames: what a kernel would do with a huge file is not the question.
        if mode & 2 != 0 || bytes <= LARGE {
            let _ = target.allocate(file, mode, offset, bytes);
        }
        let _ = target.truncate(file, offset);
        Some(())
    }

    fn map(&mut self, target: &mut dyn Target, reader: &mut Reader<'_>) -> Option<()> {
        // Mappings are a mistake of the caller where they are empty, unaligned or absurd.
        let (offset, bytes) = (u64::from(reader.byte()?) << 12, u64::from(reader.byte()? % 8 + 1) << 12);
        let kind = [MapKind::Shared, MapKind::Private, MapKind::Populated][reader.below(3)?];
        let file = self.files.get(reader.below(self.files.len() + 1)?).copied();
        if self.mappings.len() < MOST {
            let mapped = match file {
                Some(file) => target.map(file, offset, bytes, kind),
                None => target.anonymous(bytes),
            };
            self.mappings.extend(mapped.ok().map(|mapping| (mapping, bytes)));
        }
        Some(())
    }

    fn touch(&mut self, target: &mut dyn Target, reader: &mut Reader<'_>) -> Option<()> {
        let &(mapping, bytes) = self.mappings.get(reader.below(self.mappings.len())?)?;
        let process = ProcessId::VMM;
        let offset = u64::from(reader.byte()?) * 0x333 % bytes;
        match reader.byte()? {
            value @ 0..=127 => {
                let _ = target.store(process, mapping, offset, value);
            }
            _ => {
                let _ = target.load(process, mapping, offset);
            }
        }
        Some(())
    }

    fn guest(&mut self, target: &mut dyn Target, reader: &mut Reader<'_>) -> Option<()> {
        let vm = *self.vms.get(reader.below(self.vms.len())?)?;
        let gpa = reader.word()?.max(OWN_MEMORY) % GUEST_LIMIT;
        match reader.byte()? {
            value @ 0..=99 => {
                let _ = target.guest_store(vm, gpa, value);
            }
            100..=220 => {
                let _ = target.guest_load(vm, gpa);
            }
            number => {
                let arguments = [reader.word()? as u32, reader.word()? as u32, reader.word()? as u32];
                let number = if number < 250 { 12 } else { u32::from(number) };
                let _ = target.hypercall(vm, number, arguments, reader.word()?);
            }
        }
        Some(())
    }

    fn calls(&mut self, target: &mut dyn Target, reader: &mut Reader<'_>) -> Option<()> {
        let file = *self.files.get(reader.below(self.files.len())?)?;
        let at = reader.word()?;
        let call = [
            FileCall::Read,
            FileCall::Write,
            FileCall::ReadAt(at),
            FileCall::WriteAt(at),
            FileCall::Seek(at),
            FileCall::Reopen,
            FileCall::GetSeals,
            FileCall::AddSeals,
        ][reader.below(8)?];
        let _ = (target.file_call(file, call), target.stat(file));
        if let Some(&(mapping, bytes)) = self.mappings.get(reader.below(self.mappings.len() + 1)?) {
            let call = [
                MemoryCall::WriteToPipe,
                MemoryCall::SelfMem,
                MemoryCall::PopulateRead,
                MemoryCall::PopulateWrite,
                MemoryCall::DontNeed,
                MemoryCall::Lock,
            ][reader.below(6)?];
            let _ = (target.memory_call(mapping, 0, bytes, call), target.resident(mapping, 0));
        }
        Some(())
    }

    fn pin(&mut self, target: &mut dyn Target, reader: &mut Reader<'_>) -> Option<()> {
        if reader.byte()? < 100 && !self.pins.is_empty() {
            let pin = self.pins.swap_remove(reader.below(self.pins.len())?);
            target.unpin(pin);
        } else if self.pins.len() < MOST {
            let &(mapping, bytes) = self.mappings.get(reader.below(self.mappings.len())?)?;
            self.pins.extend(target.pin(mapping, u64::from(reader.byte()?) << 12 & (bytes - 1) & !0xfff, 0x1000));
        }
        Some(())
    }

    fn end(&mut self, target: &mut dyn Target, reader: &mut Reader<'_>) -> Option<()> {
        match reader.byte()? % 4 {
            0 if self.vms.len() > 1 => target.close_vm(self.vms.swap_remove(reader.below(self.vms.len())?)),
            1 if !self.files.is_empty() => target.close(self.files.swap_remove(reader.below(self.files.len())?)),
            2 if !self.mappings.is_empty() && self.pins.is_empty() => {
                target.unmap(self.mappings.swap_remove(reader.below(self.mappings.len())?).0);
            }
            3 if !self.files.is_empty() && self.files.len() < MOST => {
                self.files.extend(target.dup(self.files[reader.below(self.files.len())?]));
            }
            _ => {}
        }
        Some(())
    }

    fn capability(&mut self, target: &mut dyn Target, reader: &mut Reader<'_>) -> Option<()> {
        let vm = *self.vms.get(reader.below(self.vms.len())?)?;
        let capability = u32::from(reader.byte()?);
        target.check(Some(vm), Capability(capability));
        target.check(None, Capability(capability));
        let arguments = [reader.word()?, reader.reserved()?, reader.reserved()?, reader.reserved()?];
        let enable = EnableCapability { capability, flags: reader.reserved()? as u32, arguments, padding: [0; 8] };
        let _ = target.enable(vm, &enable);
        Some(())
    }
}
