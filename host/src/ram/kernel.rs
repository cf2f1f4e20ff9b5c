//! What a guest's memory needs of a kernel. Linux's is `linux::Requests`; anything else that speaks KVM's words, such as
//! [the provider](crate::gmem::kvm), can stand here too.

use core::fmt;
use std::sync::Arc;
use tenure_abi::Errno;
use tenure_abi::gmem::{CreateFlags, MemoryAttributes, MemoryAttributes2};

/// A call the kernel refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failed {
    /// The call, as the kernel's documents name it.
    pub call: &'static str,
    /// Why.
    pub errno: Errno,
}

impl Failed {
    /// `call` was refused with `errno`.
    pub const fn new(call: &'static str, errno: Errno) -> Self {
        Self { call, errno }
    }
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {:?}", self.call, self.errno)
    }
}

impl core::error::Error for Failed {}

/// Memory that no guest memory file backs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plain {
    /// A memory file: pages can be given back one by one.
    File,
    /// Anonymous memory: what protected arm64 guests need.
    Anonymous,
}

/// One slot, as it is set.
pub struct Slot<'k, K: Kernel + ?Sized> {
    /// Its number.
    pub number: u32,
    /// Guest-physical address of its first byte.
    pub gpa: u64,
    /// Its size in bytes.
    pub bytes: u64,
    /// What this process has mapped of it, from its first byte on.
    pub memory: &'k Arc<K::Memory>,
    /// The guest memory file behind it, from its first byte on.
    pub file: Option<&'k K::File>,
}

/// The requests, on one VM. An interrupted one is made again.
pub trait Kernel: Send + Sync {
    /// A guest memory file; closed when it is dropped.
    type File: Send + Sync;
    /// A mapping of this process, readable and writable; unmapped when it is dropped.
    type Memory: Send + Sync;

    /// `KVM_CREATE_GUEST_MEMFD`.
    ///
    /// # Errors
    /// What the kernel says.
    fn create_file(&self, bytes: u64, flags: CreateFlags) -> Result<Self::File, Failed>;

    /// `mmap` of the first `bytes` bytes of a file, shared.
    ///
    /// # Errors
    /// What the kernel says.
    fn map_file(&self, file: &Arc<Self::File>, bytes: u64) -> Result<Self::Memory, Failed>;

    /// New zeroed memory.
    ///
    /// # Errors
    /// What the kernel says.
    fn plain(&self, bytes: u64, kind: Plain) -> Result<Self::Memory, Failed>;

    /// Makes a slot, and keeps its memory mapped until the slot is deleted or nothing of the VM is left: the guest must
    /// never reach what this process maps there afterwards.
    ///
    /// # Errors
    /// What the kernel says.
    fn set_slot(&self, slot: &Slot<'_, Self>) -> Result<(), Failed>;

    /// Deletes a slot.
    ///
    /// # Errors
    /// What the kernel says.
    fn delete_slot(&self, number: u32) -> Result<(), Failed>;

    /// `KVM_SET_MEMORY_ATTRIBUTES`.
    ///
    /// # Errors
    /// What the kernel says.
    fn set_attributes(&self, attributes: &MemoryAttributes) -> Result<(), Failed>;

    /// `KVM_SET_MEMORY_ATTRIBUTES2`, on a file.
    ///
    /// # Errors
    /// What the kernel says.
    fn convert(&self, file: &Self::File, attributes: &mut MemoryAttributes2) -> Result<(), Failed>;

    /// Frees pages of a file.
    ///
    /// # Errors
    /// What the kernel says.
    fn punch(&self, file: &Self::File, offset: u64, bytes: u64) -> Result<(), Failed>;

    /// Frees pages of plain memory.
    ///
    /// # Errors
    /// What the kernel says.
    fn discard(&self, memory: &Self::Memory, offset: u64, bytes: u64) -> Result<(), Failed>;
}
