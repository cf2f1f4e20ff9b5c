//! Mappings: memory that somebody keeps mapped, and how they are told to let go.

use super::table::Id;
use super::{Generation, Leases};
use std::sync::Arc;
use tenure_abi::{Error, FrameRange, Gfn};

/// Who takes the memory away when it turns private.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The holder does, and says when it has: an IOMMU map, another process.
    Cooperative,
    /// The kernel does: page tables of processes. The holder is told, and not waited for.
    KernelEnforced,
    /// Nobody can: long-term references. Memory under it cannot turn private before it ends.
    Pinned,
}

/// How a holder answers when it is told to prepare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prepared {
    /// It has let go: the memory is unmapped and nothing in flight touches it.
    Yielded,
    /// It will, and says so by [`Mapping::yielded`].
    Later,
    /// It will not. The revocation ends with [`Error::Busy`].
    Refused,
}

/// What the owner of a mapping does when memory is revoked. Called from the thread that revokes, without any lock of
/// [`Leases`]; a call must not wait for a conversion itself.
///
/// Whoever is told to prepare is told of exactly one of commit and abort, and before that perhaps to end (kill); also where its
/// mapping was dropped in between. A panic in here passes on to the thread that converts, after all others have been told
/// and the conversion has ended.
pub trait Holder: Send + Sync {
    /// Let go of `gfns`, and take no new uses of them.
    fn prepare(&self, generation: Generation, gfns: FrameRange<Gfn>) -> Prepared;

    /// They are gone: private now. Forget them.
    fn commit(&self, generation: Generation, gfns: FrameRange<Gfn>);

    /// Nothing changed: they are what they were before. What was given up for this generation can be mapped again.
    fn abort(&self, generation: Generation, gfns: FrameRange<Gfn>);

    /// Private memory of the mapping turned shared: it can be mapped.
    fn shared(&self, gfns: FrameRange<Gfn>);

    /// The deadline passed and the revoker goes on all the same: whatever still uses `gfns` has to end now, by force.
    fn kill(&self, generation: Generation, gfns: FrameRange<Gfn>);
}

/// A mapping of shared memory that lasts until it is dropped. Dropping it means that nothing is mapped any more.
#[must_use = "the mapping is off the books when this is dropped"]
pub struct Mapping<'l> {
    leases: &'l Leases,
    id: Id,
}

impl Leases {
    /// Puts a mapping on the books: before it is made, so that no revocation misses it.
    ///
    /// # Errors
    /// [`Error::Retry`] while somebody converts some of `gfns`.
    pub fn map(&self, gfns: FrameRange<Gfn>, kind: Kind, holder: Arc<dyn Holder>) -> Result<Mapping<'_>, Error> {
        let mut table = self.table();
        if table.is_converting(gfns) {
            return Err(Error::Retry);
        }
        Ok(Mapping { leases: self, id: table.add(gfns, kind, holder) })
    }
}

impl Mapping<'_> {
    /// The holder has let go, as `generation` asked it to. False if that one is over: the answer came too late and changes
    /// nothing, the holder was told by `commit` or `abort` what became of the memory.
    pub fn yielded(&self, generation: Generation) -> bool {
        let counts = self.leases.table().yielded(self.id, generation);
        if counts {
            self.leases.changed.notify_all();
        }
        counts
    }
}

impl Drop for Mapping<'_> {
    fn drop(&mut self) {
        self.leases.table().remove(self.id);
        self.leases.changed.notify_all();
    }
}
