//! Primitives: the points between which any other actor may run, and failures at one of them.
//!
//! Code on the machine calls [`primitive`] before each thing it does that another actor could see. Outside of
//! [`explore`](crate::explore), and inside [`quietly`], this does nothing, so the same code serves for set-up and checks.
//!
//! Whether another actor runs is drawn here, so a step that goes on costs next to nothing. Long runs of one kind (a
//! page filled word by word) are thinned out: the 9th and later in a row count only each 64th time.

use crate::stores::Store;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

/// What an actor is about to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Read a shared word.
    Load,
    /// Write one.
    Store,
    /// Read and write it in one.
    Exchange,
    /// Fill or read a whole frame.
    Frame,
    /// Access memory through translation.
    Access,
    /// Broadcast an invalidation.
    Tlbi,
    /// Wait until invalidations are complete.
    Dsb,
    /// Take or give up a lock.
    Lock,
    /// Ask for something that may be refused.
    Seam,
}

/// Where a failure can be put in: what code under test must expect to be refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seam {
    /// A lock that is tried.
    Lock,
    /// A page for a table.
    TablePage,
    /// Memory for records.
    Block,
}

/// A small generator (splitmix64): the same numbers for the same seed on every machine.
#[derive(Clone, Copy, Debug)]
pub struct Dice(u64);

impl Dice {
    /// The generator of `seed`.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub const fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    /// A number below `end`; 0 if `end` is.
    pub const fn below(&mut self, end: u64) -> u64 {
        match self.roll().checked_rem(end) {
            Some(n) => n,
            None => 0,
        }
    }
}

/// How a schedule chooses who runs.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Manner {
    /// At each primitive somebody else runs with a chance of one in 2^n.
    Chance(u32),
    /// One actor is stopped at one of its primitives until all others are done or wait for it.
    Stall { actor: usize, at: u64 },
}

/// What is known while a schedule runs.
pub(crate) struct State {
    pub(crate) loud: bool,
    pub(crate) dice: Dice,
    pub(crate) manner: Manner,
    pub(crate) actor: usize,
    pub(crate) primitives: u64,
    pub(crate) stalled: bool,
    /// How often somebody waited while one was stalled.
    pub(crate) waits: u32,
    pub(crate) own: [u64; MAX_ACTORS],
    row: (Option<Kind>, u32),
    pub(crate) seams: u64,
    pub(crate) fail_at: Option<u64>,
    pub(crate) found: Vec<String>,
    pub(crate) notes: BTreeMap<&'static str, u64>,
    /// Of each actor, those that walkers may not see yet.
    pub(crate) stores: [Vec<Store>; MAX_ACTORS],
}

/// How many actors a schedule can have, the one that starts the others included.
pub const MAX_ACTORS: usize = 8;
/// A stalled actor goes on after the others waited this often: it may hold what they wait for.
const PATIENCE: u32 = 120;

impl State {
    pub(crate) const fn new(seed: u64, manner: Manner, fail_at: Option<u64>) -> Self {
        Self {
            loud: false,
            dice: Dice::new(seed),
            manner,
            actor: 0,
            primitives: 0,
            stalled: false,
            waits: 0,
            own: [0; MAX_ACTORS],
            row: (None, 0),
            seams: 0,
            fail_at,
            found: Vec::new(),
            notes: BTreeMap::new(),
            stores: [const { Vec::new() }; MAX_ACTORS],
        }
    }

    /// Whether somebody else shall run before this primitive.
    fn gives_way(&mut self, kind: Kind) -> bool {
        let length = if self.row.0 == Some(kind) { self.row.1 + 1 } else { 0 };
        self.row = (Some(kind), length);
        if length > 8 && length % 64 != 0 {
            return false;
        }
        self.primitives += 1;
        let own = self.own.get_mut(self.actor).map_or(0, |own| {
            *own += 1;
            *own
        });
        match self.manner {
            Manner::Chance(odds) => self.dice.roll() >> (64 - odds) == 0,
            Manner::Stall { actor, at } if self.actor == actor && own == at => {
                self.stalled = true;
                true
            }
            // The others still meet each other, now and then.
            Manner::Stall { .. } => self.dice.roll() >> (64 - 6) == 0,
        }
    }
}

thread_local! {
    static STATE: RefCell<State> = const { RefCell::new(State::new(0, Manner::Chance(1), None)) };
    static QUIET: Cell<u32> = const { Cell::new(0) };
}

pub(crate) fn with<T>(f: impl FnOnce(&mut State) -> T) -> T {
    STATE.with_borrow_mut(f)
}

pub(crate) fn is_loud() -> bool {
    QUIET.get() == 0 && with(|state| state.loud)
}

/// Something another actor could see is about to be done: it may run now.
pub fn primitive(kind: Kind) {
    if is_loud() && with(|state| state.gives_way(kind)) {
        shuttle::thread::yield_now();
    }
}

/// The actor cannot go on before another one did something.
pub fn wait() {
    if is_loud() {
        with(|state| {
            state.primitives += 1;
            state.waits += u32::from(state.stalled);
            state.stalled &= state.waits < PATIENCE;
        });
        shuttle::thread::yield_now();
    }
}

/// Whether this request is the one that the plan lets fail; that is [noted](note).
pub fn fails(seam: Seam) -> bool {
    if !is_loud() {
        return false;
    }
    primitive(Kind::Seam);
    let fails = with(|state| {
        state.seams += 1;
        state.fail_at == Some(state.seams)
    });
    if fails {
        note(match seam {
            Seam::Lock => "a lock was refused",
            Seam::TablePage => "a table page was refused",
            Seam::Block => "a block was refused",
        });
    }
    fails
}

/// The actor that runs: 0 is the one that starts the others, they count from 1 in the order of their start.
pub fn actor() -> usize {
    with(|state| state.actor)
}

/// Does something in one: nobody else runs meanwhile, and nothing is made to fail.
pub fn quietly<T>(f: impl FnOnce() -> T) -> T {
    struct Quiet;
    impl Drop for Quiet {
        fn drop(&mut self) {
            QUIET.set(QUIET.get() - 1);
        }
    }
    QUIET.set(QUIET.get() + 1);
    let _quiet = Quiet;
    f()
}

/// Puts on record that something was seen which must never be seen. Ends the exploration after this schedule.
pub fn violation(what: impl Into<String>) {
    let what = what.into();
    with(|state| {
        // The first few say what happened; what follows from them does not matter.
        if state.found.len() < 8 {
            state.found.push(what);
        }
    });
}

/// Counts that something happened: an exploration in which it never does has shown nothing about it.
pub fn note(what: &'static str) {
    with(|state| *state.notes.entry(what).or_default() += 1);
}

/// A number below `end` that belongs to the schedule: for set-ups that differ from schedule to schedule.
pub fn draw(end: u64) -> u64 {
    with(|state| state.dice.below(end))
}
