//! The operations whose pairs are explored.

use super::memory::{Held, some};
use super::product::convert::Request;
use super::run::{draw, note, pass_time, primitive, violation, wait};
use super::world::{TICK, World};

use tenure_abi::{ContentMode, Error, Visibility};

/// What one actor does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Op {
    /// Takes accesses, or waits for them, touches memory that is shared, and drops them.
    Take,
    /// Holds an access from the beginning, touches, and drops it.
    Drop,
    /// Revokes, and commits or aborts.
    Revoke,
    /// Lets time go on: deadlines pass.
    Timeout,
    /// Answers for the device to what is long over.
    Late,
    /// Converts through the front, both ways.
    Convert,
}

impl Op {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Take, Self::Drop, Self::Revoke, Self::Timeout, Self::Late, Self::Convert];

    /// What it holds from the beginning.
    pub fn ready<'w>(self, world: &'w World<'_>) -> Option<Held<'w>> {
        let access = (self == Self::Drop).then(|| world.leases.access(some()).ok()).flatten();
        access.map(|access| world.memory.hold(access))
    }

    /// Does it.
    pub fn run(self, world: &World<'_>, held: Option<Held<'_>>) {
        match self {
            Self::Take => (0..3).for_each(|_| take(world)),
            Self::Drop => {
                for _ in 0..draw(4) {
                    held.iter().for_each(Held::touch);
                }
                drop(held);
                note("dropped");
            }
            Self::Revoke => (0..2).for_each(|_| revoke(world)),
            Self::Timeout => {
                for _ in 0..4 {
                    primitive();
                    pass_time(TICK);
                }
            }
            Self::Late => late(world),
            Self::Convert => convert(world),
        }
    }
}

fn take(world: &World<'_>) {
    let range = some();
    let taken =
        if draw(2) == 0 { world.leases.access(range) } else { world.leases.access_within(range, world.patience) };
    let Ok(access) = taken else {
        note("access refused");
        return wait();
    };
    let held = world.memory.hold(access);
    held.touch();
    let held = if draw(4) == 0 { held.another() } else { held };
    held.touch();
}

fn revoke(world: &World<'_>) {
    let range = some();
    let revoked = match world.leases.revoke(range, world.patience, world.at_deadline) {
        Ok(revoked) => revoked,
        Err(stuck) => {
            note(if stuck.error == Error::Busy { "revocation refused" } else { "revocation met another" });
            return wait();
        }
    };
    if draw(4) == 0 || world.memory.turn_private(range).is_err() {
        return note("given back");
    }
    primitive();
    revoked.commit();
    note("revoked");
}

fn late(world: &World<'_>) {
    let (Some(elder), Some(mapping)) = (world.elder, world.mapping()) else { return };
    for _ in 0..4 {
        primitive();
        if mapping.yielded(elder) {
            violation("an answer to what is over counted");
        }
        note("late answer");
    }
}

fn convert(world: &World<'_>) {
    let gfns = some();
    let mut both = [Visibility::Private, Visibility::Shared];
    if draw(2) == 0 {
        both.reverse();
    }
    for to in both {
        match world.front.convert(Request { gfns, to }, ContentMode::Unspecified) {
            Ok(()) => note("converted"),
            Err(stopped) if stopped.error == Error::Retry => note("conversion met another"),
            Err(_) => note("conversion refused"),
        }
    }
}

/// Every unordered pair of operations, each with itself too.
pub fn pairs() -> impl Iterator<Item = [Op; 2]> {
    let from =
        |first: Op| Op::ALL.into_iter().filter(move |&second| second >= first).map(move |second| [first, second]);
    Op::ALL.into_iter().flat_map(from)
}

/// What has to have happened somewhere, or the pairs have shown nothing about it.
pub const HAPPENS: [&str; 24] = [
    "touched",
    "looked and left alone",
    "access refused",
    "dropped",
    "revoked",
    "given back",
    "revocation refused",
    "revocation met another",
    "late answer",
    "converted",
    "conversion refused",
    "conversion met another",
    "the backing refused",
    "prepared",
    "committed",
    "aborted",
    "killed",
    "told of shared memory",
    "answered later",
    "answered too late",
    "mapped",
    "mapping refused",
    "the kernel found a user",
    "time passed",
];
