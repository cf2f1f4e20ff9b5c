//! Conversions of a region, and the balloon.

use super::Ram;
use super::kernel::{Failed, Kernel};
use super::region::{Handle, Region, attributes};
use super::strategy::Strategy;
use crate::convert::{Backing, Stretch};
use crate::platform::Rule;
use core::ops::Range;
use tenure_abi::gmem::{ContentFlags, MemoryAttributes2};
use tenure_abi::{ContentMode, Errno, Error, FrameRange, Gfn, Located, PAGE_SHIFT, Place, Visibility};

/// What `error_offset` is before a call: no page begins there, so the kernel's answer can be told from its silence.
const NOWHERE: u64 = u64::MAX;

impl<K: Kernel> Backing for Ram<K> {
    type File = Handle<K>;

    #[inline]
    fn find(&self, gfn: Gfn) -> Option<Stretch<Handle<K>>> {
        let region = self.at(gfn)?;
        let page = region.page(gfn);
        Some(Stretch { gfns: region.gfns.rest(page)?, file: Handle(region), offset: page << PAGE_SHIFT })
    }

    /// | strategy | unspecified | zero | preserve |
    /// |---|---|---|---|
    /// | in place, the kernel has content modes | kept | as the kernel says | as the kernel says |
    /// | in place | whatever is there | to shared: pages are freed first; to private: refused | refused |
    /// | two backings | whatever is there | to shared: the shared side is freed first; to private: refused | refused |
    /// | shared only | to shared | to shared: freed | to shared: nothing happens |
    /// | protected | refused | refused | refused |
    ///
    /// Zeroes towards private are refused because the guest could not rely on them: they would be the VMM's.
    fn rule(&self, _: &Handle<K>, to: Visibility, mode: ContentMode) -> Rule {
        use {ContentMode as M, Strategy as S, Visibility as V};
        match (self.strategy, to, mode) {
            (S::Protected, ..) | (S::SharedOnly { .. }, V::Private, _) => Rule::Refused,
            (_, _, M::Unspecified) | (S::SharedOnly { .. }, V::Shared, M::Preserve) => Rule::Free,
            (S::InPlace { content_modes: true }, ..) | (_, V::Shared, M::Zero) => Rule::PerPage,
            (S::InPlace { .. } | S::TwoBackings, ..) => Rule::Refused,
        }
    }

    #[inline]
    fn is(&self, stretch: &Stretch<Handle<K>>, to: Visibility) -> bool {
        let region = &*stretch.file.0;
        region.range(stretch.gfns).is_some_and(|pages| region.pages.are(&pages, to))
            && self.strategy != Strategy::Protected
    }

    #[inline]
    fn is_done(&self, stretch: &Stretch<Handle<K>>, to: Visibility) -> bool {
        let region = &*stretch.file.0;
        region.range(stretch.gfns).is_some_and(|pages| region.pages.are_settled(&pages, to))
            && self.strategy != Strategy::Protected
    }

    #[inline]
    fn convert(&self, stretch: &Stretch<Handle<K>>, to: Visibility, mode: ContentMode) -> Result<(), Located<Error>> {
        let region = &*stretch.file.0;
        let pages = region.range(stretch.gfns).ok_or(Error::NotFound)?;
        let alive = region.lock();
        if !alive.0 {
            return Err(Error::NotFound.into());
        }
        match self.strategy {
            Strategy::InPlace { content_modes } => self.in_place(region, &pages, to, (mode, content_modes)),
            Strategy::TwoBackings => self.two_backings(region, &pages, to, mode),
            Strategy::SharedOnly { .. } if to == Visibility::Shared => {
                let zero = mode == ContentMode::Zero;
                if zero {
                    self.free(region, &pages, Visibility::Shared).map_err(|failed| error(failed).into())
                } else {
                    Ok(())
                }
            }
            Strategy::SharedOnly { .. } | Strategy::Protected => Err(Error::NotSupported.into()),
        }
    }
}

impl<K: Kernel> Ram<K> {
    /// Frees the memory behind `gfns`: the guest finds zeroes there, and each page is private or shared as before. For a balloon
    /// that the guest has given pages to; end the leases on them first: [`crate::convert::Front::balloon`] does.
    ///
    /// # Errors
    /// The first frame that is not free, and why: [`Error::NotFound`] without memory there, [`Error::NotSupported`] in
    /// protected guests, whose pages only they can give back.
    pub fn balloon(&self, gfns: FrameRange<Gfn>) -> Result<(), (Gfn, Error)> {
        let mut done = 0;
        while let Some(rest) = gfns.rest(done) {
            let at = rest.first();
            if self.strategy == Strategy::Protected {
                return Err((at, Error::NotSupported));
            }
            let region = self.at(at).ok_or((at, Error::NotFound))?;
            let alive = region.lock();
            if !alive.0 {
                return Err((at, Error::NotFound));
            }
            let first = region.page(at);
            let end = region.gfns.count().min(first + rest.count());
            // By stretches that are seen alike: each has its memory on one side only.
            let run = region.pages.run(first, end);
            let seen = region.pages.visibility(first);
            self.free(&region, &run, seen).map_err(|failed| (at, error(failed)))?;
            done += run.end - run.start;
        }
        Ok(())
    }

    fn in_place(
        &self,
        region: &Region<K>,
        pages: &Range<u64>,
        to: Visibility,
        (mode, content_modes): (ContentMode, bool),
    ) -> Result<(), Located<Error>> {
        let file = region.file.as_deref().ok_or(Error::Internal)?;
        let mut asked = MemoryAttributes2::new(pages.start << PAGE_SHIFT, bytes(pages), attributes(to));
        asked.error_offset = NOWHERE;
        match mode {
            ContentMode::Unspecified => {}
            ContentMode::Zero if content_modes => asked.flags = ContentFlags::ZERO.bits(),
            ContentMode::Preserve if content_modes => asked.flags = ContentFlags::PRESERVE.bits(),
            // A freed page is zero when it is next touched, by whoever that is.
            ContentMode::Zero if to == Visibility::Shared => {
                self.free(region, pages, Visibility::Private).map_err(|failed| Located::call(error(failed)))?;
            }
            ContentMode::Zero | ContentMode::Preserve => return Err(Error::NotSupported.into()),
        }
        self.noted(self.kernel.convert(file, &mut asked)).map_err(|failed| {
            let named = failed.errno != Errno::EINVAL && asked.error_offset != NOWHERE;
            match failed.errno {
                // Somebody holds a page, and the kernel says which.
                Errno::EAGAIN if named => Located { error: Error::Busy, at: Place::FileOffset(asked.error_offset) },
                _ if named => Located { error: error(failed), at: Place::FileOffset(asked.error_offset) },
                _ => Located::call(error(failed)),
            }
        })?;
        region.pages.set(pages, to);
        Ok(())
    }

    #[inline]
    fn two_backings(
        &self,
        region: &Region<K>,
        pages: &Range<u64>,
        to: Visibility,
        mode: ContentMode,
    ) -> Result<(), Located<Error>> {
        let call = |failed| Located::call(error(failed));
        if mode == ContentMode::Zero {
            // What the VMM may have written to the side that nobody used.
            self.free(region, pages, Visibility::Shared).map_err(call)?;
        }
        self.noted(region.attributes(&self.kernel, pages, to)).map_err(call)?;
        // From here on the guest uses the new side: what is left is to free the old one, and it is owed until that came off.
        region.pages.turn(pages, to);
        let left = match to {
            Visibility::Private => Visibility::Shared,
            Visibility::Shared => Visibility::Private,
        };
        self.free(region, pages, left).map_err(call)?;
        region.pages.settle(pages);
        Ok(())
    }

    /// Frees one side of pages.
    #[inline]
    fn free(&self, region: &Region<K>, pages: &Range<u64>, side: Visibility) -> Result<(), Failed> {
        let (offset, bytes) = (pages.start << PAGE_SHIFT, bytes(pages));
        let in_file = match self.strategy {
            Strategy::TwoBackings => side == Visibility::Private,
            _ => true,
        };
        self.noted(match region.file.as_deref().filter(|_| in_file) {
            Some(file) => self.kernel.punch(file, offset, bytes),
            None => self.kernel.discard(&region.memory, offset, bytes),
        })
    }
}

const fn bytes(pages: &Range<u64>) -> u64 {
    (pages.end - pages.start) << PAGE_SHIFT
}

/// The kernel's errno in our words; [`Ram::last_failure`] keeps the number.
fn error(failed: Failed) -> Error {
    match failed.errno {
        Errno::EAGAIN => Error::Retry,
        Errno::EBUSY => Error::Busy,
        Errno::ENOMEM => Error::NoMemory,
        Errno::EINVAL => Error::Invalid,
        Errno::EPERM | Errno::EACCES => Error::Denied,
        Errno::EFAULT => Error::Fault,
        Errno::EHWPOISON => Error::Quarantined,
        Errno::ENOTTY | Errno::EOPNOTSUPP => Error::NotSupported,
        // The file or the VM was closed under us.
        Errno::EBADF | Errno::ENOENT => Error::NotFound,
        _ => Error::Internal,
    }
}
