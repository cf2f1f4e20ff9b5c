//! What a guest's access meets.
//!
//! Per-VM attributes, or the file where files keep visibility, say whether a page is private. In this order:
//!
//! | the access | meets |
//! |---|---|
//! | told as private and the page is not, or the reverse | a memory fault |
//! | private, where there is no slot or no file | a memory fault |
//! | shared, where there is no slot | MMIO |
//! | private; or any, to a slot that only shows its file | the file; a memory fault if the VM has lost it |
//! | any other | user memory; a store to a read-only slot is MMIO |
//!
//! Where guests are not translated by hardware KVM emulates their accesses, and every slot is user memory.

use super::errno;
use super::files::Files;
use super::slots::{Backing, Slot};
use super::vm::Vm;
use crate::gmem::nodes::Nodes;
use crate::gmem::{Access, Mapping, Tracking};
use tenure_abi::gmem::{FaultFlags, MemoryFaultExit, RegionFlags};
use tenure_abi::{Errno, Error, Gfn, Interface, PAGE_SIZE, PageSize};

/// An access of a guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Guest {
    /// Guest-physical address.
    pub gpa: u64,
    /// What the hardware says of it.
    pub access: Access,
    /// Whether it is a store.
    pub write: bool,
    /// The largest mapping that the caller can use: 4 KiB while it logs dirty pages.
    pub largest: PageSize,
}

/// An access that failed: what `KVM_RUN` says of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unserved {
    /// The errno.
    pub errno: Errno,
    /// The memory fault in `struct kvm_run`, if there is one: with `EFAULT` and `EHWPOISON` only.
    pub exit: Option<MemoryFaultExit>,
}

/// What an access meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Met<R> {
    /// A page of a file, mapped.
    File(R),
    /// The VMM's memory at this address; the integrator maps it, or fails `KVM_RUN` with `EFAULT` and no memory fault.
    User(u64),
    /// No memory.
    Mmio,
    /// Nothing that it may have.
    Fault(Unserved),
    /// A page in work: the guest runs on and tries again.
    Again,
}

/// A guest frame, and what is known before anything is touched.
pub(super) struct Looked<'a> {
    pub(super) slot: Option<&'a Slot>,
    pub(super) private: bool,
}

impl<N: Nodes, const SLOTS: usize> Vm<N, SLOTS> {
    /// What an access meets. `install` maps a page of a file, under that file's lock.
    pub fn resolve<R, const BINDINGS: usize>(
        &self,
        files: &impl Files<BINDINGS>,
        guest: Guest,
        install: impl FnOnce(Mapping) -> R,
    ) -> Met<R> {
        let Ok(gfn) = Gfn::new(guest.gpa / PAGE_SIZE) else { return Met::Mmio };
        let Looked { slot, private } = self.look(files, gfn);
        if !self.host.paging {
            return slot.map_or(Met::Mmio, |slot| user(slot, guest));
        }
        match guest.access {
            Access::Private if !private => return Met::Fault(unserved(Error::Denied, gfn, true)),
            Access::Shared if private => return Met::Fault(unserved(Error::Denied, gfn, false)),
            _ => {}
        }
        let backing = slot.and_then(|slot| slot.backing);
        match (slot, backing) {
            (None, _) if !private => Met::Mmio,
            (Some(slot), None) if !private => user(slot, guest),
            (Some(slot), Some(backing)) if !private && !backing.only => user(slot, guest),
            (_, Some(backing)) => self.in_file(files, backing, guest, gfn, private, install),
            (_, None) => Met::Fault(unserved(Error::NotFound, gfn, private)),
        }
    }

    /// The slot of a frame, and whether it is private.
    pub(super) fn look<const BINDINGS: usize>(&self, files: &impl Files<BINDINGS>, gfn: Gfn) -> Looked<'_> {
        Looked { slot: self.slots.at(gfn), private: self.is_private(files, gfn) }
    }

    fn in_file<R, const BINDINGS: usize>(
        &self,
        files: &impl Files<BINDINGS>,
        backing: Backing,
        guest: Guest,
        gfn: Gfn,
        private: bool,
        install: impl FnOnce(Mapping) -> R,
    ) -> Met<R> {
        let Some(file) = backing.file.and_then(|file| files.file(file)) else {
            return Met::Fault(unserved(Error::NotFound, gfn, private));
        };
        let access = file_access(file.options().tracking, guest.access, private);
        match file.guest_fault(self.handle, gfn, access, guest.largest, install) {
            Ok(mapped) => Met::File(mapped),
            Err(Error::Retry) => Met::Again,
            Err(error) => Met::Fault(unserved(error, gfn, private)),
        }
    }
}

/// What a file is told: it knows better where it keeps visibility and the hardware tells nothing.
pub(super) fn file_access(tracking: Tracking, told: Access, private: bool) -> Access {
    match (tracking, told) {
        (Tracking::File, told) => told,
        (Tracking::Guest, _) if private => Access::Private,
        (Tracking::Guest, _) => Access::Shared,
    }
}

/// User memory, as a slot shows it.
fn user<R>(slot: &Slot, guest: Guest) -> Met<R> {
    if guest.write && slot.flags.contains(RegionFlags::READONLY) {
        return Met::Mmio;
    }
    Met::User(slot.address(guest.gpa))
}

/// A failed access to a page, told as private or not.
pub(super) fn unserved(error: Error, gfn: Gfn, private: bool) -> Unserved {
    let errno = errno(error, Interface::GuestMemory);
    let flags = if private { FaultFlags::PRIVATE } else { FaultFlags::empty() };
    let exit = MemoryFaultExit { flags: flags.bits(), gpa: gfn.address(), size: PAGE_SIZE };
    let described = matches!(errno, Errno::EFAULT | Errno::EHWPOISON);
    Unserved { errno, exit: described.then_some(exit) }
}
