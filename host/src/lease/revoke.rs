//! Revocation: everybody lets go, or the caller's choice happens.

use super::table::{Record, Stand, Table};
use super::{Generation, Holder, Kind, Leases, Prepared, common};
use core::time::Duration;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Instant;
use std::vec::Vec;
use tenure_abi::{Error, FrameRange, Gfn};

/// What happens when the deadline passes and somebody still holds on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AtDeadline {
    /// The revocation is refused with [`Error::Busy`], and those who let go are told of the abort.
    Refuse,
    /// Holders of mappings are killed ([`Holder::kill`]) and no longer waited for. Accesses of this process cannot be: they
    /// refuse it all the same.
    Kill,
    /// Nobody is waited for any more: what is left is for the kernel to find, which refuses memory that is held.
    Force,
}

/// Why memory could not be revoked. It is shared as before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stuck {
    /// [`Error::Busy`]: somebody holds on; [`Error::Retry`]: somebody else revokes there.
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

/// A holder that was told to prepare, and for which frames.
type Told = (Arc<dyn Holder>, FrameRange<Gfn>);

impl Leases {
    /// Ends every lease on `gfns`, for at most `patience`; what happens then is `at_deadline`.
    ///
    /// # Errors
    /// [`Stuck`]. Everybody who let go has been told of the abort.
    pub fn revoke(
        &self,
        gfns: FrameRange<Gfn>,
        patience: Duration,
        at_deadline: AtDeadline,
    ) -> Result<Revoked<'_>, Stuck> {
        let deadline = Instant::now().checked_add(patience);
        let stuck = |error, at| Stuck { error, at };
        let mut table = self.table();
        let generation = table.begin(gfns).map_err(|error| stuck(error, gfns.first()))?;
        self.granules.close(gfns);
        // From here on every way out ends the revocation: `revoked` does when it is dropped.
        let mut revoked = Revoked { leases: self, gfns, generation, told: Vec::new(), committed: false };
        if let Some(at) = first(&table, gfns, |record| record.kind == Kind::Pinned) {
            drop(table);
            return Err(stuck(Error::Busy, at));
        }
        let asked = ask(&mut table, gfns, generation);
        drop(table);
        for (id, holder, range) in asked {
            // On record before it is asked, so that it is told how it came out whatever it answers.
            revoked.told.push((Arc::clone(&holder), range));
            let answer = holder.prepare(generation, range);
            let mut table = self.table();
            let waits = table.find(id).filter(|record| record.stand == Stand::Asked(generation));
            match (answer, waits) {
                (Prepared::Yielded, Some(record)) => record.stand = Stand::Yielded(generation),
                (Prepared::Refused, Some(_)) => {
                    drop(table);
                    return Err(stuck(Error::Busy, range.first()));
                }
                _ => {}
            }
        }
        self.wait(&revoked, deadline, at_deadline).map(|()| revoked)
    }

    /// Waits until nobody holds on.
    fn wait(&self, revoked: &Revoked<'_>, deadline: Option<Instant>, then: AtDeadline) -> Result<(), Stuck> {
        let (gfns, generation) = (revoked.gfns, revoked.generation);
        let waited_for =
            |record: &Record| record.kind == Kind::Cooperative && record.stand != Stand::Yielded(generation);
        let mut table = self.table();
        loop {
            let mapped = first(&table, gfns, waited_for);
            let quiet = self.granules.quiet(gfns);
            if mapped.is_none() && quiet {
                return Ok(());
            }
            let left = deadline.map_or(Duration::MAX, |deadline| deadline.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                let at = mapped.unwrap_or(gfns.first());
                let kept = table.holding(gfns).filter(|record| waited_for(record));
                let kept: Vec<Told> =
                    kept.filter_map(|record| Some((Arc::clone(&record.holder), common(record.gfns, gfns)?))).collect();
                drop(table);
                return match then {
                    AtDeadline::Force => Ok(()),
                    AtDeadline::Kill if quiet => {
                        for (holder, range) in kept {
                            holder.kill(generation, range);
                        }
                        Ok(())
                    }
                    AtDeadline::Kill | AtDeadline::Refuse => Err(Stuck { error: Error::Busy, at }),
                };
            }
            table = self.sleep(table, left);
        }
    }

    /// Until something changed, or for `longest`.
    fn sleep<'t>(&self, table: MutexGuard<'t, Table>, longest: Duration) -> MutexGuard<'t, Table> {
        self.changed.wait_timeout(table, longest).unwrap_or_else(PoisonError::into_inner).0
    }
}

/// The first frame of `gfns` under a mapping that `which` picks.
fn first(table: &Table, gfns: FrameRange<Gfn>, which: impl Fn(&Record) -> bool) -> Option<Gfn> {
    let held = table.holding(gfns).filter(|record| which(record));
    held.filter_map(|record| common(record.gfns, gfns)).map(FrameRange::first).min()
}

/// Puts every mapping there on record as asked.
fn ask(
    table: &mut Table,
    gfns: FrameRange<Gfn>,
    generation: Generation,
) -> Vec<(super::table::Id, Arc<dyn Holder>, FrameRange<Gfn>)> {
    let mut asked = Vec::new();
    for record in &mut table.records {
        if let Some(range) = common(record.gfns, gfns) {
            record.stand = Stand::Asked(generation);
            asked.push((record.id, Arc::clone(&record.holder), range));
        }
    }
    asked
}

impl Revoked<'_> {
    /// The range.
    pub fn gfns(&self) -> FrameRange<Gfn> {
        self.gfns
    }

    /// It turned private: holders forget it.
    pub fn commit(mut self) {
        self.committed = true;
    }
}

impl Drop for Revoked<'_> {
    fn drop(&mut self) {
        let mut table = self.leases.table();
        for record in &mut table.records {
            if matches!(record.stand, Stand::Asked(of) | Stand::Yielded(of) if of == self.generation) {
                record.stand = Stand::Held;
            }
        }
        drop(table);
        for (holder, range) in &self.told {
            match self.committed {
                true => holder.commit(self.generation, *range),
                false => holder.abort(self.generation, *range),
            }
        }
        // Only now: a new lease begins after the holders know how the last one ended.
        self.leases.granules.open(self.gfns);
        self.leases.table().end(self.generation);
        self.leases.changed.notify_all();
    }
}
