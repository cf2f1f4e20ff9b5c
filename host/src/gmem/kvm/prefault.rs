//! `KVM_PRE_FAULT_MEMORY`: mappings before the guest asks for them.

use super::files::Files;
use super::host::Host;
use super::pages;
use super::resolve::{Looked, Unserved, file_access, unserved};
use super::slots::Slot;
use super::vm::Vm;
use crate::gmem::nodes::Nodes;
use crate::gmem::{Access, Mapping};
use crate::platform::Phase;
use tenure_abi::gmem::{PreFaultMemory, ioctl};
use tenure_abi::{AddressWidth, Errno, Error, FrameRange, Gfn, PAGE_SHIFT, PageSize, Visibility};

/// The guest's page tables, as the integrator keeps them.
pub trait Mmu {
    /// Maps a page of a file for `gfn`; called under the file's lock.
    fn map_file(&mut self, gfn: Gfn, mapping: Mapping);

    /// Maps the VMM's memory at `address` for `gfn`.
    ///
    /// # Errors
    /// `EFAULT` if there is none.
    fn map_user(&mut self, gfn: Gfn, address: u64) -> Result<(), Errno>;

    /// Whether a signal waits for the vCPU's thread.
    fn interrupted(&mut self) -> bool {
        false
    }
}

/// How much is mapped between two looks for a signal: one large entry.
const STEP: u64 = PageSize::Size2M.frames();

impl<N: Nodes, const SLOTS: usize> Vm<N, SLOTS> {
    /// `KVM_PRE_FAULT_MEMORY` on a vCPU: reads what the guest could read. `range` is advanced over what was mapped.
    ///
    /// # Errors
    /// Only if nothing was mapped. `ENOTTY` where there is no such request; `EINVAL` for any flag, a size of 0, anything but
    /// whole pages, a wrap; `EOPNOTSUPP` without paging for guests, and for a measured guest that is not finished; `ENOENT`
    /// where there is no memory; `EFAULT` where there is none of the kind that the page has; `EINTR`; `EAGAIN`; and as
    /// for an access. `padding` is not looked at.
    pub fn pre_fault<const BINDINGS: usize>(
        &self,
        files: &impl Files<BINDINGS>,
        mmu: &mut impl Mmu,
        range: &mut PreFaultMemory,
    ) -> Result<(), Unserved> {
        let refused = |errno| Unserved { errno, exit: None };
        self.host.request(super::On::Vcpu, ioctl::PRE_FAULT_MEMORY).map_err(refused)?;
        let wraps = range.gpa.checked_add(range.size).is_none();
        if range.flags != 0 || range.size == 0 || wraps || !pages(range.gpa, range.size) {
            return Err(refused(Errno::EINVAL));
        }
        if !self.host.paging || self.phase() == Phase::Building {
            return Err(refused(Errno::EOPNOTSUPP));
        }
        let mut mapped = false;
        while range.size != 0 {
            if mmu.interrupted() {
                return if mapped { Ok(()) } else { Err(refused(Errno::EINTR)) };
            }
            let (done, stopped) = self.pre_fault_step(files, mmu, range.gpa, range.size);
            range.gpa += done << PAGE_SHIFT;
            range.size -= done << PAGE_SHIFT;
            mapped |= done != 0;
            match stopped {
                Some(_) if mapped => return Ok(()),
                Some(why) => return Err(why),
                None => {}
            }
        }
        Ok(())
    }

    /// Maps from `gpa` on what is alike; how many pages, at least one unless it stopped.
    fn pre_fault_step<const BINDINGS: usize>(
        &self,
        files: &impl Files<BINDINGS>,
        mmu: &mut impl Mmu,
        gpa: u64,
        bytes: u64,
    ) -> (u64, Option<Unserved>) {
        let refused = |errno| (0, Some(Unserved { errno, exit: None }));
        let first = gpa >> PAGE_SHIFT;
        let count =
            (bytes >> PAGE_SHIFT).min((Host::GPA_END >> PAGE_SHIFT).saturating_sub(first)).min(STEP - first % STEP);
        let Ok(gfn) = Gfn::new(first) else { return refused(Errno::ENOENT) };
        let Looked { slot, private } = self.look(files, gfn);
        let Some(slot) = slot else {
            return if private { (0, Some(unserved(Error::NotFound, gfn, true))) } else { refused(Errno::ENOENT) };
        };
        let file = slot.backing.filter(|backing| private || backing.only);
        match file {
            None if private => (0, Some(unserved(Error::NotFound, gfn, true))),
            None => match mmu.map_user(gfn, slot.address(gpa)) {
                Ok(()) => (1, None),
                Err(errno) => refused(errno),
            },
            Some(backing) => {
                let Some(file) = backing.file.and_then(|file| files.file(file)) else {
                    return (0, Some(unserved(Error::NotFound, gfn, private)));
                };
                let access = file_access(file.options().tracking, Access::Untold, private);
                let count = count.min(self.alike(slot, gfn));
                let Ok(gfns) = FrameRange::new(gfn, count, AddressWidth::MAX) else { return refused(Errno::ENOENT) };
                let largest = PageSize::Size1G;
                let ahead =
                    file.prefault(self.handle, gfns, access, largest, |gfn, mapping| mmu.map_file(gfn, mapping));
                match ahead {
                    Ok(()) => (count, None),
                    Err(stopped) => {
                        let done = stopped.done.min(count);
                        let gfn = gfn.checked_add(done).unwrap_or(gfn);
                        (done, Some(unserved(stopped.error, gfn, private)))
                    }
                }
            }
        }
    }

    /// How many frames from `gfn` on lie in the same slot and have the same attribute.
    fn alike(&self, slot: &Slot, gfn: Gfn) -> u64 {
        let left = slot.end() - gfn.number();
        if self.host.converts_in_place() || !self.kind.has_private() {
            return left;
        }
        let (_, same): (Visibility, u64) = self.attributes.run(&self.nodes, gfn.number());
        left.min(same.max(1))
    }
}
