//! Leases as a conversion revokes them: how long it waits, and what it does then.

use super::{AtDeadline, Leases, Revoked, Sharing, Stuck};
use crate::convert::Revoker;
use core::ops::Deref;
use core::time::Duration;
use tenure_abi::{Error, FrameRange, Gfn};

/// The users of a guest's memory, as a [`Front`](crate::convert::Front) makes them let go of it.
#[derive(Clone, Copy, Debug)]
pub struct Patience<L> {
    /// A reference to the [`Leases`], owned or borrowed.
    pub leases: L,
    /// How long each stretch of a conversion waits for them.
    pub patience: Duration,
    /// What happens then.
    pub at_deadline: AtDeadline,
}

impl<L: Deref<Target = Leases>> Revoker for Patience<L> {
    type Revoked<'r>
        = Revoked<'r>
    where
        Self: 'r;
    type Sharing<'r>
        = Sharing<'r>
    where
        Self: 'r;

    #[inline]
    fn revoke(&self, gfns: FrameRange<Gfn>) -> Result<Revoked<'_>, (Gfn, Error)> {
        self.leases.revoke(gfns, self.patience, self.at_deadline).map_err(Stuck::named)
    }

    #[inline]
    fn commit(&self, revoked: Revoked<'_>) {
        revoked.commit();
    }

    #[inline]
    fn share(&self, gfns: FrameRange<Gfn>) -> Result<Sharing<'_>, (Gfn, Error)> {
        self.leases.share(gfns).map_err(Stuck::named)
    }

    #[inline]
    fn shared(&self, sharing: Sharing<'_>) {
        sharing.done();
    }
}

impl Stuck {
    fn named(self) -> (Gfn, Error) {
        (self.at, self.error)
    }
}
