//! The life of a VM: created, live, dying, gone.

use super::{Answer, Spec, done};
use std::collections::btree_map::Entry;
use tenure_abi::{Error, Gfn, Located, Owner, VmSlot};

/// Which promises a VM gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VmKind {
    /// The host maps its own pages for the guest and keeps access.
    NonProtected,
    /// Pages given to the guest are out of the host's reach.
    Protected,
}

/// A VM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vm {
    /// Which promises it gets.
    pub kind: VmKind,
    /// It will never run again; its pages can be reclaimed.
    pub dying: bool,
}

impl Spec {
    /// A VM comes to life in `slot`.
    ///
    /// # Errors
    /// `Exists` if the slot is taken.
    pub fn vm_create(&mut self, slot: VmSlot, kind: VmKind) -> Answer {
        match self.vms.entry(slot) {
            Entry::Occupied(_) => Err(Located::call(Error::Exists)),
            Entry::Vacant(place) => {
                place.insert(Vm { kind, dying: false });
                Ok(done(0))
            }
        }
    }

    /// PK-14's precondition: the VM stops for ever.
    ///
    /// # Errors
    /// `Invalid` if there is no such VM or it is dying already.
    pub fn vm_start_teardown(&mut self, slot: VmSlot) -> Answer {
        match self.vms.get_mut(&slot) {
            Some(vm) if !vm.dying => vm.dying = true,
            _ => return Err(Located::call(Error::Invalid)),
        }
        Ok(done(0))
    }

    /// PK-22: a dying VM that owns and sees nothing any more is gone, and its burnt addresses with it.
    ///
    /// # Errors
    /// `Invalid` if there is no such VM or it is not dying, `Busy` while it owns or maps a page.
    pub fn vm_finish_teardown(&mut self, slot: VmSlot) -> Answer {
        if !self.vms.get(&slot).is_some_and(|vm| vm.dying) {
            return Err(Located::call(Error::Invalid));
        }
        let owns = self.owner.values().any(|&owner| owner == Owner::Guest(slot));
        if owns || !self.sees_nothing(slot) {
            return Err(Located::call(Error::Busy));
        }
        self.poisoned.retain(|key| key.0 != slot);
        self.vms.remove(&slot);
        Ok(done(0))
    }

    /// Nothing is mapped in this VM.
    pub fn sees_nothing(&self, slot: VmSlot) -> bool {
        let first = Gfn::new(0).map(|gfn| (slot, gfn));
        first.is_ok_and(|first| self.guest_map.range(first..).next().is_none_or(|(key, _)| key.0 != slot))
    }
}
