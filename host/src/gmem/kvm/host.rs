//! How a kernel is built and set up: kinds of VMs, requests, capabilities.

use super::personality::Personality;
use tenure_abi::Errno;
use tenure_abi::gmem::{Attributes, Capability, ContentFlags, CreateFlags, VmType, hypercall, ioctl};

/// A kind of VM on x86.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Without private memory.
    Default,
    /// Private memory that nobody encrypts.
    SwProtected,
    /// Encrypted; no private memory in the sense of files.
    Sev,
    /// As [`Kind::Sev`], registers too.
    SevEs,
    /// Private memory that the RMP enforces.
    Snp,
    /// Private memory that the TDX module enforces.
    Tdx,
}

impl Kind {
    /// Every kind; the type's number is the place in this list.
    pub const ALL: [Self; 6] = [Self::Default, Self::SwProtected, Self::Sev, Self::SevEs, Self::Snp, Self::Tdx];

    /// The kind of a type's number.
    pub fn of(number: VmType) -> Option<Self> {
        Self::ALL.get(usize::try_from(number.0).ok()?).copied()
    }

    /// Whether a page of its guests can be private.
    pub const fn has_private(self) -> bool {
        matches!(self, Self::SwProtected | Self::Snp | Self::Tdx)
    }

    /// Whether firmware measures its guests' first pages: until that has ended nothing may be mapped ahead.
    pub const fn is_measured(self) -> bool {
        matches!(self, Self::Snp | Self::Tdx)
    }

    /// The content modes that files of such VMs take in RFC v5, in whatever direction.
    const fn content_modes(self) -> ContentFlags {
        match self.has_private() {
            true => ContentFlags::all(),
            false => ContentFlags::empty(),
        }
    }
}

/// What kind of descriptor a request is made on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum On {
    /// A VM.
    Vm,
    /// A vCPU.
    Vcpu,
    /// A guest memory file.
    File,
}

/// A kernel: which one it behaves as, and how it was built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Host {
    /// Which kernel.
    pub personality: Personality,
    /// Bit n: VMs of type n can be made.
    pub vm_types: u32,
    /// Whether attributes by guest-physical address are built in.
    pub vm_attributes: bool,
    /// Whether a guest's own accesses are translated by hardware. Where not, KVM emulates them through `userspace_addr`, and
    /// nothing can be mapped ahead.
    pub paging: bool,
    /// Whether files are converted in place. It turns the attributes by guest-physical address off.
    pub in_place: bool,
    /// The first address that is not user space's, whole pages.
    pub user_end: u64,
}

impl Host {
    /// The first guest-physical address that no slot reaches: 52 bits.
    pub const GPA_END: u64 = 1 << 52;
    /// How many slots user space can number; seen on a running 6.18.
    pub const SLOTS: u16 = 32764;
    /// Four-level page tables less the last page: seen on a running 6.18.
    const USER_END: u64 = (1 << 47) - 0x1000;

    /// Everything that the kernel can have. Attributes are kept by files where it can do that, as it is by default
    /// where those by address are not built in.
    pub const fn new(personality: Personality) -> Self {
        let answers = personality.answers();
        let in_place = answers.in_place.is_some();
        Self {
            personality,
            vm_types: answers.vm_types,
            vm_attributes: !in_place,
            paging: true,
            in_place,
            user_end: Self::USER_END,
        }
    }

    /// Whether files keep visibility: what was asked for, where the kernel can.
    pub const fn converts_in_place(&self) -> bool {
        self.in_place && self.personality.answers().in_place.is_some()
    }

    /// The kind of a new VM.
    ///
    /// # Errors
    /// `EINVAL` for one that cannot be made.
    pub fn kind(&self, number: VmType) -> Result<Kind, Errno> {
        let kind = Kind::of(number).ok_or(Errno::EINVAL)?;
        let offered = self.vm_types & self.personality.answers().vm_types;
        if offered >> kind as u32 & 1 == 0 { Err(Errno::EINVAL) } else { Ok(kind) }
    }

    /// Whether there is such a request.
    ///
    /// # Errors
    /// `ENOTTY`.
    pub const fn request(&self, on: On, number: u32) -> Result<(), Errno> {
        let there = match (on, number) {
            (
                On::Vm,
                ioctl::CHECK_EXTENSION
                | ioctl::ENABLE_CAP
                | ioctl::SET_USER_MEMORY_REGION
                | ioctl::SET_USER_MEMORY_REGION2
                | ioctl::CREATE_GUEST_MEMFD,
            ) => true,
            (On::Vm, ioctl::SET_MEMORY_ATTRIBUTES) => self.vm_attributes,
            (On::Vcpu, ioctl::PRE_FAULT_MEMORY) => self.personality.answers().prefault,
            (On::File, ioctl::SET_MEMORY_ATTRIBUTES2) => self.converts_in_place(),
            _ => false,
        };
        if there { Ok(()) } else { Err(Errno::ENOTTY) }
    }

    /// Attributes that can be set by guest-physical address.
    pub(super) const fn address_attributes(&self, kind: Option<Kind>) -> Attributes {
        match self.vm_attributes && !self.converts_in_place() && has_private(kind) {
            true => Attributes::PRIVATE,
            false => Attributes::empty(),
        }
    }

    /// Flags that files of a kind of VM, or of any, can be made with.
    pub(super) const fn create_flags(&self, kind: Option<Kind>) -> CreateFlags {
        let Some([without, with]) = self.personality.answers().create_flags else { return CreateFlags::empty() };
        match kind {
            None => CreateFlags::all(),
            Some(kind) if kind.has_private() && !self.converts_in_place() => with,
            Some(_) => without,
        }
    }

    /// Whether slots of a kind of VM, or of any, can have a file.
    pub(super) const fn has_files(&self, kind: Option<Kind>) -> bool {
        self.personality.answers().files_without_private || has_private(kind)
    }

    /// The answer to a question for a capability: on `/dev/kvm` without a kind, on a VM with its. 0 for one that is not known.
    pub fn check(&self, kind: Option<Kind>, capability: Capability) -> u32 {
        let answers = self.personality.answers();
        match capability {
            Capability::EXIT_HYPERCALL => 1 << hypercall::MAP_GPA_RANGE,
            Capability::USER_MEMORY2 | Capability::MEMORY_FAULT_INFO => 1,
            Capability::MEMORY_ATTRIBUTES => self.address_attributes(kind).bits() as u32,
            Capability::GUEST_MEMFD => self.has_files(kind).into(),
            Capability::VM_TYPES => self.vm_types & answers.vm_types,
            Capability::PRE_FAULT_MEMORY => (answers.prefault && self.paging).into(),
            Capability::GUEST_MEMFD_FLAGS => self.create_flags(kind).bits() as u32,
            other => answers.in_place.map_or(0, |series| {
                let on = self.converts_in_place() && has_private(kind);
                let modes = kind.map_or(ContentFlags::all(), Kind::content_modes);
                match other {
                    _ if !on => 0,
                    _ if other == series.attributes => Attributes::PRIVATE.bits() as u32,
                    _ if Some(other) == series.content_modes => modes.bits() as u32,
                    _ => 0,
                }
            }),
        }
    }
}

/// Whether a kind of VM, or any, has private memory.
const fn has_private(kind: Option<Kind>) -> bool {
    match kind {
        None => true,
        Some(kind) => kind.has_private(),
    }
}
