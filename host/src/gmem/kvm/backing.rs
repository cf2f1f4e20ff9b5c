//! The front over this provider itself: for a hypervisor that handles its guests' requests without a VMM in between.

use super::files::Files;
use super::vm::Vm;
use crate::convert::{self, Stretch};
use crate::gmem::nodes::Nodes;
use crate::gmem::{FileId, Tracking};
use crate::platform::Rule;
use tenure_abi::{ContentMode, Error, Gfn, Located, PAGE_SHIFT, Visibility};

/// One VM's memory with the files behind it, for [`convert::Front`].
///
/// It borrows the VM as its lock for reading does: slots stay what they are while it lives.
pub struct VmMemory<'v, N: Nodes, F, const SLOTS: usize = 512, const BINDINGS: usize = 1024> {
    vm: &'v Vm<N, SLOTS>,
    files: &'v F,
}

impl<'v, N: Nodes, F: Files<BINDINGS>, const SLOTS: usize, const BINDINGS: usize> VmMemory<'v, N, F, SLOTS, BINDINGS> {
    /// The memory of `vm`, whose files are in `files`.
    pub const fn new(vm: &'v Vm<N, SLOTS>, files: &'v F) -> Self {
        Self { vm, files }
    }
}

impl<N: Nodes, F: Files<BINDINGS>, const SLOTS: usize, const BINDINGS: usize> convert::Backing
    for VmMemory<'_, N, F, SLOTS, BINDINGS>
{
    type File = FileId;

    fn find(&self, gfn: Gfn) -> Option<Stretch<FileId>> {
        let slot = self.vm.slots.at(gfn)?;
        let backing = slot.backing?;
        let into = gfn.number() - slot.gfns.first().number();
        Some(Stretch { gfns: slot.gfns.rest(into)?, file: backing.file?, offset: (backing.first + into) << PAGE_SHIFT })
    }

    fn rule(&self, &file: &FileId, to: Visibility, mode: ContentMode) -> Rule {
        let file = self.files.file(file).filter(|file| file.options().tracking == Tracking::File);
        let Some(file) = file.filter(|_| self.vm.kind.has_private()) else { return Rule::Refused };
        file.rule(file.all(), to, mode)
    }

    fn is(&self, stretch: &Stretch<FileId>, to: Visibility) -> bool {
        let Some(file) = self.files.file(stretch.file) else { return false };
        file.pages(stretch.offset, stretch.gfns.count() << PAGE_SHIFT).is_ok_and(|pages| file.is(pages, to))
    }

    fn convert(&self, stretch: &Stretch<FileId>, to: Visibility, mode: ContentMode) -> Result<(), Located<Error>> {
        let file = self.files.file(stretch.file).ok_or(Error::NotFound)?;
        let pages = file.pages(stretch.offset, stretch.gfns.count() << PAGE_SHIFT)?;
        file.convert(pages, to, mode)
    }
}
