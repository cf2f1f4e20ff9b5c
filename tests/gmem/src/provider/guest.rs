//! What the guest does, and how its accesses find memory.

use super::inodes::Inodes;
use super::mappings::Space;
use super::{PAGE, Provider};
use crate::target::{Called, Guest, Stop, VmId};
use tenure_abi::{Errno, Gfn, PageSize, VmHandle};
use tenure_host::gmem::kvm::{self, Hypercall, Met, Mmu};
use tenure_host::gmem::{Access, Mapping};

/// The guest's page tables while KVM maps ahead.
pub(super) struct Tables<'a> {
    pub(super) guest: VmHandle,
    pub(super) inodes: &'a Inodes,
    pub(super) space: &'a mut Space,
}

impl Mmu for Tables<'_> {
    fn map_file(&mut self, gfn: Gfn, mapping: Mapping) {
        self.space.frames.map_guest(self.guest, gfn, mapping.pfn);
    }

    fn map_user(&mut self, _: Gfn, address: u64) -> Result<(), Errno> {
        // Never kept: an access asks the VMM's own tables each time, as if every change there had reached the guest's.
        self.space.at_address(self.inodes, address, false).map(drop).ok_or(Errno::EFAULT)
    }
}

impl Provider {
    /// The frame that a guest reaches.
    fn guest_reach(&mut self, id: VmId, gpa: u64, write: bool) -> Result<u64, Stop> {
        let Self { vms, inodes, space, frames, .. } = self;
        let vm = &vms.get(id.0).vm;
        let emulated = !vm.host().paging;
        let nothing = Stop::Mmio { gpa, bytes: 1, write };
        let gfn = Gfn::new(gpa / PAGE).map_err(|_| nothing)?;
        if let Some(pfn) = frames.guest_entry(vm.handle(), gfn) {
            return Ok(pfn);
        }
        let access = kvm::Guest { gpa, access: Access::Untold, write, largest: PageSize::Size4K };
        let met = vm.resolve(inodes, access, |mapping| {
            frames.map_guest(vm.handle(), gfn, mapping.pfn);
            mapping.pfn.number()
        });
        match met {
            Met::File(pfn) => Ok(pfn),
            // Where KVM emulates, an address that nothing is mapped at is no memory.
            Met::User(address) if emulated => space.at_address(inodes, address, write).ok_or(nothing),
            Met::User(address) => space.at_address(inodes, address, write).ok_or(Stop::Failed(Errno::EFAULT)),
            Met::Mmio => Err(nothing),
            Met::Fault(kvm::Unserved { errno, exit: Some(exit) }) => Err(Stop::MemoryFault(errno, exit)),
            Met::Fault(kvm::Unserved { errno, exit: None }) => Err(Stop::Failed(errno)),
            // Nobody else works on the file: there is nothing to wait for.
            Met::Again => Err(Stop::Failed(Errno::EAGAIN)),
        }
    }
}

impl Guest for Provider {
    fn guest_load(&mut self, vm: VmId, gpa: u64) -> Result<u8, Stop> {
        let pfn = self.guest_reach(vm, gpa, false)?;
        Ok(self.frames.load(pfn, gpa % PAGE))
    }

    fn guest_store(&mut self, vm: VmId, gpa: u64, value: u8) -> Result<(), Stop> {
        let pfn = self.guest_reach(vm, gpa, true)?;
        self.frames.store(pfn, gpa % PAGE, value);
        Ok(())
    }

    fn hypercall(&mut self, vm: VmId, number: u32, arguments: [u32; 3], reply: u64) -> Result<Called, Stop> {
        let vm = self.vm(vm);
        match vm.hypercall(number.into(), arguments.map(u64::from), false) {
            Hypercall::Reply(result) => Ok(Called { exit: None, result: result as u32 }),
            Hypercall::Exit(exit) => {
                let result = vm.hypercall_reply(reply, false).map_err(Stop::Failed)?;
                Ok(Called { exit: Some(exit), result: result as u32 })
            }
        }
    }
}
