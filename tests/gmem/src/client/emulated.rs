//! Our own provider, spoken to in KVM's words, as the kernel of the client.

use super::World;
use crate::provider::Provider;
use crate::target::{
    Called, Fault, FileId, Files, Guest, MapKind, MappingId, Memory, MemoryCall, Personality, ProcessId, Stop, Target,
    VmId, Vmm,
};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tenure_abi::Errno;
use tenure_abi::gmem::{
    Capability, CreateFlags, CreateGuestMemfd, EnableCapability, MemoryAttributes, MemoryAttributes2, RegionFlags,
    UserspaceMemoryRegion, UserspaceMemoryRegion2, VmType, hypercall,
};
use tenure_host::ram::{Failed, Kernel, Plain, Slot};

/// The provider, shared by everything that has something open on it.
#[derive(Clone)]
struct Shared(Arc<Mutex<Provider>>);

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Provider> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A world that is the provider.
pub struct Emulated {
    provider: Shared,
    vm: VmId,
    protected: bool,
}

impl Emulated {
    /// The provider as the kernel `personality`.
    pub fn new(personality: Personality) -> Self {
        Self::of(Provider::new(personality))
    }

    /// This provider.
    pub fn of(provider: Provider) -> Self {
        Self { provider: Shared(Arc::new(Mutex::new(provider))), vm: VmId(0), protected: false }
    }
}

/// The requests of one VM.
pub struct Requests {
    provider: Shared,
    vm: VmId,
}

/// A file, closed when it is dropped.
pub struct File {
    provider: Shared,
    id: FileId,
}

/// A mapping, unmapped when it is dropped.
pub struct Mapping {
    provider: Shared,
    id: MappingId,
}

impl Drop for File {
    fn drop(&mut self) {
        self.provider.lock().close(self.id);
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        self.provider.lock().unmap(self.id);
    }
}

fn failed(call: &'static str) -> impl Fn(Errno) -> Failed {
    move |errno| Failed::new(call, errno)
}

impl Kernel for Requests {
    type File = File;
    type Memory = Mapping;

    fn create_file(&self, bytes: u64, flags: CreateFlags) -> Result<File, Failed> {
        let id = self.provider.lock().create_file(self.vm, &CreateGuestMemfd::new(bytes, flags));
        let id = id.map_err(failed("KVM_CREATE_GUEST_MEMFD"))?;
        Ok(File { provider: self.provider.clone(), id })
    }

    fn map_file(&self, file: &Arc<File>, bytes: u64) -> Result<Mapping, Failed> {
        let id = self.provider.lock().map(file.id, 0, bytes, MapKind::Shared).map_err(failed("mmap"))?;
        Ok(Mapping { provider: self.provider.clone(), id })
    }

    fn plain(&self, bytes: u64, _: Plain) -> Result<Mapping, Failed> {
        let id = self.provider.lock().anonymous(bytes).map_err(failed("mmap"))?;
        Ok(Mapping { provider: self.provider.clone(), id })
    }

    fn set_slot(&self, slot: &Slot<'_, Self>) -> Result<(), Failed> {
        let mut provider = self.provider.lock();
        let mut region = UserspaceMemoryRegion {
            slot: slot.number,
            flags: 0,
            guest_phys_addr: slot.gpa,
            memory_size: slot.bytes,
            userspace_addr: provider.address(slot.memory.id),
        };
        match slot.file {
            None => provider.set_region(self.vm, &region).map_err(failed("KVM_SET_USER_MEMORY_REGION")),
            Some(file) => {
                region.flags = RegionFlags::GUEST_MEMFD.bits();
                let guest_memfd = provider.number(file.id);
                let region = UserspaceMemoryRegion2 { region, guest_memfd, ..UserspaceMemoryRegion2::default() };
                provider.set_region2(self.vm, &region).map_err(failed("KVM_SET_USER_MEMORY_REGION2"))
            }
        }
    }

    fn delete_slot(&self, slot: u32) -> Result<(), Failed> {
        let none = UserspaceMemoryRegion { slot, ..UserspaceMemoryRegion::default() };
        self.provider.lock().set_region(self.vm, &none).map_err(failed("KVM_SET_USER_MEMORY_REGION"))
    }

    fn set_attributes(&self, attributes: &MemoryAttributes) -> Result<(), Failed> {
        self.provider.lock().set_attributes(self.vm, attributes).map_err(failed("KVM_SET_MEMORY_ATTRIBUTES"))
    }

    fn convert(&self, file: &File, attributes: &mut MemoryAttributes2) -> Result<(), Failed> {
        let result = self.provider.lock().set_attributes2(file.id, Some(attributes));
        result.map_err(failed("KVM_SET_MEMORY_ATTRIBUTES2"))
    }

    fn punch(&self, file: &File, offset: u64, bytes: u64) -> Result<(), Failed> {
        // FALLOC_FL_KEEP_SIZE and FALLOC_FL_PUNCH_HOLE.
        self.provider.lock().allocate(file.id, 3, offset, bytes).map_err(failed("fallocate"))
    }

    fn discard(&self, memory: &Mapping, offset: u64, bytes: u64) -> Result<(), Failed> {
        let freed = self.provider.lock().memory_call(memory.id, offset, bytes, MemoryCall::Remove);
        freed.map(drop).map_err(failed("madvise"))
    }
}

impl World for Emulated {
    type Kernel = Requests;

    fn name(&self) -> String {
        self.provider.lock().machine().name.clone()
    }

    fn fresh(&mut self) -> Result<Requests, String> {
        let mut provider = self.provider.lock();
        provider.reset();
        let protected = provider.create_vm(VmType::SW_PROTECTED);
        self.protected = protected.is_ok();
        let vm = protected
            .or_else(|_| provider.create_vm(VmType::DEFAULT))
            .map_err(|errno| format!("creating a VM: {errno:?}"))?;
        let enable = EnableCapability::new(Capability::EXIT_HYPERCALL, 1 << hypercall::MAP_GPA_RANGE);
        provider.enable(vm, &enable).map_err(|errno| format!("hypercalls: {errno:?}"))?;
        drop(provider);
        self.vm = vm;
        Ok(Requests { provider: self.provider.clone(), vm })
    }

    fn has_private(&mut self) -> bool {
        self.is_in_place() || self.provider.lock().check(Some(self.vm), Capability::MEMORY_ATTRIBUTES) != 0
    }

    fn is_in_place(&mut self) -> bool {
        self.protected && self.provider.lock().machine().in_place
    }

    fn guest_load(&mut self, gpa: u64) -> Result<u8, Stop> {
        self.provider.lock().guest_load(self.vm, gpa)
    }

    fn guest_store(&mut self, gpa: u64, value: u8) -> Result<(), Stop> {
        self.provider.lock().guest_store(self.vm, gpa, value)
    }

    fn hypercall(&mut self, arguments: [u32; 3], reply: u64) -> Result<Called, Stop> {
        self.provider.lock().hypercall(self.vm, hypercall::MAP_GPA_RANGE as u32, arguments, reply)
    }

    fn host_load(&mut self, memory: &Mapping, offset: u64) -> Result<u8, Fault> {
        self.provider.lock().load(ProcessId::VMM, memory.id, offset)
    }

    fn host_store(&mut self, memory: &Mapping, offset: u64, value: u8) -> Result<(), Fault> {
        self.provider.lock().store(ProcessId::VMM, memory.id, offset, value)
    }

    fn frame(&mut self, memory: &Mapping, offset: u64) -> Option<u64> {
        self.provider.lock().frame(memory.id, offset)
    }

    fn backed(&mut self) -> Option<u64> {
        Some(self.provider.lock().backed())
    }

    fn blur(&self) -> u64 {
        0
    }

    fn open(&mut self) -> (usize, usize) {
        self.provider.lock().open()
    }
}
