//! Handles, and what every request answers with.

use tenure_abi::Errno;

/// What a request gave back, or the errno it failed with.
pub type Answer<T = ()> = Result<T, Errno>;

macro_rules! handles {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u32);
    )+};
}

handles! {
    /// A VM with one vCPU.
    VmId,
    /// An open descriptor of a guest memory file.
    FileId,
    /// A range of addresses of the VMM's process.
    MappingId,
    /// A process: the VMM's, or a child that it forked.
    ProcessId,
    /// A long-term reference to pages, as a device or another subsystem would hold.
    PinId,
}

impl ProcessId {
    /// The VMM itself.
    pub const VMM: Self = Self(0);
}
