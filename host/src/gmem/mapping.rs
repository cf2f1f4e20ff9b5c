//! How large a mapping may be: as large as frames, visibility, bindings and the hardware's entry all allow.

use super::claim::SIZES;
use super::entry::{Entry, Facts};
use super::nodes::Nodes;
use super::pieces::Piece;
use super::{Binding, FilePages, State};
use tenure_abi::{PageSize, Pfn, Visibility};

/// A mapping to install.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// The first frame of the whole mapping: a multiple of its size, at or below the one that was asked for.
    pub pfn: Pfn,
    /// The largest size that everything allows.
    pub size: PageSize,
    /// What the page is.
    pub visibility: Visibility,
}

impl<N: Nodes, const BINDINGS: usize> State<N, BINDINGS> {
    /// The largest mapping around the page of `piece`, for the host or for a guest that sees it through `binding`.
    ///
    /// One hardware entry can serve many mappings that are smaller: under many slots, or while dirty pages are logged. The reverse cannot be.
    pub(super) fn mapping(&self, piece: &Piece, entry: Entry, binding: Option<&Binding>, largest: PageSize) -> Mapping {
        let page = piece.pages.first();
        let pfn = entry.pfn().number();
        let fits = |size: PageSize| {
            let into = pfn % size.frames();
            let whole = FilePages { first: page.checked_sub(into)?, count: size.frames() };
            let beside = binding.is_none_or(|binding| {
                let gfn = binding.gfns.first().number() + (page - binding.first);
                gfn % size.frames() == into && binding.pages().common(whole) == Some(whole)
            });
            let hardware = !entry.has(Facts::ASSIGNED) || entry.hw() >= size;
            if !beside || !hardware || self.claims.touch(whole) {
                return None;
            }
            let alike = self.piece(whole);
            let same = alike.pages == whole && alike.entry.is_some_and(|first| first.facts() == entry.facts());
            if same { Pfn::new(pfn - into).ok() } else { None }
        };
        let sizes = SIZES.into_iter().filter(|&size| size <= largest && size != PageSize::Size4K);
        let found = sizes.into_iter().find_map(|size| fits(size).map(|pfn| (pfn, size)));
        let (pfn, size) = found.unwrap_or((entry.pfn(), PageSize::Size4K));
        Mapping { pfn, size, visibility: piece.visibility }
    }
}
