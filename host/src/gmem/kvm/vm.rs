//! One VM, as far as memory is concerned.

use super::errno;
use super::files::Files;
use super::host::{Host, Kind};
use super::launch::Launch;
use super::slots::{Slot, Slots};
use crate::gmem::FileId;
use crate::gmem::nodes::Nodes;
use crate::gmem::store::Store;
use crate::platform::Phase;
use tenure_abi::gmem::{Capability, VmType};
use tenure_abi::{Errno, Error, Gfn, Interface, PAGE_SHIFT, Visibility, VmHandle};

/// The memory of one VM: its slots, its attributes by guest-physical address, and where it is in its life.
///
/// `SLOTS` bounds its slots. `N` is memory for the attributes, of its own.
pub struct Vm<N: Nodes, const SLOTS: usize = 512> {
    pub(super) handle: VmHandle,
    pub(super) host: Host,
    pub(super) kind: Kind,
    pub(super) slots: Slots<SLOTS>,
    pub(super) attributes: Store,
    pub(super) nodes: N,
    pub(super) launch: Launch,
    /// Bit n: hypercall n goes to the VMM.
    pub(super) exits: u64,
}

impl<N: Nodes, const SLOTS: usize> Vm<N, SLOTS> {
    /// A VM of type `number`, without memory. Nobody else has `handle`.
    ///
    /// # Errors
    /// `EINVAL` for a type that the host does not offer.
    pub fn new(handle: VmHandle, host: Host, number: VmType, nodes: N) -> Result<Self, Errno> {
        let kind = host.kind(number)?;
        let attributes = Store::new(Host::GPA_END >> PAGE_SHIFT, Visibility::Shared);
        let attributes = attributes.map_err(|error| errno(error, Interface::Gmem))?;
        let launch = if kind.is_measured() { Launch::Created } else { Launch::Finished };
        Ok(Self { handle, host, kind, slots: Slots::new(), attributes, nodes, launch, exits: 0 })
    }

    /// Its name to files and platforms.
    pub const fn handle(&self) -> VmHandle {
        self.handle
    }

    /// What it is.
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// How its kernel is built.
    pub const fn host(&self) -> &Host {
        &self.host
    }

    /// Its slots, in the order of addresses.
    pub fn slots(&self) -> &[Slot] {
        self.slots.all()
    }

    /// The answer to a question for a capability, on this VM.
    pub fn check(&self, capability: Capability) -> u32 {
        self.host.check(Some(self.kind), capability)
    }

    /// Where it is in its life.
    pub(super) const fn phase(&self) -> Phase {
        match self.launch {
            Launch::Finished => Phase::Running,
            Launch::Created | Launch::Started => Phase::Building,
        }
    }

    /// Whether a guest frame is private, as far as the kernel knows: by the file behind it, or by the VM's attributes.
    pub(super) fn is_private<const BINDINGS: usize>(&self, files: &impl Files<BINDINGS>, gfn: Gfn) -> bool {
        if !self.kind.has_private() {
            false
        } else if self.host.converts_in_place() {
            self.slots.at(gfn).is_some_and(|slot| file_is_private(files, slot, gfn))
        } else {
            self.attributes.get(&self.nodes, gfn.number()) == Visibility::Private
        }
    }

    /// The VM has lost a file: its last descriptor of it is closed. Slots stay, with nothing of the file behind them.
    ///
    /// # Errors
    /// `EAGAIN` while others work on its pages for longer than the integrator waits: call it again.
    pub fn closed<const BINDINGS: usize>(&mut self, files: &impl Files<BINDINGS>, file: FileId) -> Result<(), Errno> {
        if let Some(file) = files.file(file) {
            file.unbind_all(self.handle).map_err(|error| errno(error, Interface::Gmem))?;
        }
        for backing in self.slots.all_mut().iter_mut().filter_map(|slot| slot.backing.as_mut()) {
            if backing.file == Some(file) {
                backing.file = None;
            }
        }
        Ok(())
    }

    /// The VM ends: no file shows it anything any more.
    ///
    /// # Errors
    /// As [`Vm::closed`].
    pub fn end<const BINDINGS: usize>(&mut self, files: &impl Files<BINDINGS>) -> Result<(), Errno> {
        while let Some(file) = self.slots.all().iter().find_map(|slot| slot.backing?.file) {
            self.closed(files, file)?;
        }
        Ok(())
    }

    /// The errno of a file's error, in the kernel's words.
    pub(super) fn bind_errno(&self, error: Error) -> Errno {
        match error {
            Error::Exists => self.host.personality.answers().bound_twice,
            other => errno(other, Interface::Gmem),
        }
    }
}

/// Whether the file behind a slot says that a frame is private.
fn file_is_private<const BINDINGS: usize>(files: &impl Files<BINDINGS>, slot: &Slot, gfn: Gfn) -> bool {
    let Some(backing) = slot.backing else { return false };
    let page = backing.first + (gfn.number() - slot.gfns.first().number());
    let file = backing.file.and_then(|file| files.file(file));
    file.is_some_and(|file| file.visibility(page << PAGE_SHIFT) == Ok(Visibility::Private))
}
