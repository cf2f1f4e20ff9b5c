//! One operation, in numbers that mean the same on both sides.

use crate::target::{FileCall, Foreign, MapKind, MemoryCall};
use tenure_abi::gmem::{CreateGuestMemfd, MemoryAttributes, MemoryAttributes2, PreFaultMemory};

/// A place in the world: see `world`.
pub type Place = usize;

/// Which file a slot names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SlotFile {
    /// None: memory of the VMM alone.
    None,
    /// The file at this place.
    File(Place),
    /// A descriptor of something else; VMs are named by place.
    Other(Other),
}

/// A descriptor that is of no guest memory file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Other {
    /// `/dev/kvm`.
    Kvm,
    /// The VM itself.
    Vm,
    /// An ordinary memory file.
    Memfd,
    /// A number that is open nowhere.
    Closed,
}

impl Other {
    /// What the trait calls it, for the VM `vm`; `None` for what is not open.
    pub(super) const fn foreign(self, vm: crate::target::VmId) -> Option<Foreign> {
        match self {
            Self::Kvm => Some(Foreign::Kvm),
            Self::Vm => Some(Foreign::Vm(vm)),
            Self::Memfd => Some(Foreign::Memfd),
            Self::Closed => None,
        }
    }
}

/// The slot that an operation sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    /// Its number, from 1 on.
    pub number: u32,
    /// Raw flags beside that of a file, which goes with `file`.
    pub flags: u32,
    /// Guest-physical address.
    pub gpa: u64,
    /// Bytes.
    pub bytes: u64,
    /// The mapping whose address is `userspace_addr`; `None` is address 0.
    pub mapping: Option<Place>,
    /// Bytes added to that address.
    pub into: u64,
    /// The file.
    pub file: SlotFile,
    /// The offset in it.
    pub offset: u64,
}

/// One operation. Places are named first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// Creates a VM of a kind.
    CreateVm(Place, u64),
    /// Closes it.
    CloseVm(Place),
    /// Asks a VM for a capability.
    Check(Place, u32),
    /// Creates a file for the VM at the second place.
    CreateFile(Place, Place, CreateGuestMemfd),
    /// Closes a descriptor.
    CloseFile(Place),
    /// Duplicates the descriptor at the second place.
    Dup(Place, Place),
    /// Asks for size and identity.
    Stat(Place),
    /// `fallocate` with mode, offset and bytes.
    Allocate(Place, u32, u64, u64),
    /// `ftruncate`.
    Truncate(Place, u64),
    /// Another call on the descriptor.
    FileCall(Place, FileCall),
    /// Maps the file at the second place: offset, bytes.
    Map(Place, Place, u64, u64, MapKind),
    /// Memory of the VMM's own: bytes.
    Anonymous(Place, u64),
    /// Unmaps.
    Unmap(Place),
    /// A load by the VMM, or by the child at the second place.
    Load(Place, Option<Place>, u64),
    /// A store.
    Store(Place, Option<Place>, u64, u8),
    /// A system call on a page of a mapping.
    MemoryCall(Place, u64, MemoryCall),
    /// `mincore` of a page.
    Resident(Place, u64),
    /// Holds a page.
    Pin(Place, Place, u64),
    /// Lets go.
    Unpin(Place),
    /// Forks.
    Fork(Place),
    /// Ends a child.
    End(Place),
    /// Sets a slot of a VM.
    Bind(Place, Slot),
    /// Deletes a slot.
    Unbind(Place, u32),
    /// Sets attributes of a VM.
    Attributes(Place, MemoryAttributes),
    /// Sets attributes of a file.
    Attributes2(Place, MemoryAttributes2),
    /// Maps before the guest touches.
    Prefault(Place, PreFaultMemory),
    /// A load by a guest.
    GuestLoad(Place, u64),
    /// A store by a guest.
    GuestStore(Place, u64, u8),
    /// A hypercall.
    Hypercall(Place, u32, [u32; 3], u64),
}

macro_rules! kinds {
    ($($kind:ident),+ $(,)?) => {
        /// An operation without its arguments.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Kind {
            $(#[doc = concat!("[`Op::", stringify!($kind), "`].")] $kind),+
        }

        impl Kind {
            /// Every kind.
            pub const ALL: &[Self] = &[$(Self::$kind),+];
        }

        impl Op {
            /// Its kind.
            pub const fn kind(&self) -> Kind {
                match self {
                    $(Self::$kind(..) => Kind::$kind),+
                }
            }
        }
    };
}

kinds!(
    CreateVm,
    CloseVm,
    Check,
    CreateFile,
    CloseFile,
    Dup,
    Stat,
    Allocate,
    Truncate,
    FileCall,
    Map,
    Anonymous,
    Unmap,
    Load,
    Store,
    MemoryCall,
    Resident,
    Pin,
    Unpin,
    Fork,
    End,
    Bind,
    Unbind,
    Attributes,
    Attributes2,
    Prefault,
    GuestLoad,
    GuestStore,
    Hypercall,
);
