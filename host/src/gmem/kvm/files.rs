//! What the integrator's descriptors stand for.

use crate::gmem::nodes::Nodes;
use crate::gmem::{Env, File, FileId};
use crate::platform::Platform;
use tenure_abi::VmHandle;
use tenure_abi::gmem::CreateFlags;

/// A guest memory file that was opened for a VM.
///
/// One file can be opened for several VMs; each opening is only of use to its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenFile {
    /// The file.
    pub file: FileId,
    /// For whom.
    pub vm: VmHandle,
    /// How it was made: whether it can be mapped, and whether it started shared.
    pub flags: CreateFlags,
}

/// What a descriptor stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Descriptor {
    /// Nothing.
    Closed,
    /// Something that is not a guest memory file.
    Foreign,
    /// A guest memory file.
    Gmem(OpenFile),
}

/// The integrator's descriptors and files.
///
/// `BINDINGS` is that of its [`File`]s.
pub trait Files<const BINDINGS: usize = 1024> {
    /// What its files need of it.
    type Env: Env;
    /// Who enforces ownership of their pages.
    type Platform: Platform;
    /// What their trees grow in.
    type Nodes: Nodes;

    /// What the process that makes the request has open by this number.
    fn descriptor(&self, number: u32) -> Descriptor;

    /// The file behind a name; `None` once it is gone.
    fn file(&self, file: FileId) -> Option<&File<'_, Self::Env, Self::Platform, Self::Nodes, BINDINGS>>;
}
