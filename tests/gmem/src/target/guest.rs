//! What the guest does: one byte at a time, and one kind of hypercall.

use super::VmId;
use tenure_abi::Errno;
use tenure_abi::gmem::{ExitReason, HypercallExit, MemoryFaultExit};

/// Why an access or a hypercall of the guest did not go through. The next one starts afresh.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// `KVM_RUN` failed and described the fault.
    MemoryFault(Errno, MemoryFaultExit),
    /// There is no memory there.
    Mmio {
        /// Guest-physical address.
        gpa: u64,
        /// Bytes.
        bytes: u32,
        /// Whether it is a store.
        write: bool,
    },
    /// `KVM_RUN` failed and described nothing.
    Failed(Errno),
    /// The guest stopped for another reason.
    Exit(ExitReason),
}

impl Stop {
    /// The memory fault of an access to the page at `gpa`.
    pub const fn memory_fault(flags: u64, gpa: u64) -> Self {
        Self::MemoryFault(Errno::EFAULT, MemoryFaultExit { flags, gpa, size: 0x1000 })
    }
}

/// A hypercall that came back to the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Called {
    /// What the VMM saw, if it saw it, before it replied.
    pub exit: Option<HypercallExit>,
    /// What the guest got: 32 bits, because our guests are in real mode.
    pub result: u32,
}

/// What a guest does. All of it runs on the VM's one vCPU.
pub trait Guest {
    /// Loads the byte at a guest-physical address below [`super::GUEST_LIMIT`].
    ///
    /// # Errors
    /// Why it could not.
    fn guest_load(&mut self, vm: VmId, gpa: u64) -> Result<u8, Stop>;

    /// Stores a byte there.
    ///
    /// # Errors
    /// Why it could not.
    fn guest_store(&mut self, vm: VmId, gpa: u64, value: u8) -> Result<(), Stop>;

    /// A hypercall with three arguments, of 32 bits each; if it comes to the VMM, that replies `reply`.
    ///
    /// # Errors
    /// Why it did not come back.
    fn hypercall(&mut self, vm: VmId, number: u32, arguments: [u32; 3], reply: u64) -> Result<Called, Stop>;

    /// The exit reason that stands in the vCPU's page now, whoever has put it there; `None` if the target has no such page.
    fn exit_reason(&mut self, vm: VmId) -> Option<ExitReason> {
        let _ = vm;
        None
    }
}
