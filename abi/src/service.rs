//! What the host may ask Tenure at EL2: the host service.
//!
//! `HVC #0` from the host's EL1, arguments in x1..x5. x0 answers `SUCCESS` or `NOT_SUPPORTED`, x1 is 0
//! or a negative errno, x2 a value (pages done, a handle, an index), x3 the frame number at fault.
//! The host finds the service by [`UID`] behind `CALL_UID`, then checks [`VERSION`] and [`Features`].
//!
//! | function | name | x1.. | x2 out |
//! |---|---|---|---|
//! | `8600ff01` | `CALL_UID` | | four words in x0..x3 |
//! | `c6000100` | `VERSION` | | major << 16 \| minor |
//! | `c6000101` | `FEATURES` | | bitmap |
//! | `c6000102`, `103` | `SHARE_HYP`, `UNSHARE_HYP` | pfn, pages | pages done |
//! | `c6000104` | `DONATE_GUEST` | handle, pfn, gfn, pages | pages done |
//! | `c6000105` | `SHARE_GUEST` | handle, pfn, gfn, pages, prot | pages done |
//! | `c6000106` | `UNSHARE_GUEST` | handle, gfn, pages | pages done |
//! | `c6000107` | `RECLAIM_GUEST` | handle, gfn, pages | pages done |
//! | `c6000108` | `FORCE_RECLAIM` | pfn, pages | pages done |
//! | `c6000109` | `POISON_FAULT` | handle, vcpu | 1 poisoned, 0 not |
//! | `c600010a` | `VM_CREATE` | kind, pfn of root tables, pages | handle |
//! | `c600010b` | `VM_TOPUP` | handle, pfn, pages | pages done |
//! | `c600010c` | `VCPU_CREATE` | handle, pfn of run page, entry, argument | index |
//! | `c600010d` | `VCPU_RUN` | handle, vcpu | stop reason |
//! | `c600010e` | `VM_START_TEARDOWN` | handle | |
//! | `c600010f` | `VM_FINISH_TEARDOWN` | handle | |
//! | `c6000110` | `AUDIT` | cursor, pages | next cursor, 0 at the end |
//!
//! Calls that touch tables or bytes stop after about 2 MiB and answer fewer pages than asked: repeat with the rest.

use crate::error::{Error, Interface, Located, Place};
use crate::frame::{AddressWidth, FrameRange, Gfn, Pfn};
use crate::owner::VmHandle;
use crate::smccc;

/// The unique id of this service as x0..x3: 55805b33-827e-4766-9f40-af8f6d5f6c5a.
pub const UID: [u32; 4] = [0x335b_8055, 0x6647_7e82, 0x8faf_409f, 0x5a6c_5f6d];

/// The version this crate describes: 1.0, as major << 16 | minor.
pub const VERSION: u64 = 1 << 16;

/// Function identifiers.
pub mod id {
    use crate::smccc::vendor_hyp64;
    macro_rules! ids {
        ($($(#[$doc:meta])* $name:ident = $number:literal,)*) => {
            $($(#[$doc])* pub const $name: u32 = vendor_hyp64($number);)*
        };
    }
    ids! {
        /// Which version is spoken?
        VERSION = 0x100,
        /// What is offered?
        FEATURES = 0x101,
        /// Let the hypervisor pin host pages.
        SHARE_HYP = 0x102,
        /// Stop letting it.
        UNSHARE_HYP = 0x103,
        /// Give host pages to a protected guest.
        DONATE_GUEST = 0x104,
        /// Map host pages into a non-protected guest.
        SHARE_GUEST = 0x105,
        /// Take that mapping back.
        UNSHARE_GUEST = 0x106,
        /// Take the pages of a dying guest back.
        RECLAIM_GUEST = 0x107,
        /// Take pages of a living guest back and burn their addresses.
        FORCE_RECLAIM = 0x108,
        /// Did this vCPU stop at a burnt address?
        POISON_FAULT = 0x109,
        /// Create a VM.
        VM_CREATE = 0x10a,
        /// Give a VM table pages.
        VM_TOPUP = 0x10b,
        /// Create a vCPU.
        VCPU_CREATE = 0x10c,
        /// Run a vCPU until it needs the host.
        VCPU_RUN = 0x10d,
        /// Stop a VM for ever.
        VM_START_TEARDOWN = 0x10e,
        /// Free an emptied VM.
        VM_FINISH_TEARDOWN = 0x10f,
        /// Check the tracker's records.
        AUDIT = 0x110,
    }
}

bitflags::bitflags! {
    /// What an implementation offers beyond the calls of its version.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Features: u64 {
        /// Memory calls take any number of pages.
        const RANGES = 1 << 0;
        /// Guest memory is mapped in 2 MiB leaves where it can be.
        const LEAF_2M = 1 << 1;
        /// Devices are kept off guest memory by an SMMU.
        const SMMU = 1 << 2;
    }
}

bitflags::bitflags! {
    /// What a non-protected guest may do with a page that the host maps for it.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Prot: u64 {
        /// Execute.
        const X = 1 << 0;
        /// Write.
        const W = 1 << 1;
        /// Read.
        const R = 1 << 2;
    }
}

/// Which promises a VM gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VmKind {
    /// The host maps its own pages for the guest and keeps access.
    NonProtected,
    /// Pages given to the guest are out of the host's reach.
    Protected,
}

impl VmKind {
    /// The value on the wire.
    pub const fn to_raw(self) -> u64 {
        self as u64
    }

    /// The kind a wire value names.
    ///
    /// # Errors
    /// [`Error::Invalid`] for anything but 0 and 1.
    pub const fn from_raw(raw: u64) -> Result<Self, Error> {
        match raw {
            0 => Ok(Self::NonProtected),
            1 => Ok(Self::Protected),
            _ => Err(Error::Invalid),
        }
    }
}

/// A host's call, checked as far as it can be without looking at any page or VM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // The fields are named as in the module's table.
pub enum HostCall {
    /// Who answers?
    CallUid,
    /// Which version?
    Version,
    /// Which features?
    Features,
    /// Let the hypervisor pin these pages.
    ShareHyp(FrameRange<Pfn>),
    /// Stop letting it.
    UnshareHyp(FrameRange<Pfn>),
    /// Give pages to a protected guest; content is kept.
    DonateGuest { vm: VmHandle, frames: FrameRange<Pfn>, gfn: Gfn },
    /// Map pages into a non-protected guest.
    ShareGuest { vm: VmHandle, frames: FrameRange<Pfn>, gfn: Gfn, prot: Prot },
    /// Take such mappings back.
    UnshareGuest { vm: VmHandle, range: FrameRange<Gfn> },
    /// Take pages of a dying guest back, scrubbed unless the guest had shared them.
    ReclaimGuest { vm: VmHandle, range: FrameRange<Gfn> },
    /// Take pages of a living guest back, scrubbed, and burn their guest addresses.
    ForceReclaim(FrameRange<Pfn>),
    /// Did this vCPU stop at a burnt address?
    PoisonFault { vm: VmHandle, vcpu: u64 },
    /// Create a VM whose stage-2 root tables are these pages.
    VmCreate { kind: VmKind, root: FrameRange<Pfn> },
    /// Give a VM pages for further tables.
    VmTopup { vm: VmHandle, frames: FrameRange<Pfn> },
    /// Create a vCPU that starts at `entry` with `argument` in x0 and reports in a shared page.
    VcpuCreate { vm: VmHandle, run_page: Pfn, entry: u64, argument: u64 },
    /// Run a vCPU.
    VcpuRun { vm: VmHandle, vcpu: u64 },
    /// Stop a VM for ever; its pages can be reclaimed from now on.
    VmStartTeardown(VmHandle),
    /// Free a VM that owns and maps nothing any more.
    VmFinishTeardown(VmHandle),
    /// Check the tracker's records from `cursor` on, at most `pages` pages.
    Audit { cursor: u64, pages: u64 },
}

impl HostCall {
    /// The call that x0..x5 of the host ask for; `pa` and `ipa` are the machine's and the guests' widths.
    ///
    /// # Errors
    /// [`Error::NotSupported`] for an unknown function; [`Error::Invalid`] for an empty or wrapping range,
    /// a frame beyond its width, a malformed handle, kind or protection, or an unused argument that is not 0.
    pub fn parse(regs: [u64; 6], pa: AddressWidth, ipa: AddressWidth) -> Result<Self, Error> {
        let [x0, a, b, c, d, e] = regs;
        let unused = |rest: &[u64]| match rest.iter().fold(0, |all, r| all | r) {
            0 => Ok(()),
            _ => Err(Error::Invalid),
        };
        let pfns = |first, count| FrameRange::new(Pfn::new(first)?, count, pa);
        let gfns = |first, count| FrameRange::new(Gfn::new(first)?, count, ipa);
        let vm = || VmHandle::from_raw(a);
        match smccc::function(x0) {
            smccc::VENDOR_HYP_CALL_UID => Ok(Self::CallUid),
            id::VERSION => Ok(Self::Version),
            id::FEATURES => Ok(Self::Features),
            id::SHARE_HYP => unused(&[c, d, e]).and(Ok(Self::ShareHyp(pfns(a, b)?))),
            id::UNSHARE_HYP => unused(&[c, d, e]).and(Ok(Self::UnshareHyp(pfns(a, b)?))),
            id::DONATE_GUEST => {
                unused(&[e])?;
                gfns(c, d)?;
                Ok(Self::DonateGuest { vm: vm()?, frames: pfns(b, d)?, gfn: Gfn::new(c)? })
            }
            id::SHARE_GUEST => {
                gfns(c, d)?;
                let prot = Prot::from_bits(e).ok_or(Error::Invalid)?;
                Ok(Self::ShareGuest { vm: vm()?, frames: pfns(b, d)?, gfn: Gfn::new(c)?, prot })
            }
            id::UNSHARE_GUEST => unused(&[d, e]).and(Ok(Self::UnshareGuest { vm: vm()?, range: gfns(b, c)? })),
            id::RECLAIM_GUEST => unused(&[d, e]).and(Ok(Self::ReclaimGuest { vm: vm()?, range: gfns(b, c)? })),
            id::FORCE_RECLAIM => unused(&[c, d, e]).and(Ok(Self::ForceReclaim(pfns(a, b)?))),
            id::POISON_FAULT => unused(&[c, d, e]).and(Ok(Self::PoisonFault { vm: vm()?, vcpu: b })),
            id::VM_CREATE => {
                unused(&[d, e])?;
                Ok(Self::VmCreate { kind: VmKind::from_raw(a)?, root: pfns(b, c)? })
            }
            id::VM_TOPUP => unused(&[d, e]).and(Ok(Self::VmTopup { vm: vm()?, frames: pfns(b, c)? })),
            id::VCPU_CREATE => {
                unused(&[e])?;
                let run_page = pfns(b, 1)?.first();
                Ok(Self::VcpuCreate { vm: vm()?, run_page, entry: c, argument: d })
            }
            id::VCPU_RUN => unused(&[c, d, e]).and(Ok(Self::VcpuRun { vm: vm()?, vcpu: b })),
            id::VM_START_TEARDOWN => unused(&[b, c, d, e]).and(Ok(Self::VmStartTeardown(vm()?))),
            id::VM_FINISH_TEARDOWN => unused(&[b, c, d, e]).and(Ok(Self::VmFinishTeardown(vm()?))),
            id::AUDIT => unused(&[c, d, e]).and(Ok(Self::Audit { cursor: a, pages: b })),
            _ => Err(Error::NotSupported),
        }
    }

    /// x0..x5 of this call.
    pub fn to_regs(self) -> [u64; 6] {
        let at = |function: u32, args: [u64; 5]| {
            let [a, b, c, d, e] = args;
            [function.into(), a, b, c, d, e]
        };
        let first = |r: FrameRange<Pfn>| r.first().number();
        match self {
            Self::CallUid => at(smccc::VENDOR_HYP_CALL_UID, [0; 5]),
            Self::Version => at(id::VERSION, [0; 5]),
            Self::Features => at(id::FEATURES, [0; 5]),
            Self::ShareHyp(r) => at(id::SHARE_HYP, [first(r), r.count(), 0, 0, 0]),
            Self::UnshareHyp(r) => at(id::UNSHARE_HYP, [first(r), r.count(), 0, 0, 0]),
            Self::DonateGuest { vm, frames, gfn } => {
                at(id::DONATE_GUEST, [vm.to_raw(), first(frames), gfn.number(), frames.count(), 0])
            }
            Self::ShareGuest { vm, frames, gfn, prot } => {
                at(id::SHARE_GUEST, [vm.to_raw(), first(frames), gfn.number(), frames.count(), prot.bits()])
            }
            Self::UnshareGuest { vm, range } => {
                at(id::UNSHARE_GUEST, [vm.to_raw(), range.first().number(), range.count(), 0, 0])
            }
            Self::ReclaimGuest { vm, range } => {
                at(id::RECLAIM_GUEST, [vm.to_raw(), range.first().number(), range.count(), 0, 0])
            }
            Self::ForceReclaim(r) => at(id::FORCE_RECLAIM, [first(r), r.count(), 0, 0, 0]),
            Self::PoisonFault { vm, vcpu } => at(id::POISON_FAULT, [vm.to_raw(), vcpu, 0, 0, 0]),
            Self::VmCreate { kind, root } => at(id::VM_CREATE, [kind.to_raw(), first(root), root.count(), 0, 0]),
            Self::VmTopup { vm, frames } => at(id::VM_TOPUP, [vm.to_raw(), first(frames), frames.count(), 0, 0]),
            Self::VcpuCreate { vm, run_page, entry, argument } => {
                at(id::VCPU_CREATE, [vm.to_raw(), run_page.number(), entry, argument, 0])
            }
            Self::VcpuRun { vm, vcpu } => at(id::VCPU_RUN, [vm.to_raw(), vcpu, 0, 0, 0]),
            Self::VmStartTeardown(vm) => at(id::VM_START_TEARDOWN, [vm.to_raw(), 0, 0, 0, 0]),
            Self::VmFinishTeardown(vm) => at(id::VM_FINISH_TEARDOWN, [vm.to_raw(), 0, 0, 0, 0]),
            Self::Audit { cursor, pages } => at(id::AUDIT, [cursor, pages, 0, 0, 0]),
        }
    }
}

/// What Tenure answers the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostReply {
    /// To [`HostCall::CallUid`].
    Uid,
    /// Done, with the value of the module's table.
    Value(u64),
    /// Refused, nothing changed.
    Refused(Located<Error>),
}

impl HostReply {
    /// x0..x3 of this answer.
    pub fn to_regs(self) -> [u64; 4] {
        let ok = smccc::SUCCESS.cast_unsigned();
        match self {
            Self::Uid => UID.map(u64::from),
            Self::Value(value) => [ok, 0, value, 0],
            Self::Refused(Located { error: Error::NotSupported, .. }) => {
                [smccc::NOT_SUPPORTED.cast_unsigned(), 0, 0, 0]
            }
            Self::Refused(Located { error, at }) => {
                let place = match at {
                    Place::Pfn(pfn) => pfn.number(),
                    Place::Gfn(gfn) => gfn.number(),
                    Place::FileOffset(_) | Place::Call => 0,
                };
                [ok, error.code(Interface::Host).cast_unsigned(), 0, place]
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::owner::VmSlot;

    const W: AddressWidth = AddressWidth::GUEST_MAX;

    fn pfns(first: u64, count: u64) -> FrameRange<Pfn> {
        FrameRange::new(Pfn::new(first).unwrap(), count, W).unwrap()
    }

    #[test]
    fn every_call_survives_the_registers() {
        let vm = VmHandle::new(VmSlot::new(3).unwrap(), core::num::NonZeroU32::new(9).unwrap());
        let gfn = Gfn::new(0x50).unwrap();
        let range = FrameRange::new(gfn, 7, W).unwrap();
        let frames = pfns(0x40000, 7);
        let calls = [
            HostCall::CallUid,
            HostCall::Version,
            HostCall::Features,
            HostCall::ShareHyp(frames),
            HostCall::UnshareHyp(frames),
            HostCall::DonateGuest { vm, frames, gfn },
            HostCall::ShareGuest { vm, frames, gfn, prot: Prot::R | Prot::W },
            HostCall::UnshareGuest { vm, range },
            HostCall::ReclaimGuest { vm, range },
            HostCall::ForceReclaim(frames),
            HostCall::PoisonFault { vm, vcpu: 1 },
            HostCall::VmCreate { kind: VmKind::Protected, root: frames },
            HostCall::VmTopup { vm, frames },
            HostCall::VcpuCreate { vm, run_page: frames.first(), entry: 1, argument: 2 },
            HostCall::VcpuRun { vm, vcpu: 0 },
            HostCall::VmStartTeardown(vm),
            HostCall::VmFinishTeardown(vm),
            HostCall::Audit { cursor: 1, pages: 2 },
        ];
        for call in calls {
            assert_eq!(HostCall::parse(call.to_regs(), W, W), Ok(call));
        }
    }

    #[test]
    fn malformed_calls_are_refused() {
        let vm = 1 << 16;
        let beyond = W.frames();
        for regs in [
            [u64::from(id::SHARE_HYP), 0, 0, 0, 0, 0],
            [id::SHARE_HYP.into(), 1, u64::MAX, 0, 0, 0],
            [id::SHARE_HYP.into(), beyond, 1, 0, 0, 0],
            [id::SHARE_HYP.into(), 1, 1, 1, 0, 0],
            [id::DONATE_GUEST.into(), 0, 1, 1, 1, 0],
            [id::DONATE_GUEST.into(), vm, 1, beyond, 1, 0],
            [id::DONATE_GUEST.into(), vm, 1, 1, 1, 1],
            [id::SHARE_GUEST.into(), vm, 1, 1, 1, 8],
            [id::VM_CREATE.into(), 2, 1, 1, 0, 0],
            [id::VCPU_CREATE.into(), vm, beyond, 0, 0, 0],
            [id::VM_FINISH_TEARDOWN.into(), 1 << 48 | vm, 0, 0, 0, 0],
        ] {
            assert_eq!(HostCall::parse(regs, W, W), Err(Error::Invalid), "{regs:x?}");
        }
        assert_eq!(HostCall::parse([0xc600_0111, 0, 0, 0, 0, 0], W, W), Err(Error::NotSupported));
    }

    #[test]
    fn answers_name_the_page_at_fault() {
        let pfn = Pfn::new(0x123).unwrap();
        let refused = HostReply::Refused(Located::pfn(Error::Denied, pfn));
        assert_eq!(refused.to_regs(), [0, u64::MAX, 0, 0x123]);
        let unknown = HostReply::Refused(Located::call(Error::NotSupported));
        assert_eq!(unknown.to_regs(), [u64::MAX, 0, 0, 0]);
        assert_eq!(HostReply::Value(5).to_regs(), [0, 0, 5, 0]);
    }
}
