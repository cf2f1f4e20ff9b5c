//! Revocation: everybody lets go, or the caller's choice happens.

use super::sync::Deadline;
use super::table::{Record, Told};
use super::{Generation, Kind, Leases, Prepared, tell};
use core::time::Duration;
use std::sync::Arc;
use std::vec::Vec;
use tenure_abi::{Error, FrameRange, Gfn};

/// What happens when the deadline passes and somebody still holds on. An access of this process can be neither killed
/// nor found by the kernel: one that is held then refuses it whatever the choice is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AtDeadline {
    /// The revocation is refused with [`Error::Busy`], and those who let go are told of the abort.
    Refuse,
    /// Holders of mappings are killed ([`Holder::kill`](super::Holder::kill)) and no longer waited for.
    Kill,
    /// Holders of mappings are no longer waited for: what is left is for the kernel to find, which refuses memory that is held.
    Force,
}

/// Why memory could not be revoked. It is what it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stuck {
    /// [`Error::Busy`]: somebody holds on; [`Error::Retry`]: somebody else converts there.
    pub error: Error,
    /// The first frame that is held by a mapping; the first of the range where it is an access, or nobody in particular.
    pub at: Gfn,
}

/// Memory that nobody has a lease on and nobody can get one on. Dropping it without [`Revoked::commit`] is the abort.
#[must_use = "dropping this gives the memory back to its holders"]
pub struct Revoked<'l> {
    leases: &'l Leases,
    gfns: FrameRange<Gfn>,
    generation: Generation,
    told: Vec<Told>,
    committed: bool,
}

impl Leases {
    /// Ends every lease on `gfns`, for at most `patience`; what happens then is `at_deadline`.
    ///
    /// # Errors
    /// [`Stuck`]. Everybody who was asked has been told of the abort.
    pub fn revoke(
        &self,
        gfns: FrameRange<Gfn>,
        patience: Duration,
        at_deadline: AtDeadline,
    ) -> Result<Revoked<'_>, Stuck> {
        let stuck = |error, at| Stuck { error, at };
        let mut table = self.table();
        let generation = table.begin(gfns).map_err(|error| stuck(error, gfns.first()))?;
        self.granules.close(gfns);
        // From here on every way out ends the revocation: `revoked` does when it is dropped.
        let mut revoked = Revoked { leases: self, gfns, generation, told: Vec::new(), committed: false };
        if let Some(at) = table.first(gfns, |record| record.kind == Kind::Pinned) {
            drop(table);
            return Err(stuck(Error::Busy, at));
        }
        let asked = table.ask(gfns, generation);
        if asked.is_empty() && self.granules.quiet(gfns) {
            // Nobody to wait for: not even the clock is looked at.
            return Ok(revoked);
        }
        drop(table);
        let deadline = Deadline::after(patience);
        for (id, (holder, range)) in asked {
            // On record before it is asked, so that it is told how it came out whatever it answers.
            revoked.told.push((Arc::clone(&holder), range));
            match holder.prepare(generation, range) {
                Prepared::Yielded => {
                    self.table().yielded(id, generation);
                }
                Prepared::Refused if self.table().owes(id, generation) => {
                    return Err(stuck(Error::Busy, range.first()));
                }
                Prepared::Later | Prepared::Refused => {}
            }
        }
        self.wait(&revoked, deadline, at_deadline).map(|()| revoked)
    }

    /// Waits until nobody holds on.
    fn wait(&self, revoked: &Revoked<'_>, deadline: Deadline, then: AtDeadline) -> Result<(), Stuck> {
        let (gfns, generation) = (revoked.gfns, revoked.generation);
        let mut table = self.table();
        loop {
            let waited_for = |record: &Record| record.kind == Kind::Cooperative && table.owes(record.id, generation);
            let mapped = table.first(gfns, waited_for);
            let quiet = self.granules.quiet(gfns);
            if mapped.is_none() && quiet {
                return Ok(());
            }
            if deadline.passed() {
                let kept: Vec<Told> = table.told(gfns, waited_for).collect();
                drop(table);
                return match then {
                    AtDeadline::Force if quiet => Ok(()),
                    AtDeadline::Kill if quiet => {
                        tell(&kept, |holder, range| holder.kill(generation, range));
                        Ok(())
                    }
                    _ => Err(Stuck { error: Error::Busy, at: mapped.unwrap_or(gfns.first()) }),
                };
            }
            table = self.changed.wait(table, deadline);
        }
    }
}

impl Revoked<'_> {
    /// The range.
    pub fn gfns(&self) -> FrameRange<Gfn> {
        self.gfns
    }

    /// It turned private: holders forget it.
    #[inline]
    pub fn commit(mut self) {
        self.committed = true;
    }
}

impl Drop for Revoked<'_> {
    #[inline]
    fn drop(&mut self) {
        if !self.told.is_empty() {
            self.leases.table().forget(self.generation);
        }
        // Even if a holder panics: a new lease begins after all holders know how the last one ended.
        let _end = End(self);
        tell(&self.told, |holder, range| match self.committed {
            true => holder.commit(self.generation, range),
            false => holder.abort(self.generation, range),
        });
    }
}

/// Dropped, it ends a revocation.
struct End<'r>(&'r Revoked<'r>);

impl Drop for End<'_> {
    #[inline]
    fn drop(&mut self) {
        let Revoked { leases, gfns, generation, .. } = *self.0;
        leases.granules.open(gfns);
        leases.end(generation);
    }
}
