//! Two files of four pages each behind guest frames 0x100 to 0x107, the second file from its page 16 on. What is asked of them
//! is written down.

use std::cell::RefCell;
use tenure_abi::gmem::MapGpaRange;
use tenure_abi::{AddressWidth, ContentMode, Error, FrameRange, Gfn, Located, Place, Visibility};
use tenure_host::convert::{Backing, Front, Request, Revoker, Stretch};
use tenure_host::platform::Rule;

/// The first guest frame.
pub(crate) const G: u64 = 0x100;

#[derive(Default)]
pub(crate) struct Fake {
    /// What each of the eight frames is.
    pub(crate) private: RefCell<[bool; 8]>,
    /// Which frame refuses, for which reason, how many more times.
    pub(crate) refuses: RefCell<Option<(u64, Error, u32)>>,
    /// In the order of the calls.
    pub(crate) log: RefCell<Vec<String>>,
}

pub(crate) fn gfns(first: u64, count: u64) -> FrameRange<Gfn> {
    FrameRange::new(Gfn::new(first).unwrap(), count, AddressWidth::MAX).unwrap()
}

pub(crate) fn request(first: u64, count: u64, to: Visibility) -> Request {
    Request { gfns: gfns(G + first, count), to }
}

pub(crate) fn wire(first: u64, pages: u64, attributes: u64) -> MapGpaRange {
    MapGpaRange { gpa: (G + first) << 12, pages, attributes }
}

/// Which of the eight frames.
fn frames(stretch: &Stretch<u8>) -> std::ops::Range<usize> {
    let first = (stretch.gfns.first().number() - G) as usize;
    first..first + stretch.gfns.count() as usize
}

impl Backing for &Fake {
    type File = u8;

    fn find(&self, gfn: Gfn) -> Option<Stretch<u8>> {
        let at = gfn.number().checked_sub(G).filter(|&at| at < 8)?;
        let (file, first, offset) = if at < 4 { (1, 0, 0) } else { (2, 4, 16) };
        Some(Stretch { gfns: gfns(gfn.number(), first + 4 - at), file, offset: (at - first + offset) << 12 })
    }

    fn rule(&self, &file: &u8, _: Visibility, mode: ContentMode) -> Rule {
        match (file, mode) {
            (_, ContentMode::Unspecified) => Rule::Free,
            (1, ContentMode::Zero) => Rule::PerPage,
            _ => Rule::Refused,
        }
    }

    fn is(&self, stretch: &Stretch<u8>, to: Visibility) -> bool {
        frames(stretch).all(|at| self.private.borrow()[at] == (to == Visibility::Private))
    }

    fn convert(&self, stretch: &Stretch<u8>, to: Visibility, _: ContentMode) -> Result<(), Located<Error>> {
        self.log.borrow_mut().push(format!("convert {:?} of file {} at {:#x}", to, stretch.file, stretch.offset));
        let range = frames(stretch);
        let mut refuses = self.refuses.borrow_mut();
        if let Some((at, error, times)) = refuses.as_mut().filter(|(at, ..)| range.contains(&(*at as usize))) {
            let offset = stretch.offset + (*at - range.start as u64) * 0x1000;
            let why = Located { error: *error, at: Place::FileOffset(offset) };
            *times -= 1;
            if *times == 0 {
                *refuses = None;
            }
            return Err(why);
        }
        range.for_each(|at| self.private.borrow_mut()[at] = to == Visibility::Private);
        Ok(())
    }
}

/// Leases that are written down; those on one frame cannot be revoked.
pub(crate) struct Watched<'f>(pub(crate) &'f Fake, pub(crate) Option<u64>);

pub(crate) struct Back<'f>(&'f Fake, bool);

impl Revoker for Watched<'_> {
    type Revoked<'r>
        = Back<'r>
    where
        Self: 'r;
    type Sharing<'r>
        = FrameRange<Gfn>
    where
        Self: 'r;

    fn revoke(&self, range: FrameRange<Gfn>) -> Result<Back<'_>, (Gfn, Error)> {
        self.0.log.borrow_mut().push(format!("revoke {:#x}", range.first().number()));
        match self.1.map(|at| Gfn::new(G + at).unwrap()).filter(|&at| range.contains(at)) {
            Some(at) => Err((at, Error::Busy)),
            None => Ok(Back(self.0, false)),
        }
    }

    fn commit(&self, mut revoked: Back<'_>) {
        revoked.1 = true;
    }

    fn share(&self, range: FrameRange<Gfn>) -> Result<FrameRange<Gfn>, (Gfn, Error)> {
        Ok(range)
    }

    fn shared(&self, range: FrameRange<Gfn>) {
        self.0.log.borrow_mut().push(format!("shared {:#x}", range.first().number()));
    }
}

impl Drop for Back<'_> {
    fn drop(&mut self) {
        self.0.log.borrow_mut().push(if self.1 { "commit" } else { "abort" }.to_string());
    }
}

pub(crate) fn front(fake: &Fake) -> Front<&Fake, Watched<'_>> {
    Front::new(fake, Watched(fake, None))
}
