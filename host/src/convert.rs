//! The front of a conversion: what every caller goes through, from the guest's request to the answer it gets.
//!
//! Read it from top to bottom; the order is the contract:
//!
//! 1. **decode** what the guest asked for, trusting nothing ([`Request::decode`])
//! 2. **find** every stretch of it: all of it has to be backed, and every file has to be able to do it, before anything changes
//! 3. for one stretch after the other: **already so?** then it is done; else **revoke** the leases (towards private),
//!    **convert** at the backing, **tell** the holders how it came out
//! 4. **reply** with one of the three answers there are ([`Front::answer`])
//!
//! What is done stays done: a range over several files stops at an exact prefix, in guest addresses, and the same
//! request made again goes on from there, because what is already so costs nothing. Nothing is undone, since undoing can
//! fail too and would not bring contents back.
//!
//! There is no host frame in here. The backing is Linux (its requests) or the provider ([`crate::gmem`]).

use crate::platform::Rule;
use crate::recent::{Moment, Recent};
use spin::Once;
use tenure_abi::gmem::{MapGpaAttributes, MapGpaRange, MapGpaReply as Reply};
use tenure_abi::{AddressWidth, ContentMode, Error, FrameRange, Gfn, Located, PAGE_SHIFT, Place, Visibility};

/// What a guest asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// Which frames.
    pub gfns: FrameRange<Gfn>,
    /// How they shall be seen.
    pub to: Visibility,
}

impl Request {
    /// Reads `KVM_HC_MAP_GPA_RANGE`. The preferred size is a hint; this takes any of the three that are defined.
    ///
    /// # Errors
    /// [`Error::Invalid`] for attribute bits nobody defined, an unaligned address, no page, or a range that wraps or ends
    /// beyond 52 bits.
    pub fn decode(wire: &MapGpaRange) -> Result<Self, Error> {
        let attributes = MapGpaAttributes::from_bits(wire.attributes).ok_or(Error::Invalid)?;
        let size = wire.attributes & MapGpaAttributes::SIZE_MASK.bits();
        if size > 2 {
            return Err(Error::Invalid);
        }
        let gfns = FrameRange::new(Gfn::from_address(wire.gpa)?, wire.pages, AddressWidth::MAX)?;
        let private = attributes.contains(MapGpaAttributes::ENCRYPTED);
        Ok(Self { gfns, to: if private { Visibility::Private } else { Visibility::Shared } })
    }
}

/// Guest frames backed by consecutive bytes of one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stretch<F> {
    /// The frames.
    pub gfns: FrameRange<Gfn>,
    /// The file.
    pub file: F,
    /// The byte offset in it behind the first frame.
    pub offset: u64,
}

impl<F> Stretch<F> {
    /// The first `pages` frames of it.
    #[inline]
    pub(crate) fn prefix(self, pages: u64) -> Option<Self> {
        Some(Self { gfns: self.gfns.prefix(pages)?, ..self })
    }

    /// Where in guest memory an error of the file lies; at the beginning of the stretch if it names no place in it.
    fn place(&self, at: Place) -> Gfn {
        let into = match at {
            Place::FileOffset(offset) => offset.checked_sub(self.offset).map(|bytes| bytes >> PAGE_SHIFT),
            _ => None,
        };
        let inside = into.filter(|&pages| pages < self.gfns.count());
        inside.and_then(|pages| self.gfns.first().checked_add(pages)).unwrap_or(self.gfns.first())
    }
}

/// What stands behind guest memory.
pub trait Backing {
    /// Names a file, or holds on to it.
    type File: Clone;

    /// The stretch of guest memory that begins at `gfn`, as long as one file backs it; `None` if nothing does.
    fn find(&self, gfn: Gfn) -> Option<Stretch<Self::File>>;

    /// What `mode` costs on the way to `to`, in the phase the guest is in now.
    fn rule(&self, file: &Self::File, to: Visibility, mode: ContentMode) -> Rule;

    /// Whether all of the stretch is `to`.
    fn is(&self, stretch: &Stretch<Self::File>, to: Visibility) -> bool;

    /// Whether all of the stretch is `to` and nothing is left to do of an earlier conversion.
    fn is_done(&self, stretch: &Stretch<Self::File>, to: Visibility) -> bool {
        self.is(stretch, to)
    }

    /// Converts the stretch: all of it, or nothing. A backing that has something to do afterwards (to free what the other
    /// side no longer needs) may fail in that: then the stretch [is](Self::is) `to` and is not [done](Self::is_done).
    ///
    /// # Errors
    /// Why; the place is a byte offset in the file where one page is to blame.
    fn convert(&self, stretch: &Stretch<Self::File>, to: Visibility, mode: ContentMode) -> Result<(), Located<Error>>;
}

/// Who makes the users of shared memory let go of it.
pub trait Revoker {
    /// Frames that nobody uses and nobody can begin to use; dropped, their users have them back.
    type Revoked<'r>
    where
        Self: 'r;
    /// Frames that nobody revokes until this is dropped.
    type Sharing<'r>
    where
        Self: 'r;

    /// Ends every use of `gfns`.
    ///
    /// # Errors
    /// The frame that is still used, and why: [`Error::Busy`] or [`Error::Retry`].
    fn revoke(&self, gfns: FrameRange<Gfn>) -> Result<Self::Revoked<'_>, (Gfn, Error)>;

    /// They turned private.
    fn commit(&self, revoked: Self::Revoked<'_>);

    /// `gfns` are about to turn shared.
    ///
    /// # Errors
    /// The frame that somebody else converts, and [`Error::Retry`].
    fn share(&self, gfns: FrameRange<Gfn>) -> Result<Self::Sharing<'_>, (Gfn, Error)>;

    /// They turned shared: they can be used.
    fn shared(&self, sharing: Self::Sharing<'_>);
}

/// Nobody but the guest and the kernel uses guest memory.
pub struct NoLeases;

impl Revoker for NoLeases {
    type Revoked<'r> = ();
    type Sharing<'r> = ();

    fn revoke(&self, _: FrameRange<Gfn>) -> Result<(), (Gfn, Error)> {
        Ok(())
    }

    fn commit(&self, (): ()) {}

    fn share(&self, _: FrameRange<Gfn>) -> Result<(), (Gfn, Error)> {
        Ok(())
    }

    fn shared(&self, (): ()) {}
}

/// A request that ended early. What it did stays done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stopped {
    /// Frames converted, or found to be so already, from the beginning of the range on.
    pub done: u64,
    /// The frame to blame.
    pub at: Gfn,
    /// Why.
    pub error: Error,
}

/// Why a guest cannot go on: it was told of a failure that its platform does not let it survive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Death {
    /// What it asked for.
    pub request: Request,
    /// Where and why that ended.
    pub stopped: Stopped,
}

/// How a platform's guests take an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// The answer is the guest's to deal with.
    Plain,
    /// SEV-SNP: whatever is not success ends the guest, so the host tries again this many times before it says so.
    Snp {
        /// How many times.
        retries: u32,
    },
    /// TDX: the guest re-issues what it was told to retry.
    Tdx,
}

/// The front of one guest.
pub struct Front<B, L = NoLeases> {
    backing: B,
    leases: L,
    recent: Recent,
    death: Once<Death>,
}

impl<B: Backing, L: Revoker> Front<B, L> {
    /// Over `backing`, with the users that `leases` knows.
    pub const fn new(backing: B, leases: L) -> Self {
        Self { backing, leases, recent: Recent::new(), death: Once::new() }
    }

    /// What stands behind it.
    pub const fn backing(&self) -> &B {
        &self.backing
    }

    /// Who uses it.
    pub const fn leases(&self) -> &L {
        &self.leases
    }

    /// The moment that [`Front::fault`] wants to know: a vCPU is about to enter the guest.
    pub fn entering(&self) -> Moment {
        self.recent.now()
    }

    pub(crate) const fn recent(&self) -> &Recent {
        &self.recent
    }

    /// Why the guest cannot go on; `None` while it can.
    pub fn death(&self) -> Option<Death> {
        self.death.get().copied()
    }

    /// Makes all of `request` what it asks for.
    ///
    /// # Errors
    /// [`Stopped`] with nothing done: [`Error::NotFound`] at the first frame that nothing backs, [`Error::NotSupported`]
    /// at the first stretch that cannot promise `mode`, and the reason of the guest's death if it is dead. With a prefix done:
    /// [`Error::Busy`] or [`Error::Retry`] at the frame that is held, and what the backing says.
    pub fn convert(&self, request: Request, mode: ContentMode) -> Result<(), Stopped> {
        if let Some(death) = self.death.get() {
            return Err(Stopped { done: 0, ..death.stopped });
        }
        let Request { gfns, to } = request;
        // One file behind all of it, as nearly always, is looked for once.
        let first = self.backing.find(gfns.first()).and_then(|stretch| stretch.prefix(gfns.count()));
        if let Some(stretch) = first.filter(|stretch| stretch.gfns == gfns) {
            let converted = match self.backing.rule(&stretch.file, to, mode) {
                Rule::Refused => Err((gfns.first(), Error::NotSupported)),
                rule => self.convert_stretch(&stretch, to, (mode, rule)),
            };
            return converted.map_err(|(at, error)| Stopped { done: 0, at, error });
        }
        self.each_stretch(gfns, |stretch| match self.backing.rule(&stretch.file, to, mode) {
            Rule::Refused => Err((stretch.gfns.first(), Error::NotSupported)),
            Rule::Free | Rule::PerPage => Ok(()),
        })
        .map_err(|stopped| Stopped { done: 0, ..stopped })?;
        self.each_stretch(gfns, |stretch| {
            let rule = self.backing.rule(&stretch.file, to, mode);
            self.convert_stretch(&stretch, to, (mode, rule))
        })
    }

    /// One stretch: all of it, or nothing.
    #[inline]
    fn convert_stretch(
        &self,
        stretch: &Stretch<B::File>,
        to: Visibility,
        (mode, rule): (ContentMode, Rule),
    ) -> Result<(), (Gfn, Error)> {
        if rule != Rule::PerPage && self.backing.is_done(stretch, to) {
            return Ok(());
        }
        let convert = || {
            let _under_way = self.recent.begin(stretch.gfns);
            let converted = self.backing.convert(stretch, to, mode);
            converted.map_err(|refused| (stretch.place(refused.at), refused.error))
        };
        // Users are told what holds, and a conversion that failed in its last part holds.
        match to {
            Visibility::Private => {
                let revoked = self.leases.revoke(stretch.gfns)?;
                let converted = convert();
                if converted.is_ok() || self.backing.is(stretch, to) {
                    self.leases.commit(revoked);
                }
                converted
            }
            Visibility::Shared => {
                let sharing = self.leases.share(stretch.gfns)?;
                let converted = convert();
                if converted.is_ok() || self.backing.is(stretch, to) {
                    self.leases.shared(sharing);
                }
                converted
            }
        }
    }

    /// Whether all of `gfns` is `visibility`. Without a lease on them it may be otherwise by the time this returns.
    ///
    /// # Errors
    /// The first frame that nothing backs, with [`Error::NotFound`], or that is the opposite, with [`Error::Denied`].
    pub fn check(&self, gfns: FrameRange<Gfn>, visibility: Visibility) -> Result<(), (Gfn, Error)> {
        let is = |stretch: &Stretch<B::File>, pages| {
            stretch.clone().prefix(pages).is_some_and(|stretch| self.backing.is(&stretch, visibility))
        };
        let checked = self.each_stretch(gfns, |stretch| {
            let (mut so, mut not) = (0, stretch.gfns.count());
            if self.backing.is(&stretch, visibility) {
                return Ok(());
            }
            // All of the first `so` pages are so, not all of the first `not`.
            while not - so > 1 {
                let half = so + (not - so) / 2;
                match is(&stretch, half) {
                    true => so = half,
                    false => not = half,
                }
            }
            let at = stretch.gfns.first().checked_add(so).unwrap_or(stretch.gfns.first());
            Err((at, Error::Denied))
        });
        checked.map_err(|stopped| (stopped.at, stopped.error))
    }

    /// Calls `each` with every stretch of `gfns`, in order.
    fn each_stretch(
        &self,
        gfns: FrameRange<Gfn>,
        mut each: impl FnMut(Stretch<B::File>) -> Result<(), (Gfn, Error)>,
    ) -> Result<(), Stopped> {
        let mut done = 0;
        while let Some(rest) = gfns.rest(done) {
            let at = rest.first();
            let found = self.backing.find(at).and_then(|stretch| stretch.prefix(rest.count()));
            let stretch = found.ok_or(Stopped { done, at, error: Error::NotFound })?;
            let count = stretch.gfns.count();
            each(stretch).map_err(|(at, error)| Stopped { done, at, error })?;
            done += count;
        }
        Ok(())
    }

    /// Does what a guest's hypercall asks for and says what the guest is told. `pause` is called between attempts, with
    /// their number; where it answers false there is no further one.
    ///
    /// A guest that does not survive the answer is [dead](Front::death) from then on, and every later request fails for the same reason.
    pub fn answer(&self, wire: &MapGpaRange, dialect: Dialect, mut pause: impl FnMut(u32) -> bool) -> Reply {
        let Ok(request) = Request::decode(wire) else { return Reply::Invalid };
        if self.death.is_completed() {
            return Reply::Invalid;
        }
        let mut attempt = 0;
        let stopped = loop {
            let Err(stopped) = self.convert(request, ContentMode::Unspecified) else { return Reply::Done };
            let passing = matches!(stopped.error, Error::Busy | Error::Retry);
            let again = matches!(dialect, Dialect::Snp { retries } if passing && attempt < retries);
            if !again || !pause(attempt) {
                break stopped;
            }
            attempt += 1;
        };
        if matches!(dialect, Dialect::Snp { .. }) {
            self.death.call_once(|| Death { request, stopped });
            return Reply::Invalid;
        }
        match stopped.error {
            Error::Busy | Error::Retry | Error::NoMemory => Reply::Again,
            _ => Reply::Invalid,
        }
    }
}
