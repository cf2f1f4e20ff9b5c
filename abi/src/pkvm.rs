//! What a protected guest may ask its hypervisor: the pKVM guest interface.
//!
//! Sources: Linux `Documentation/virt/kvm/arm/hypercalls.rst`, `arch/arm64/kvm/hyp/nvhe/pkvm.c` (7.3);
//! the ranged forms, relinquish and the MMIO guard are those of the Android 6.12 kernel.
//! All calls use `HVC #0`, arguments in x0..x3, results in x0..x3.
//!
//! | function | name | arguments x1, x2, x3 | results |
//! |---|---|---|---|
//! | `8600ff01` | `CALL_UID` | | four words, [`UID`] |
//! | `86000000` | `FEATURES` | | 128-bit bitmap of offered functions, [`Features`] |
//! | `c6000002` | `HYP_MEMINFO` | 0, 0, 0 | x0 granule in bytes, x1 bit 0: ranges offered |
//! | `c6000003` | `MEM_SHARE` | IPA, granules (0 means 1), 0 | x0 code, x1 granules done |
//! | `c6000004` | `MEM_UNSHARE` | as `MEM_SHARE` | as `MEM_SHARE` |
//! | `c6000005` | `MMIO_GUARD_INFO` | 0, 0, 0 | as `HYP_MEMINFO` |
//! | `c6000006` | `MMIO_GUARD_ENROLL` | | x0 code |
//! | `c6000007`, `8` | `MMIO_GUARD_MAP`, `_UNMAP` | IPA | x0 code |
//! | `c6000009` | `MEM_RELINQUISH` | IPA, 0, 0 | x0 code |
//! | `c600000a`, `b` | `MMIO_RGUARD_MAP`, `_UNMAP` | IPA, granules, 0 | x0 code, x1 granules done |

use crate::error::{Error, Interface};
use crate::frame::{AddressWidth, FrameRange, Gfn, PAGE_SIZE};
use crate::smccc;

/// The unique id of the vendor-hypervisor service that Linux guests look for, as x0..x3.
pub const UID: [u32; 4] = [0xb66f_b428, 0xe911_c52e, 0x564b_caa9, 0x743a_004d];

/// Function identifiers, named as in the documents above.
pub mod id {
    use crate::smccc::{VENDOR_HYP_CALL_UID, vendor_hyp32, vendor_hyp64};

    /// Who answers the vendor-hypervisor service.
    pub const CALL_UID: u32 = VENDOR_HYP_CALL_UID;
    /// Which functions are offered.
    pub const FEATURES: u32 = vendor_hyp32(0);
    /// The granule of the memory calls.
    pub const HYP_MEMINFO: u32 = vendor_hyp64(2);
    /// Let the host touch pages of the guest.
    pub const MEM_SHARE: u32 = vendor_hyp64(3);
    /// Stop letting it.
    pub const MEM_UNSHARE: u32 = vendor_hyp64(4);
    /// The granule of the MMIO guard.
    pub const MMIO_GUARD_INFO: u32 = vendor_hyp64(5);
    /// From now on, exit to the host only for guarded addresses.
    pub const MMIO_GUARD_ENROLL: u32 = vendor_hyp64(6);
    /// Mark one granule as MMIO.
    pub const MMIO_GUARD_MAP: u32 = vendor_hyp64(7);
    /// Unmark one granule.
    pub const MMIO_GUARD_UNMAP: u32 = vendor_hyp64(8);
    /// Give a page back to the host, scrubbed.
    pub const MEM_RELINQUISH: u32 = vendor_hyp64(9);
    /// Mark a range as MMIO.
    pub const MMIO_RGUARD_MAP: u32 = vendor_hyp64(10);
    /// Unmark a range.
    pub const MMIO_RGUARD_UNMAP: u32 = vendor_hyp64(11);
}

bitflags::bitflags! {
    /// The low word of the `FEATURES` bitmap: bit `n` is function number `n`.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Features: u32 {
        /// `FEATURES` itself.
        const FEATURES = 1 << 0;
        /// `HYP_MEMINFO`.
        const HYP_MEMINFO = 1 << 2;
        /// `MEM_SHARE`.
        const MEM_SHARE = 1 << 3;
        /// `MEM_UNSHARE`.
        const MEM_UNSHARE = 1 << 4;
        /// `MMIO_GUARD_INFO`.
        const MMIO_GUARD_INFO = 1 << 5;
        /// `MMIO_GUARD_ENROLL`.
        const MMIO_GUARD_ENROLL = 1 << 6;
        /// `MMIO_GUARD_MAP`.
        const MMIO_GUARD_MAP = 1 << 7;
        /// `MMIO_GUARD_UNMAP`.
        const MMIO_GUARD_UNMAP = 1 << 8;
        /// `MEM_RELINQUISH`.
        const MEM_RELINQUISH = 1 << 9;
        /// `MMIO_RGUARD_MAP`.
        const MMIO_RGUARD_MAP = 1 << 10;
        /// `MMIO_RGUARD_UNMAP`.
        const MMIO_RGUARD_UNMAP = 1 << 11;
    }
}

impl Features {
    /// What Linux 7.3 offers a protected guest (0x1d); a Linux guest needs all of it.
    pub const LINUX_7_3: Self = Self::FEATURES.union(Self::HYP_MEMINFO).union(Self::MEM_SHARE).union(Self::MEM_UNSHARE);
}

/// A guest's call, checked: what is left to decide is whether the pages allow it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GuestCall {
    /// Who answers?
    CallUid,
    /// Which functions are offered?
    Features,
    /// Which granule do the memory calls have?
    HypMemInfo,
    /// Let the host touch these pages.
    MemShare(FrameRange<Gfn>),
    /// Stop letting it.
    MemUnshare(FrameRange<Gfn>),
    /// Give this page back to the host, scrubbed.
    MemRelinquish(Gfn),
    /// Which granule does the MMIO guard have?
    MmioGuardInfo,
    /// From now on, exit to the host only for guarded addresses.
    MmioGuardEnroll,
    /// Mark these pages as MMIO (the single-page call is a range of one).
    MmioGuardMap(FrameRange<Gfn>),
    /// Unmark these pages.
    MmioGuardUnmap(FrameRange<Gfn>),
}

mod wire {
    use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

    /// x0..x3 of a call on a range of guest addresses.
    #[derive(FromBytes, IntoBytes, Immutable, KnownLayout)]
    #[repr(C)]
    pub(super) struct RangeCall {
        /// x0, offset 0: function identifier.
        pub(super) function: u64,
        /// x1, offset 8: guest-physical address in bytes.
        pub(super) ipa: u64,
        /// x2, offset 16: number of granules; 0 means 1.
        pub(super) granules: u64,
        /// x3, offset 24: must be 0.
        pub(super) reserved: u64,
    }

    /// x0..x3 of an answer.
    #[derive(FromBytes, IntoBytes, Immutable, KnownLayout)]
    #[repr(C)]
    pub(super) struct RangeReply {
        /// x0, offset 0: SMCCC code.
        pub(super) code: i64,
        /// x1, offset 8: granules done.
        pub(super) done: u64,
        /// x2, x3, offset 16: 0.
        pub(super) reserved: [u64; 2],
    }

    const _: () = {
        use core::mem::{offset_of, size_of};
        assert!(size_of::<RangeCall>() == 32 && size_of::<RangeReply>() == 32);
        assert!(offset_of!(RangeCall, ipa) == 8 && offset_of!(RangeCall, granules) == 16);
        assert!(offset_of!(RangeCall, reserved) == 24 && offset_of!(RangeReply, done) == 8);
    };
}

impl GuestCall {
    /// The call that x0..x3 of a guest ask for.
    ///
    /// # Errors
    /// [`Error::NotSupported`] for a function outside this interface, [`Error::Invalid`] for an
    /// unaligned address, a range that wraps or ends beyond `width`, or a reserved argument that is not 0.
    pub fn parse(regs: [u64; 4], width: AddressWidth) -> Result<Self, Error> {
        let call: wire::RangeCall = zerocopy::transmute!(regs);
        let no_arguments = || match call.ipa | call.granules | call.reserved {
            0 => Ok(()),
            _ => Err(Error::Invalid),
        };
        let range = || {
            if call.reserved != 0 {
                return Err(Error::Invalid);
            }
            FrameRange::new(Gfn::from_address(call.ipa)?, call.granules.max(1), width)
        };
        // The single-page MMIO calls ignore x2 and x3 (Android 6.12).
        let single = || FrameRange::new(Gfn::from_address(call.ipa)?, 1, width);
        Ok(match smccc::function(call.function) {
            id::CALL_UID => Self::CallUid,
            id::FEATURES => Self::Features,
            id::HYP_MEMINFO => no_arguments().map(|()| Self::HypMemInfo)?,
            id::MEM_SHARE => Self::MemShare(range()?),
            id::MEM_UNSHARE => Self::MemUnshare(range()?),
            id::MEM_RELINQUISH if call.granules == 0 => Self::MemRelinquish(range()?.first()),
            id::MEM_RELINQUISH => return Err(Error::Invalid),
            id::MMIO_GUARD_INFO => no_arguments().map(|()| Self::MmioGuardInfo)?,
            id::MMIO_GUARD_ENROLL => Self::MmioGuardEnroll,
            id::MMIO_GUARD_MAP => Self::MmioGuardMap(single()?),
            id::MMIO_GUARD_UNMAP => Self::MmioGuardUnmap(single()?),
            id::MMIO_RGUARD_MAP => Self::MmioGuardMap(range()?),
            id::MMIO_RGUARD_UNMAP => Self::MmioGuardUnmap(range()?),
            _ => return Err(Error::NotSupported),
        })
    }

    /// x0..x3 of this call, in its ranged form where one exists.
    pub fn to_regs(self) -> [u64; 4] {
        let plain = |function: u32| wire::RangeCall { function: function.into(), ipa: 0, granules: 0, reserved: 0 };
        let ranged = |function: u32, range: FrameRange<Gfn>| wire::RangeCall {
            function: function.into(),
            ipa: range.first().address(),
            // One page is asked for as 0: the only form that hypervisors without ranges accept.
            granules: if range.count() == 1 { 0 } else { range.count() },
            reserved: 0,
        };
        let mmio = |one, many, range: FrameRange<Gfn>| match range.count() {
            1 => ranged(one, range),
            _ => ranged(many, range),
        };
        zerocopy::transmute!(match self {
            Self::CallUid => plain(id::CALL_UID),
            Self::Features => plain(id::FEATURES),
            Self::HypMemInfo => plain(id::HYP_MEMINFO),
            Self::MemShare(range) => ranged(id::MEM_SHARE, range),
            Self::MemUnshare(range) => ranged(id::MEM_UNSHARE, range),
            Self::MemRelinquish(gfn) => ranged(id::MEM_RELINQUISH, FrameRange::single(gfn)),
            Self::MmioGuardInfo => plain(id::MMIO_GUARD_INFO),
            Self::MmioGuardEnroll => plain(id::MMIO_GUARD_ENROLL),
            Self::MmioGuardMap(range) => mmio(id::MMIO_GUARD_MAP, id::MMIO_RGUARD_MAP, range),
            Self::MmioGuardUnmap(range) => mmio(id::MMIO_GUARD_UNMAP, id::MMIO_RGUARD_UNMAP, range),
        })
    }
}

/// What the hypervisor answers a guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GuestReply {
    /// To [`GuestCall::CallUid`].
    Uid,
    /// To [`GuestCall::Features`].
    Features(Features),
    /// To the calls that ask for a granule: 4 KiB, and whether ranges are offered.
    MemInfo {
        /// Whether x2 of the memory calls may be more than 1.
        ranges: bool,
    },
    /// This many granules were done, from the first on; never 0.
    Done(u64),
    /// Refused, nothing done.
    Refused(Error),
}

impl GuestReply {
    /// x0..x3 of this answer.
    pub fn to_regs(self) -> [u64; 4] {
        match self {
            Self::Uid => UID.map(u64::from),
            Self::Features(features) => [features.bits().into(), 0, 0, 0],
            Self::MemInfo { ranges } => [PAGE_SIZE, ranges.into(), 0, 0],
            Self::Done(done) => zerocopy::transmute!(wire::RangeReply { code: smccc::SUCCESS, done, reserved: [0; 2] }),
            Self::Refused(error) => {
                zerocopy::transmute!(wire::RangeReply { code: error.code(Interface::Guest), done: 0, reserved: [0; 2] })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const W: AddressWidth = AddressWidth::GUEST_MAX;

    fn range(first: u64, count: u64) -> FrameRange<Gfn> {
        FrameRange::new(Gfn::new(first).unwrap(), count, W).unwrap()
    }

    #[test]
    fn every_call_survives_the_registers() {
        let calls = [
            GuestCall::CallUid,
            GuestCall::Features,
            GuestCall::HypMemInfo,
            GuestCall::MemShare(range(0x40010, 1)),
            GuestCall::MemShare(range(0x40010, 512)),
            GuestCall::MemUnshare(range(0x40010, 2)),
            GuestCall::MemRelinquish(Gfn::new(0x40010).unwrap()),
            GuestCall::MmioGuardInfo,
            GuestCall::MmioGuardEnroll,
            GuestCall::MmioGuardMap(range(0x9000, 1)),
            GuestCall::MmioGuardMap(range(0x9000, 3)),
            GuestCall::MmioGuardUnmap(range(0x9000, 1)),
            GuestCall::MmioGuardUnmap(range(0x9000, 3)),
        ];
        for call in calls {
            assert_eq!(GuestCall::parse(call.to_regs(), W), Ok(call));
        }
    }

    #[test]
    fn bad_arguments_are_refused() {
        let share = u64::from(id::MEM_SHARE);
        for regs in [
            [share, 0x4000_0008, 0, 0],
            [share, 0x4000_0000, 0, 1],
            [share, 0x4000_0000, u64::MAX, 0],
            [share, 1 << 48, 0, 0],
            [share, (1 << 48) - 4096, 2, 0],
            [u64::MAX << 32 | share, u64::MAX, 0, 0],
            [id::HYP_MEMINFO.into(), 1, 0, 0],
            [id::HYP_MEMINFO.into(), 0, 0, 1],
            [id::MEM_RELINQUISH.into(), 0x4000_0000, 1, 0],
        ] {
            assert_eq!(GuestCall::parse(regs, W), Err(Error::Invalid), "{regs:x?}");
        }
        for function in [0x8600_0001, 0xc600_003e, 0x8400_0008, 0, u64::MAX] {
            assert_eq!(GuestCall::parse([function, 0, 0, 0], W), Err(Error::NotSupported), "{function:x}");
        }
    }

    #[test]
    fn answers_have_the_numbers_that_linux_guests_expect() {
        assert_eq!(Features::LINUX_7_3.bits(), 0x1d);
        assert_eq!(GuestReply::Uid.to_regs(), [0xb66f_b428, 0xe911_c52e, 0x564b_caa9, 0x743a_004d]);
        assert_eq!(GuestReply::MemInfo { ranges: true }.to_regs(), [4096, 1, 0, 0]);
        assert_eq!(GuestReply::Done(7).to_regs(), [0, 7, 0, 0]);
        assert_eq!(GuestReply::Refused(Error::Denied).to_regs(), [u64::MAX - 2, 0, 0, 0]);
        assert_eq!(GuestReply::Refused(Error::NotSupported).to_regs(), [u64::MAX, 0, 0, 0]);
    }
}
