//! The launch of a guest that firmware would measure, on a platform that has none: the requests alone.

use super::inodes::Inodes;
use super::mappings::Space;
use super::{PAGE, Provider};
use crate::target::{Answer, VmId};
use tenure_abi::gmem::{SnpLaunchUpdate, TdxInitMemRegion};
use tenure_abi::{Error, FrameRange, Gfn, Pfn};
use tenure_host::gmem::kvm::{Stage, TdxCommand};

/// The VMM's memory, as the kernel takes hold of it.
struct Staging<'a> {
    inodes: &'a Inodes,
    space: &'a mut Space,
}

impl Stage for Staging<'_> {
    fn pin(&mut self, address: u64, write: bool) -> Result<Pfn, Error> {
        let address = address / PAGE * PAGE;
        let pfn = self.space.at_address(self.inodes, address, write).ok_or(Error::Fault)?;
        self.space.frames.pin(pfn);
        Pfn::new(pfn)
    }

    fn unpin(&mut self, frame: Pfn) {
        self.space.frames.unpin(frame.number());
    }
}

impl Provider {
    /// Firmware measures from now on.
    ///
    /// # Errors
    /// As [`tenure_host::gmem::kvm::Vm::launch_start`].
    pub fn launch_start(&mut self, vm: VmId) -> Answer {
        self.vm(vm).launch_start()
    }

    /// `KVM_SEV_SNP_LAUNCH_UPDATE`.
    ///
    /// # Errors
    /// As [`tenure_host::gmem::kvm::Vm::launch_update`].
    pub fn launch_update(&mut self, vm: VmId, update: &mut SnpLaunchUpdate) -> Answer {
        let Self { vms, inodes, space, .. } = self;
        let done = vms.get(vm.0).vm.launch_update(inodes, &mut Staging { inodes, space }, update);
        done.map_err(|failed| failed.errno)
    }

    /// `KVM_TDX_INIT_MEM_REGION`.
    ///
    /// # Errors
    /// As [`tenure_host::gmem::kvm::Vm::init_mem_region`].
    pub fn init_mem_region(&mut self, vm: VmId, command: TdxCommand, region: &mut TdxInitMemRegion) -> Answer {
        let Self { vms, inodes, space, .. } = self;
        let done = vms.get(vm.0).vm.init_mem_region(inodes, &mut Staging { inodes, space }, command, region);
        done.map_err(|failed| failed.errno)
    }

    /// The guest may run; what was mapped and never filled.
    ///
    /// # Errors
    /// As [`tenure_host::gmem::kvm::Vm::launch_finish`].
    pub fn launch_finish(&mut self, vm: VmId) -> Answer<Vec<FrameRange<Gfn>>> {
        let Self { vms, inodes, .. } = self;
        let mut forgotten = Vec::new();
        vms.get(vm.0).vm.launch_finish(inodes, |gfns| forgotten.push(gfns))?;
        Ok(forgotten)
    }
}
