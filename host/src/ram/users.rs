//! Taking memory away from a guest whose memory others use too: they let go first.

use super::Ram;
use super::kernel::{Failed, Kernel};
use crate::convert::{Front, Revoker};
use tenure_abi::{Errno, Error, FrameRange, Gfn};

impl<K: Kernel, L: Revoker> Front<Ram<K>, L> {
    /// [`Ram::remove`], after every lease on the memory has ended.
    ///
    /// # Errors
    /// As [`Ram::remove`]; `EBUSY` or `EAGAIN` if somebody does not let go, and nothing was removed.
    pub fn remove(&self, first: Gfn) -> Result<(), Failed> {
        let all = self.backing().map().into_iter().find(|gfns| gfns.first() == first);
        let all = all.ok_or(Failed::new("remove memory", Errno::ENOENT))?;
        let held = |(_, error): (Gfn, Error)| Failed::new("remove memory", error.errno());
        let revoked = self.leases().revoke(all).map_err(held)?;
        let removed = self.backing().remove(first);
        if self.backing().memory(first).is_none() {
            // Gone, also where an error followed.
            self.leases().commit(revoked);
        }
        removed
    }

    /// [`Ram::balloon`], after every lease on the memory has ended; they may be taken again at once, and find zeroes.
    ///
    /// # Errors
    /// As [`Ram::balloon`]; the frame that somebody does not let go of, and [`Error::Busy`] or [`Error::Retry`]: nothing
    /// was freed.
    pub fn balloon(&self, gfns: FrameRange<Gfn>) -> Result<(), (Gfn, Error)> {
        let revoked = self.leases().revoke(gfns)?;
        let freed = self.backing().balloon(gfns);
        drop(revoked);
        freed
    }
}
