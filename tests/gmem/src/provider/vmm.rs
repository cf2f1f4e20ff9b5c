//! VMs, and KVM's requests.

use super::pool::Pool;
use super::{Provider, guest::Tables};
use crate::target::{Answer, FileId, MappingId, Memory, OWN_MEMORY, VmId, Vmm};
use std::num::NonZeroU32;
use tenure_abi::gmem::{
    Capability, CreateGuestMemfd, EnableCapability, MemoryAttributes, MemoryAttributes2, PreFaultMemory,
    UserspaceMemoryRegion, UserspaceMemoryRegion2, VmType,
};
use tenure_abi::{ContentMode, Errno, FrameRange, Gfn, VmHandle, VmSlot};
use tenure_host::convert::{self, Front, NoLeases, Request, Stopped};
use tenure_host::gmem::Env;
use tenure_host::gmem::kvm::{Descriptor, OpenFile, Vm, VmMemory};

/// How many slots a VM has.
pub(super) const SLOTS: usize = 64;

/// A VM.
pub(super) struct Machinery {
    pub(super) vm: Vm<Pool, SLOTS>,
    /// Its own memory, in slot 0.
    own: MappingId,
}

impl Provider {
    pub(super) fn vm(&mut self, vm: VmId) -> &mut Vm<Pool, SLOTS> {
        &mut self.vms.get(vm.0).vm
    }

    /// Nothing is left of a VM.
    pub(super) fn end_vm(&mut self, vm: VmId) {
        self.vm(vm).end(&super::Inodes::new()).expect("no file is left");
        drop(self.vms.remove(vm.0));
    }

    /// Mappings that a guest must not use any more.
    fn zap(&self, guest: VmHandle, gfns: Option<FrameRange<Gfn>>) {
        if let Some(gfns) = gfns {
            self.frames.zap_guest(guest, gfns);
            self.frames.flush_guests();
        }
    }

    fn new_handle(&mut self) -> VmHandle {
        let (slot, generation) = (self.vms_made % u32::from(VmSlot::COUNT), self.vms_made / u32::from(VmSlot::COUNT));
        self.vms_made += 1;
        let slot = VmSlot::new(slot as u16).expect("a slot of the table");
        VmHandle::new(slot, NonZeroU32::MIN.saturating_add(generation))
    }
}

impl Provider {
    /// A hypervisor's own front of a VM: the same one that VMMs use, over the files and no request in between.
    pub fn front<R>(&mut self, vm: VmId, work: impl FnOnce(&dyn Convert) -> R) -> R {
        let Self { vms, inodes, .. } = self;
        work(&Front::new(VmMemory::new(&vms.get(vm.0).vm, inodes), NoLeases))
    }
}

/// What a test asks of a front, whatever is behind it.
pub trait Convert {
    /// [`Front::convert`].
    ///
    /// # Errors
    /// As it says.
    fn convert(&self, request: Request, mode: ContentMode) -> Result<(), Stopped>;
}

impl<B: convert::Backing> Convert for Front<B> {
    fn convert(&self, request: Request, mode: ContentMode) -> Result<(), Stopped> {
        Front::convert(self, request, mode)
    }
}

impl Vmm for Provider {
    fn create_vm(&mut self, kind: VmType) -> Answer<VmId> {
        let handle = self.new_handle();
        let mut vm = Vm::new(handle, self.host, kind, Pool::default())?;
        let own = self.anonymous(OWN_MEMORY)?;
        let userspace_addr = self.address(own);
        let slot = UserspaceMemoryRegion { memory_size: OWN_MEMORY, userspace_addr, ..Default::default() };
        vm.set_region(&self.inodes, &slot)?;
        Ok(VmId(self.vms.add(Machinery { vm, own })))
    }

    fn close_vm(&mut self, vm: VmId) {
        // A file that is open keeps its VM, as far as the file needs it; nobody can say its name any more.
        let own = self.vms.get(vm.0).own;
        self.unmap(own);
    }

    fn check(&mut self, vm: Option<VmId>, capability: Capability) -> u32 {
        match vm {
            None => self.host.check(None, capability),
            Some(vm) => self.vm(vm).check(capability),
        }
    }

    fn enable(&mut self, vm: VmId, capability: &EnableCapability) -> Answer {
        self.vm(vm).enable(capability)
    }

    fn create_file(&mut self, vm: VmId, create: &CreateGuestMemfd) -> Answer<FileId> {
        let created = self.vm(vm).create_guest_memfd(create)?;
        let vm = self.vm(vm).handle();
        let file = self.inodes.create(&created, self.frames, self.platform).map_err(|_| Errno::EINVAL)?;
        let number = self.inodes.descriptors.open(Descriptor::Gmem(OpenFile { file, vm, flags: created.flags }));
        let number = number.inspect_err(|_| self.inodes.bury(file))?;
        Ok(FileId(self.files.add(number)))
    }

    fn set_region(&mut self, vm: VmId, region: &UserspaceMemoryRegion) -> Answer {
        let Self { vms, inodes, .. } = self;
        let vm = &mut vms.get(vm.0).vm;
        let gone = vm.set_region(inodes, region)?;
        let handle = vm.handle();
        self.zap(handle, gone);
        Ok(())
    }

    fn set_region2(&mut self, vm: VmId, region: &UserspaceMemoryRegion2) -> Answer {
        let Self { vms, inodes, .. } = self;
        let vm = &mut vms.get(vm.0).vm;
        let gone = vm.set_region2(inodes, region)?;
        let handle = vm.handle();
        self.zap(handle, gone);
        Ok(())
    }

    fn set_attributes(&mut self, vm: VmId, attributes: &MemoryAttributes) -> Answer {
        let vm = self.vm(vm);
        let changed = vm.set_attributes(attributes)?;
        let handle = vm.handle();
        self.zap(handle, changed);
        Ok(())
    }

    fn set_attributes2(&mut self, file: FileId, attributes: Option<&mut MemoryAttributes2>) -> Answer {
        let open = self.inodes.opened(*self.files.get(file.0));
        let Self { vms, inodes, .. } = self;
        let vm = vms.all().find(|(_, vm)| vm.vm.handle() == open.vm).expect("a file keeps its VM").1;
        vm.vm.set_attributes2(inodes.get(open.file), attributes)
    }

    fn prefault(&mut self, vm: VmId, range: &mut PreFaultMemory) -> Answer {
        let Self { vms, inodes, space, .. } = self;
        let vm = &vms.get(vm.0).vm;
        let answer = vm.pre_fault(inodes, &mut Tables { guest: vm.handle(), inodes, space }, range);
        answer.map_err(|unserved| unserved.errno)
    }
}
