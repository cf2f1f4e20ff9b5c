//! A guest's memory with its leases, a front, and a device that keeps some of it mapped.

use super::memory::{FRAMES, Memory, gfns, some};
use super::peer::{Nature, Peer, Point, survive};
use super::product::convert::Front;
use super::product::lease::{AtDeadline, Generation, Kind, Leases, Mapping, Patience, Prepared};
use super::run::{begin_time, draw, note, pass_time, primitive, violation, wait};
use core::time::Duration;
use std::sync::{Arc, Mutex, PoisonError};

/// One tick of the clock that schedules move.
pub(super) const TICK: Duration = Duration::from_micros(50);

/// Everything actors share.
pub struct World<'w> {
    /// The code under test.
    pub leases: &'w Leases,
    /// The frames.
    pub memory: Memory,
    /// The other code under test.
    pub front: Front<Memory, Patience<&'w Leases>>,
    /// How long revokers and takers wait; for ever, in half of the schedules.
    pub patience: Duration,
    /// What happens then.
    pub at_deadline: AtDeadline,
    /// The device.
    pub device: Arc<Peer>,
    mapping: Mutex<Option<Arc<Mapping<'w>>>>,
    /// A revocation that the device was asked about, and that is over.
    pub elder: Option<Generation>,
    /// The device never answers.
    silent: bool,
    /// There is no device, and nobody beside the pair: nobody else wakes those who wait.
    alone: bool,
}

/// Builds a world, nobody else running, and hands it to `f`.
pub(super) fn with_world(dies: Option<Point>, f: impl FnOnce(&World<'_>)) {
    begin_time();
    let leases = &Leases::new();
    let at_deadline = [AtDeadline::Refuse, AtDeadline::Kill, AtDeadline::Force][draw(3) as usize];
    let patience = if draw(2) == 0 { Duration::MAX } else { TICK };
    let memory = Memory::new(at_deadline);
    let answers = [Prepared::Later, Prepared::Later, Prepared::Yielded, Prepared::Refused];
    let kinds = [Kind::Cooperative, Kind::Cooperative, Kind::Cooperative, Kind::KernelEnforced, Kind::Pinned];
    let nature = match dies {
        Some(_) => Nature { kind: Kind::Cooperative, answer: answers[draw(2) as usize], dies },
        None => Nature { kind: kinds[draw(5) as usize], answer: answers[draw(4) as usize], dies },
    };
    let range = if draw(2) == 0 { gfns(0, FRAMES) } else { some() };
    let device = Peer::new(&memory, range, nature);
    let alone = dies.is_none() && draw(4) == 0;
    let mapping = (!alone).then(|| leases.map(range, nature.kind, device.clone()).ok().map(Arc::new)).flatten();
    if alone {
        device.retire();
    }
    memory.add(&device);
    let elder = (!alone && draw(2) == 0).then(|| elder(leases, &device, nature)).flatten();
    let silent = patience != Duration::MAX && draw(4) == 0;
    let front = Front::new(memory.clone(), Patience { leases, patience, at_deadline });
    f(&World {
        leases,
        memory: memory.clone(),
        front,
        patience,
        at_deadline,
        device,
        mapping: mapping.into(),
        elder,
        silent,
        alone,
    });
    memory.forget_peers();
}

/// A revocation that the device cannot answer in time.
fn elder(leases: &Leases, device: &Peer, nature: Nature) -> Option<Generation> {
    survive(|| drop(leases.revoke(gfns(0, FRAMES), Duration::ZERO, AtDeadline::Refuse)));
    (nature.answer == Prepared::Later).then(|| device.next_question()).flatten()
}

impl<'w> World<'w> {
    /// The device's mapping, while it has one.
    pub fn mapping(&self) -> Option<Arc<Mapping<'w>>> {
        self.mapping.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The device does without it from now on.
    fn unmap(&self) {
        self.device.retire();
        let mapping = self.mapping.lock().unwrap_or_else(PoisonError::into_inner).take();
        drop(mapping);
    }

    /// What goes on beside every pair: the device works and answers, mappings come and go, and in the end time runs out.
    pub fn beside(&self) {
        let rounds = if self.alone { 0 } else { 6 };
        for _ in 0..rounds {
            survive(|| self.device_answers());
            survive(|| self.short_mapping());
            wait();
        }
        // Who never gives up must be let go of.
        if !self.alone && (self.patience == Duration::MAX || draw(2) == 0) {
            self.unmap();
        }
        pass_time(Duration::MAX);
    }

    /// The device's own thread. If it dies, its mapping goes with it.
    fn device_answers(&self) {
        struct Unmap<'u, 'w>(&'u World<'w>);
        impl Drop for Unmap<'_, '_> {
            fn drop(&mut self) {
                if std::thread::panicking() {
                    self.0.unmap();
                }
            }
        }
        self.device.touch();
        if self.silent {
            return;
        }
        let Some(mapping) = self.mapping() else { return };
        let Some(question) = self.device.next_question() else { return };
        let _with_it = Unmap(self);
        self.device.may_die(Point::Asked);
        primitive();
        note(if mapping.yielded(question) { "answered later" } else { "answered too late" });
        drop(mapping);
        self.device.may_die(Point::Answered);
    }

    /// A mapping that somebody makes for a moment.
    fn short_mapping(&self) {
        let range = some();
        let peer = Peer::late(&self.memory, range);
        let Ok(mapping) = self.leases.map(range, Kind::Cooperative, peer.clone()) else {
            return note("mapping refused");
        };
        self.memory.add(&peer);
        note("mapped");
        primitive();
        peer.retire();
        drop(mapping);
    }

    /// What must hold when all are done.
    pub fn check(&self) {
        self.memory.look(|private| self.memory.peers().iter().for_each(|peer| peer.check(private)));
        self.unmap();
        let all = gfns(0, FRAMES);
        if self.leases.access(all).is_err() {
            violation("a revocation has not ended: no access");
        }
        match self.leases.revoke(all, Duration::ZERO, AtDeadline::Refuse) {
            Ok(revoked) => drop(revoked),
            Err(stuck) => violation(format!("a lease or a revocation has not ended: {stuck:?}")),
        }
    }
}
