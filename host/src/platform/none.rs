//! No enforcement: what Linux calls a software-protected VM. Nobody encrypts, every entry is anybody's.
//!
//! Visibility holds because host mappings go away, not because hardware says so. It is the reference for everything that
//! does not depend on hardware, and the fallback where there is none.

use super::{Capabilities, Content, ContentRules, Fault, Op, Platform, Progress, Rule, Sizes};
use tenure_abi::{FrameRange, PageSize, Pfn, Run, VmHandle};

/// Access to the bytes of frames that nobody else touches during the call.
pub trait Memory: Sync {
    /// Fills them with zeroes.
    fn zero(&self, frames: FrameRange<Pfn>);

    /// Copies as many frames as `to` has from `from` on. Both may be the same.
    fn copy(&self, to: FrameRange<Pfn>, from: Pfn);
}

/// The platform without hardware.
pub struct Unenforced<'m, M> {
    memory: &'m M,
    capabilities: Capabilities,
}

impl<'m, M: Memory> Unenforced<'m, M> {
    /// Contents stay what they are: unspecified and preserve cost nothing, zero costs the zeroing.
    pub const fn new(memory: &'m M) -> Self {
        let modes = [Rule::Free, Rule::PerPage, Rule::Free];
        Self::with_content(memory, ContentRules { table: [[modes; 2]; 2] })
    }

    /// With other promises of contents.
    pub const fn with_content(memory: &'m M, content: ContentRules) -> Self {
        let capabilities = Capabilities {
            sizes: Sizes::all(),
            populate_sizes: Sizes::SIZE_4K,
            resize: true,
            content,
            prefault_while_building: true,
            assigns_on_conversion: true,
        };
        Self { memory, capabilities }
    }
}

impl<M: Memory> Platform for Unenforced<'_, M> {
    fn reserves(&self) -> bool {
        false
    }

    fn detaches(&self) -> bool {
        false
    }

    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn reserve(&self, _: VmHandle, _: Run, _: Op) -> Result<(), Fault> {
        Ok(())
    }

    fn resize(&self, _: VmHandle, _: Run, _: PageSize) -> Progress {
        Progress::Done
    }

    fn detach(&self, _: VmHandle, _: Run) -> Progress {
        Progress::Done
    }

    fn fence(&self, _: VmHandle) -> Result<(), Fault> {
        Ok(())
    }

    fn transfer(&self, _: VmHandle, run: Run, _: Op, content: Content) -> Progress {
        match content {
            Content::Leave | Content::InPlace => {}
            Content::Zero => self.memory.zero(run.frames()),
            Content::From(pfn) => self.memory.copy(run.frames(), pfn),
        }
        Progress::Done
    }

    fn reattach(&self, _: VmHandle, _: Run) -> Progress {
        Progress::Done
    }

    fn settle(&self, _: VmHandle) -> Result<(), Fault> {
        Ok(())
    }

    fn observe(&self, _: Pfn) -> Option<VmHandle> {
        None
    }

    fn recover(&self, _: Pfn) -> Result<(), Fault> {
        Ok(())
    }
}
