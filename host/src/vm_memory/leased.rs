//! What the slices of a region carry in the place that `vm-memory` keeps for a log of dirty pages: the lease.
//!
//! A slice hands it on to whatever is made from it, so the lease ends with the last of them. Nothing is logged.

use crate::lease::Access;
use tenure_abi::{FrameRange, Gfn};
use vm_memory::bitmap::{Bitmap, BitmapSlice, WithBitmapSlice};

/// The lease on the pages of a slice.
#[derive(Clone, Debug)]
pub struct Leased<'l>(pub(super) Option<Access<'l>>);

impl Leased<'_> {
    /// The frames that stay shared as long as this is there; `None` for an empty slice.
    pub fn frames(&self) -> Option<FrameRange<Gfn>> {
        self.0.as_ref().map(Access::gfns)
    }
}

impl WithBitmapSlice<'_> for Leased<'_> {
    type S = Self;
}

impl BitmapSlice for Leased<'_> {}

impl Bitmap for Leased<'_> {
    fn mark_dirty(&self, _: usize, _: usize) {}

    fn dirty_at(&self, _: usize) -> bool {
        false
    }

    fn slice_at(&self, _: usize) -> Self {
        self.clone()
    }
}

/// Stands for the slices of a region, each with its [`Leased`].
#[derive(Clone, Copy, Debug)]
pub struct Unleased;

impl<'l> WithBitmapSlice<'l> for Unleased {
    type S = Leased<'l>;
}

impl Bitmap for Unleased {
    fn mark_dirty(&self, _: usize, _: usize) {}

    fn dirty_at(&self, _: usize) -> bool {
        false
    }

    fn slice_at(&self, _: usize) -> Leased<'_> {
        Leased(None)
    }
}
