//! A measured guest's way from its creation to its first instruction, and what both ways to fill its pages share.

use super::errno;
use super::files::Files;
use super::vm::Vm;
use crate::gmem::nodes::Nodes;
use crate::gmem::{Source, Stopped, Tracking};
use crate::platform::PageType;
use tenure_abi::{Errno, Error, FrameRange, Gfn, Interface, Pfn, Visibility};

/// Where a guest is in its launch. One that firmware does not measure begins finished.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Launch {
    /// Firmware knows nothing of it.
    Created,
    /// Firmware measures what it is given.
    Started,
    /// Measured; it may run.
    Finished,
}

/// Where the first bytes come from: the VMM's memory, made available page by page before anything is locked.
pub trait Stage {
    /// The frame behind an address of the VMM, held until [`Stage::unpin`]; to be written to if `write`.
    ///
    /// # Errors
    /// [`Error::Fault`] if the VMM may not touch it.
    fn pin(&mut self, address: u64, write: bool) -> Result<Pfn, Error>;

    /// Lets go of a frame.
    fn unpin(&mut self, frame: Pfn);

    /// Whether a signal waits for the caller's thread.
    fn interrupted(&mut self) -> bool {
        false
    }
}

/// Why a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LaunchFailed {
    /// The errno.
    pub errno: Errno,
    /// Firmware's own code; 0 where it was not asked.
    pub firmware: u64,
}

impl LaunchFailed {
    /// A refusal of arguments.
    pub(super) const fn of(errno: Errno) -> Self {
        Self { errno, firmware: 0 }
    }

    /// What became of a page, in the words of `interface`.
    pub(super) fn page(stopped: Stopped, interface: Interface) -> Self {
        Self { errno: errno(stopped.error, interface), firmware: stopped.raw }
    }
}

/// One page to fill.
pub(super) struct First {
    pub(super) gfn: Gfn,
    pub(super) kind: PageType,
    pub(super) from: From,
}

/// Where its bytes are.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum From {
    Zeroes,
    InPlace,
    User(u64),
}

impl<N: Nodes, const SLOTS: usize> Vm<N, SLOTS> {
    /// `KVM_SEV_SNP_LAUNCH_START` or `KVM_TDX_INIT_VM` succeeded: firmware measures from now on.
    ///
    /// # Errors
    /// `EINVAL` for a guest that is not measured, or has been started.
    pub fn launch_start(&mut self) -> Result<(), Errno> {
        if self.launch != Launch::Created {
            return Err(Errno::EINVAL);
        }
        self.launch = Launch::Started;
        Ok(())
    }

    /// `KVM_SEV_SNP_LAUNCH_FINISH` or `KVM_TDX_FINALIZE_VM`: the guest may run. `forgotten` is told all that was mapped for
    /// it and never filled.
    ///
    /// # Errors
    /// `EINVAL` for a guest that is not being launched; `EAGAIN` while others work on its pages: call it again.
    pub fn launch_finish<const BINDINGS: usize>(
        &mut self,
        files: &impl Files<BINDINGS>,
        mut forgotten: impl FnMut(FrameRange<Gfn>),
    ) -> Result<(), Errno> {
        if self.launch != Launch::Started {
            return Err(Errno::EINVAL);
        }
        for slot in self.slots.all() {
            let Some(file) = slot.backing.and_then(|backing| files.file(backing.file?)) else { continue };
            file.finish(self.handle, &mut forgotten).map_err(|error| errno(error, Interface::Gmem))?;
        }
        self.launch = Launch::Finished;
        Ok(())
    }

    /// Whether firmware takes pages.
    pub(super) fn is_launching(&self) -> bool {
        self.launch == Launch::Started
    }

    /// Gives one private page its first bytes.
    pub(super) fn fill<const BINDINGS: usize>(
        &self,
        files: &impl Files<BINDINGS>,
        stage: &mut impl Stage,
        first: &First,
    ) -> Result<(), Stopped> {
        let refused = |error| Stopped { done: 0, error, raw: 0 };
        let page = FrameRange::single(first.gfn);
        let backing = self.slots.at(first.gfn).and_then(|slot| slot.backing).ok_or(refused(Error::Invalid))?;
        let file = backing.file.and_then(|file| files.file(file)).ok_or(refused(Error::Fault))?;
        let attribute = self.attributes.get(&self.nodes, first.gfn.number());
        if file.options().tracking == Tracking::Guest && attribute == Visibility::Shared {
            return Err(refused(Error::Invalid));
        }
        let populate = |source: Source<'_>| file.populate(self.handle, page, first.kind, source);
        match first.from {
            From::Zeroes => populate(Source::Zero),
            From::InPlace => populate(Source::InPlace),
            From::User(address) => {
                // Firmware writes its corrections of a rejected table back.
                let frame = stage.pin(address, first.kind == PageType::Cpuid).map_err(refused)?;
                let filled = populate(Source::Frames(&[frame]));
                stage.unpin(frame);
                filled
            }
        }
    }
}
