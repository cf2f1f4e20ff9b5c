//! The way back: memory turns shared, and who keeps a mapping there is told.

use super::{Generation, Leases, Stuck, tell};
use std::vec::Vec;
use tenure_abi::{FrameRange, Gfn};

/// Memory that turns shared. Nobody revokes it until this is dropped, so a holder never hears of two conversions in another
/// order than they happened in.
#[must_use = "holders are told by `done`"]
pub struct Sharing<'l> {
    leases: &'l Leases,
    gfns: FrameRange<Gfn>,
    generation: Generation,
}

impl Leases {
    /// Before memory turns shared.
    ///
    /// # Errors
    /// [`Stuck`] with [`Error::Retry`](tenure_abi::Error::Retry) while somebody else converts some of it.
    #[inline]
    pub fn share(&self, gfns: FrameRange<Gfn>) -> Result<Sharing<'_>, Stuck> {
        let begun = self.table().begin(gfns);
        let generation = begun.map_err(|error| Stuck { error, at: gfns.first() })?;
        Ok(Sharing { leases: self, gfns, generation })
    }
}

impl Sharing<'_> {
    /// It turned shared: whoever keeps a mapping there is told, and may map it.
    #[inline]
    pub fn done(self) {
        let mut table = self.leases.table();
        let told: Vec<_> = table.told(self.gfns, |_| true).collect();
        if told.is_empty() {
            // Nobody to tell: ended under the lock that is held already.
            table.end(self.generation);
            drop(table);
            core::mem::forget(self);
            return;
        }
        drop(table);
        tell(&told, |holder, range| holder.shared(range));
    }
}

impl Drop for Sharing<'_> {
    #[inline]
    fn drop(&mut self) {
        // Nobody waits for this: who wanted to convert meanwhile was refused.
        self.leases.table().end(self.generation);
    }
}
