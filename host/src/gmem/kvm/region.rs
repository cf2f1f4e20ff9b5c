//! `KVM_SET_USER_MEMORY_REGION` and `KVM_SET_USER_MEMORY_REGION2`.
//!
//! Faults are found in the kernel's order, each with its errno; where two orders could be told apart, a running 6.18 was asked.
//!
//! | step | refused with |
//! |---|---|
//! | number of the slot: 0 to 32,763, in address space 0 | `EINVAL` |
//! | flags: a file without dirty log and without read-only, and only by the newer request | `EINVAL` |
//! | size, guest-physical address, address of user space, offset in the file: whole pages, no wrap, user space's own | `EINVAL` |
//! | deletion of a slot that is not there | `EINVAL` |
//! | change of a slot: never of one with a file, only place and dirty log of another | `EINVAL` |
//! | overlap with another slot | `EEXIST` |
//! | more slots than there is room for | `ENOMEM` |
//! | descriptor: open, a guest memory file, of this VM | `EBADF`, `EINVAL`, `EINVAL` |
//! | pages: inside the file, not bound yet | `EINVAL`, [`super::Answers::bound_twice`] |
//! | guest-physical end beyond 52 bits | `EINVAL` |

use super::files::{Descriptor, Files};
use super::host::Host;
use super::slots::{self, Backing, Slot};
use super::vm::Vm;
use super::{errno, pages};
use crate::gmem::nodes::Nodes;
use tenure_abi::gmem::{CreateFlags, RegionFlags, UserspaceMemoryRegion, UserspaceMemoryRegion2, ioctl};
use tenure_abi::{Errno, Error, FrameRange, Gfn, Interface, PAGE_SHIFT};

/// Guest frames from which the caller has to remove mappings of user memory before it gives up the VM's lock.
type Unmap = Option<FrameRange<Gfn>>;

/// The most pages that a slot has.
const MOST_PAGES: u64 = (1 << 31) - 1;

impl<N: Nodes, const SLOTS: usize> Vm<N, SLOTS> {
    /// `KVM_SET_USER_MEMORY_REGION`: makes, moves, changes or deletes a slot without a file.
    ///
    /// The guest frames that come back are those that the slot showed and does not show any more: their mappings have
    /// to go before the VM's lock does.
    ///
    /// # Errors
    /// As the table above says. `EAGAIN` if others work on a file's pages for longer than the integrator waits.
    pub fn set_region<const BINDINGS: usize>(
        &mut self,
        files: &impl Files<BINDINGS>,
        region: &UserspaceMemoryRegion,
    ) -> Result<Unmap, Errno> {
        self.host.request(super::On::Vm, ioctl::SET_USER_MEMORY_REGION)?;
        if region.flags & RegionFlags::GUEST_MEMFD.bits() != 0 {
            return Err(Errno::EINVAL);
        }
        self.set(files, &UserspaceMemoryRegion2 { region: *region, ..UserspaceMemoryRegion2::default() })
    }

    /// `KVM_SET_USER_MEMORY_REGION2`: the same, and slots with a file. Paddings are not looked at.
    ///
    /// # Errors
    /// As [`Vm::set_region`].
    pub fn set_region2<const BINDINGS: usize>(
        &mut self,
        files: &impl Files<BINDINGS>,
        region: &UserspaceMemoryRegion2,
    ) -> Result<Unmap, Errno> {
        self.host.request(super::On::Vm, ioctl::SET_USER_MEMORY_REGION2)?;
        self.set(files, region)
    }

    fn set<const BINDINGS: usize>(
        &mut self,
        files: &impl Files<BINDINGS>,
        asked: &UserspaceMemoryRegion2,
    ) -> Result<Unmap, Errno> {
        let region = &asked.region;
        let id = u16::try_from(region.slot).ok().filter(|id| *id < Host::SLOTS).ok_or(Errno::EINVAL)?;
        let flags = self.region_flags(region.flags)?;
        self.whole_pages(asked, flags)?;
        let old = self.slots.by_id(id).copied();
        if region.memory_size == 0 {
            return self.delete(files, old.ok_or(Errno::EINVAL)?);
        }
        if let Some(old) = old {
            let immutable = RegionFlags::READONLY | RegionFlags::GUEST_MEMFD;
            let same = region.userspace_addr == old.userspace_addr
                && region.memory_size >> PAGE_SHIFT == old.gfns.count()
                && !(flags ^ old.flags).intersects(immutable);
            if flags.contains(RegionFlags::GUEST_MEMFD) || !same {
                return Err(Errno::EINVAL);
            }
            if region.guest_phys_addr == old.gfns.first().address() {
                self.slots.put(Slot { flags, ..old });
                return Ok(None);
            }
        }
        let first = region.guest_phys_addr >> PAGE_SHIFT;
        if self.slots.overlap(first, first + (region.memory_size >> PAGE_SHIFT), id) {
            return Err(Errno::EEXIST);
        }
        if old.is_none() && self.slots.is_full() {
            return Err(Errno::ENOMEM);
        }
        let gfns = slots::gfns(region.guest_phys_addr, region.memory_size).ok_or(Errno::EINVAL);
        let backing = match flags.contains(RegionFlags::GUEST_MEMFD) {
            true => Some(self.bind(files, asked, gfns)?),
            false => None,
        };
        self.slots.put(Slot { id, gfns: gfns?, flags, userspace_addr: region.userspace_addr, backing });
        Ok(old.map(|old| old.gfns))
    }

    fn region_flags(&self, flags: u32) -> Result<RegionFlags, Errno> {
        let flags = RegionFlags::from_bits(flags).ok_or(Errno::EINVAL)?;
        let file = flags.contains(RegionFlags::GUEST_MEMFD);
        if file && (flags != RegionFlags::GUEST_MEMFD || !self.host.has_files(Some(self.kind))) {
            return Err(Errno::EINVAL);
        }
        Ok(flags)
    }

    /// Everything that is wrong with the numbers alone.
    fn whole_pages(&self, asked: &UserspaceMemoryRegion2, flags: RegionFlags) -> Result<(), Errno> {
        let region = &asked.region;
        let bytes = region.memory_size;
        let user_end = region.userspace_addr.checked_add(bytes);
        let good = pages(bytes, region.guest_phys_addr)
            && pages(region.userspace_addr, 0)
            && user_end.is_some_and(|end| end <= self.host.user_end)
            && region.guest_phys_addr.checked_add(bytes).is_some()
            && bytes >> PAGE_SHIFT <= MOST_PAGES;
        let offset = asked.guest_memfd_offset;
        let file = !flags.contains(RegionFlags::GUEST_MEMFD) || pages(offset, 0) && offset.checked_add(bytes).is_some();
        if good && file { Ok(()) } else { Err(Errno::EINVAL) }
    }

    /// Shows the guest the pages of a file.
    fn bind<const BINDINGS: usize>(
        &self,
        files: &impl Files<BINDINGS>,
        asked: &UserspaceMemoryRegion2,
        gfns: Result<FrameRange<Gfn>, Errno>,
    ) -> Result<Backing, Errno> {
        let open = match files.descriptor(asked.guest_memfd) {
            Descriptor::Closed => return Err(Errno::EBADF),
            Descriptor::Gmem(open) if open.vm == self.handle => open,
            Descriptor::Foreign | Descriptor::Gmem(_) => return Err(Errno::EINVAL),
        };
        let file = files.file(open.file).ok_or(Errno::EBADF)?;
        let (offset, bytes) = (asked.guest_memfd_offset, asked.region.memory_size);
        let beyond = i64::try_from(offset).map_err(|_| Errno::EINVAL)?.checked_add_unsigned(bytes).is_none();
        let tolerated = beyond && self.host.personality.answers().end_overflows;
        let pages = file.pages(offset, bytes);
        if pages.is_err() && !tolerated {
            return Err(Errno::EINVAL);
        }
        let first = offset >> PAGE_SHIFT;
        if self.slots.bound(open.file, first, bytes >> PAGE_SHIFT) {
            return Err(self.bind_errno(Error::Exists));
        }
        let gfns = gfns?;
        if let Ok(pages) = pages {
            file.bind(self.handle, gfns.first(), pages, self.phase()).map_err(|error| self.bind_errno(error))?;
        }
        let only = open.flags.contains(CreateFlags::MMAP) || self.host.converts_in_place();
        Ok(Backing { file: Some(open.file), first, only })
    }

    fn delete<const BINDINGS: usize>(&mut self, files: &impl Files<BINDINGS>, old: Slot) -> Result<Unmap, Errno> {
        let file = old.backing.and_then(|backing| files.file(backing.file?));
        match file.map(|file| file.unbind(self.handle, old.gfns.first())) {
            // One whose end overflows shows nothing.
            None | Some(Ok(()) | Err(Error::NotFound)) => {}
            Some(Err(error)) => return Err(errno(error, Interface::Gmem)),
        }
        self.slots.remove(old.id);
        Ok(Some(old.gfns))
    }
}
