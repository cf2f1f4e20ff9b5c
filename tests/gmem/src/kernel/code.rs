//! The guest: one access, in real mode, then a halt.
//!
//! Each snippet stands at its own address in the target's own memory. The segment ES begins at the page that is
//! touched, BX is the offset in it.

/// Where a snippet stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Snippet {
    /// `mov al, es:[bx]; hlt`
    Load,
    /// `mov es:[bx], cl; hlt`
    Store,
    /// `vmmcall; hlt`, or `vmcall; hlt` on a processor with VMX: EAX is the number, EBX, ECX, EDX are the arguments, EAX the result.
    Hypercall,
}

impl Snippet {
    const ALL: [Self; 3] = [Self::Load, Self::Store, Self::Hypercall];

    /// Its guest-physical address, which is its instruction pointer.
    pub(super) const fn address(self) -> u16 {
        match self {
            Self::Load => 0x1000,
            Self::Store => 0x1010,
            Self::Hypercall => 0x1020,
        }
    }

    const fn bytes(self, vmx: bool) -> [u8; 4] {
        match self {
            Self::Load => [0x26, 0x8a, 0x07, 0xf4],
            Self::Store => [0x26, 0x88, 0x0f, 0xf4],
            Self::Hypercall => [0x0f, 0x01, if vmx { 0xc1 } else { 0xd9 }, 0xf4],
        }
    }
}

/// Every byte of code and its address.
pub(super) fn image() -> impl Iterator<Item = (u16, u8)> {
    let vmx = has_vmx();
    Snippet::ALL.into_iter().flat_map(move |snippet| (snippet.address()..).zip(snippet.bytes(vmx)))
}

/// Whether hypercalls are made the VMX way. KVM puts the right instruction in place of the wrong one, but a KVM without
/// hardware to help it may do so for ever.
fn has_vmx() -> bool {
    std::fs::read_to_string("/proc/cpuinfo").is_ok_and(|text| text.split_whitespace().any(|word| word == "vmx"))
}
