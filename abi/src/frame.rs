//! Frame numbers and ranges that cannot be built wrong.
//!
//! A frame is 4 KiB. Host-physical ([`Pfn`]) and guest-physical ([`Gfn`]) numbers are different types
//! and never mix. A [`FrameRange`] is checked once, when it is built: it is never empty, never wraps
//! and ends within its address width. Code that receives one does not check again.

use crate::error::Error;

/// log2 of the page size in bytes.
pub const PAGE_SHIFT: u32 = 12;
/// The page size in bytes: 4 KiB, the granule of every platform served here.
pub const PAGE_SIZE: u64 = 1 << PAGE_SHIFT;

/// How many bits an address has: 32 to 52.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct AddressWidth(u8);

impl AddressWidth {
    /// The widest address of any platform: 52 bits (Arm `LPA`, x86 `MAXPHYADDR`).
    pub const MAX: Self = Self(52);
    /// The widest guest-physical address the tracker's reverse map records: 48 bits.
    pub const GUEST_MAX: Self = Self(48);

    /// A width of `bits`.
    ///
    /// # Errors
    /// [`Error::Invalid`] outside 32..=52.
    pub const fn new(bits: u8) -> Result<Self, Error> {
        if bits < 32 || bits > 52 {
            return Err(Error::Invalid);
        }
        Ok(Self(bits))
    }

    /// The number of bits.
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// How many frames such an address space has; the first frame number past its end.
    pub const fn frames(self) -> u64 {
        1 << (self.0 as u32 - PAGE_SHIFT)
    }
}

/// A frame number: [`Pfn`] or [`Gfn`].
pub trait Frame: Copy + Eq + Ord + core::fmt::Debug + sealed::Sealed {
    /// The frame with this number.
    ///
    /// # Errors
    /// [`Error::Invalid`] if it lies beyond a 52-bit address.
    fn new(number: u64) -> Result<Self, Error>;
    /// The number.
    fn number(self) -> u64;
    /// The frame `pages` further on, if it is still a frame.
    fn checked_add(self, pages: u64) -> Option<Self>;
}

mod sealed {
    pub trait Sealed {}
}

macro_rules! frame_number {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(transparent)]
        pub struct $name(u64);

        impl $name {
            /// The frame with this number.
            ///
            /// # Errors
            /// [`Error::Invalid`] if it lies beyond a 52-bit address.
            #[inline]
            pub const fn new(number: u64) -> Result<Self, Error> {
                if number >= AddressWidth::MAX.frames() {
                    return Err(Error::Invalid);
                }
                Ok(Self(number))
            }

            /// The frame that starts at byte address `address`.
            ///
            /// # Errors
            /// [`Error::Invalid`] if it is not a multiple of 4 KiB or has more than 52 bits.
            #[inline]
            pub const fn from_address(address: u64) -> Result<Self, Error> {
                if address & (PAGE_SIZE - 1) != 0 {
                    return Err(Error::Invalid);
                }
                Self::new(address >> PAGE_SHIFT)
            }

            /// The number.
            #[inline]
            pub const fn number(self) -> u64 {
                self.0
            }

            /// The byte address of the frame's first byte.
            #[inline]
            pub const fn address(self) -> u64 {
                self.0 << PAGE_SHIFT
            }

            /// The frame `pages` further on, if it is still a frame.
            #[inline]
            pub const fn checked_add(self, pages: u64) -> Option<Self> {
                match self.0.checked_add(pages) {
                    Some(n) if n < AddressWidth::MAX.frames() => Some(Self(n)),
                    _ => None,
                }
            }
        }

        impl Frame for $name {
            #[inline]
            fn new(number: u64) -> Result<Self, Error> {
                Self::new(number)
            }
            #[inline]
            fn number(self) -> u64 {
                self.0
            }
            #[inline]
            fn checked_add(self, pages: u64) -> Option<Self> {
                self.checked_add(pages)
            }
        }

        impl sealed::Sealed for $name {}

        impl core::fmt::Debug for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                write!(f, concat!(stringify!($name), "({:#x})"), self.0)
            }
        }
    };
}

frame_number!(
    /// A host-physical frame number: a physical address divided by 4 KiB.
    Pfn
);
frame_number!(
    /// A guest-physical frame number: an address of one guest divided by 4 KiB.
    Gfn
);

/// The sizes hardware maps and tracks memory in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PageSize {
    /// 4 KiB, 1 frame.
    Size4K,
    /// 2 MiB, 512 frames: one region of the tracker.
    Size2M,
    /// 1 GiB, 512 regions.
    Size1G,
}

impl PageSize {
    /// How many 4 KiB frames it holds.
    pub const fn frames(self) -> u64 {
        match self {
            Self::Size4K => 1,
            Self::Size2M => 1 << 9,
            Self::Size1G => 1 << 18,
        }
    }
}

/// Frames `first .. first + count`: never empty, never wrapping, within its address width.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameRange<F> {
    first: F,
    count: u64,
}

impl<F: Frame> FrameRange<F> {
    /// The `count` frames from `first`.
    ///
    /// # Errors
    /// [`Error::Invalid`] if it is empty, wraps, or ends beyond `width`.
    #[inline]
    pub fn new(first: F, count: u64, width: AddressWidth) -> Result<Self, Error> {
        let end = first.number().checked_add(count).ok_or(Error::Invalid)?;
        if count == 0 || end > width.frames() {
            return Err(Error::Invalid);
        }
        Ok(Self { first, count })
    }

    /// The range of one frame.
    #[inline]
    pub fn single(frame: F) -> Self {
        Self { first: frame, count: 1 }
    }

    /// The range of `bytes` bytes from byte address `address`.
    ///
    /// # Errors
    /// [`Error::Invalid`] if either is not a multiple of 4 KiB, or as [`FrameRange::new`].
    #[inline]
    pub fn from_bytes(address: u64, bytes: u64, width: AddressWidth) -> Result<Self, Error> {
        if (address | bytes) & (PAGE_SIZE - 1) != 0 {
            return Err(Error::Invalid);
        }
        Self::new(F::new(address >> PAGE_SHIFT)?, bytes >> PAGE_SHIFT, width)
    }

    /// The first frame.
    #[inline]
    pub fn first(self) -> F {
        self.first
    }

    /// How many frames: at least 1.
    #[inline]
    pub fn count(self) -> u64 {
        self.count
    }

    /// One past the last frame number.
    #[inline]
    pub fn end(self) -> u64 {
        self.first.number() + self.count
    }

    /// Whether `frame` lies inside.
    #[inline]
    pub fn contains(self, frame: F) -> bool {
        self.first.number() <= frame.number() && frame.number() < self.end()
    }

    /// The first `pages` frames, or the whole range if it is shorter; `None` for 0.
    #[inline]
    pub fn prefix(self, pages: u64) -> Option<Self> {
        match pages {
            0 => None,
            n => Some(Self { first: self.first, count: n.min(self.count) }),
        }
    }

    /// What remains after the first `pages` frames; `None` if nothing does.
    #[inline]
    pub fn rest(self, pages: u64) -> Option<Self> {
        let count = self.count.checked_sub(pages).filter(|&n| n != 0)?;
        Some(Self { first: self.first.checked_add(pages)?, count })
    }
}

/// A range contiguous in both host and guest frames: what platforms and claims work on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    frames: FrameRange<Pfn>,
    gfn: Gfn,
    hw: PageSize,
}

impl Run {
    /// Host frames `frames` seen by the guest from `gfn` on; `hw` is the size of the hardware's entry.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the guest side ends beyond `guest_width`.
    #[inline]
    pub fn new(frames: FrameRange<Pfn>, gfn: Gfn, guest_width: AddressWidth, hw: PageSize) -> Result<Self, Error> {
        FrameRange::new(gfn, frames.count(), guest_width)?;
        Ok(Self { frames, gfn, hw })
    }

    /// The host frames.
    #[inline]
    pub fn frames(self) -> FrameRange<Pfn> {
        self.frames
    }

    /// The guest frame of the first page; page `i` is seen at `gfn + i`.
    #[inline]
    pub fn gfn(self) -> Gfn {
        self.gfn
    }

    /// The size of the hardware's entry that covers the run.
    #[inline]
    pub fn hw(self) -> PageSize {
        self.hw
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_never_empty_and_never_wraps() {
        let w = AddressWidth::new(40).unwrap();
        let p = |n| Pfn::new(n).unwrap();
        assert_eq!(FrameRange::new(p(1), 0, w), Err(Error::Invalid));
        assert_eq!(FrameRange::new(p(1), u64::MAX, w), Err(Error::Invalid));
        assert_eq!(FrameRange::new(p(w.frames() - 1), 2, w), Err(Error::Invalid));
        assert_eq!(FrameRange::new(p(w.frames()), 1, w), Err(Error::Invalid));
        assert_eq!(FrameRange::new(p(w.frames() - 1), 1, w).unwrap().end(), w.frames());
    }

    #[test]
    fn unaligned_and_oversized_addresses_are_not_frames() {
        assert_eq!(Pfn::from_address(0x1001), Err(Error::Invalid));
        assert_eq!(Gfn::from_address(1 << 52), Err(Error::Invalid));
        assert_eq!(Gfn::from_address((1 << 52) - 4096).unwrap().number(), (1 << 40) - 1);
        let w = AddressWidth::MAX;
        assert_eq!(FrameRange::<Pfn>::from_bytes(0x1000, 0x800, w), Err(Error::Invalid));
        assert_eq!(FrameRange::<Pfn>::from_bytes(0x1000, 0x2000, w).unwrap().count(), 2);
    }

    #[test]
    fn a_width_outside_32_to_52_bits_is_refused() {
        assert_eq!(AddressWidth::new(31), Err(Error::Invalid));
        assert_eq!(AddressWidth::new(53), Err(Error::Invalid));
        assert_eq!(AddressWidth::new(52), Ok(AddressWidth::MAX));
    }

    #[test]
    fn prefix_and_rest_cut_a_range_without_loss() {
        let r = FrameRange::new(Gfn::new(8).unwrap(), 5, AddressWidth::MAX).unwrap();
        for n in 1..5 {
            let (a, b) = (r.prefix(n).unwrap(), r.rest(n).unwrap());
            assert_eq!((a.first(), a.end(), b.end()), (r.first(), b.first().number(), r.end()));
        }
        assert_eq!((r.prefix(0), r.rest(5), r.prefix(9)), (None, None, Some(r)));
    }

    #[test]
    fn a_run_ends_within_the_guest_width() {
        let frames = FrameRange::new(Pfn::new(0).unwrap(), 2, AddressWidth::MAX).unwrap();
        let last = Gfn::new(AddressWidth::GUEST_MAX.frames() - 1).unwrap();
        assert_eq!(Run::new(frames, last, AddressWidth::GUEST_MAX, PageSize::Size4K), Err(Error::Invalid));
    }
}
