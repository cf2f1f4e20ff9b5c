//! Who keeps memory mapped: it uses the frames until it is told to let go, answers as its nature is, dies where its
//! fate says, and writes down what it is told. What it should not have been told it reports.

use super::memory::{FRAMES, Memory, frames};
use super::product::lease::{Generation, Holder, Kind, Prepared};
use super::run::{note, primitive, violation};
use core::ops::Range;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tenure_abi::{FrameRange, Gfn};

/// Where a holder dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    /// While it is told to prepare.
    Prepare,
    /// Its thread, after it said that it will answer later.
    Asked,
    /// Its thread, just after it let go and said so.
    Answered,
    /// While it is told to end.
    Kill,
    /// While it is told of the commit.
    Commit,
    /// While it is told of the abort.
    Abort,
    /// While it is told that memory turned shared.
    Shared,
}

impl Point {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Prepare, Self::Asked, Self::Answered, Self::Kill, Self::Commit, Self::Abort, Self::Shared];
}

/// What a dying thread carries; nothing is printed.
struct Died;

/// Runs `f`; a holder that dies in it ends it, any other panic goes on.
pub(super) fn survive(f: impl FnOnce()) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(f)).map_err(|panic| (panic.is::<Died>(), panic)) {
        match panic {
            (true, _) => note("somebody died"),
            (false, panic) => resume_unwind(panic),
        }
    }
}

/// What a holder is like.
#[derive(Clone, Copy, Debug)]
pub struct Nature {
    /// What kind of mapping it has.
    pub kind: Kind,
    /// How it answers.
    pub answer: Prepared,
    /// Where it dies, if it does.
    pub dies: Option<Point>,
}

/// What it knows.
#[derive(Default)]
struct Diary {
    /// Asked, and not told yet how it came out; whether it was told to end.
    open: BTreeMap<Generation, (Range<usize>, bool)>,
    over: BTreeSet<Generation>,
    /// What its own thread has to answer yet.
    inbox: VecDeque<(Generation, FrameRange<Gfn>)>,
    /// The frames it touches when it likes.
    uses: [bool; FRAMES as usize],
    /// The frames it was told are private.
    gone: [bool; FRAMES as usize],
    /// Its mapping is gone, or about to.
    retired: bool,
    dead: bool,
}

/// A holder.
pub struct Peer {
    memory: Memory,
    gfns: FrameRange<Gfn>,
    nature: Nature,
    diary: Mutex<Diary>,
}

impl Peer {
    /// One that will have a mapping of `gfns`; nobody converts them meanwhile.
    pub fn new(memory: &Memory, gfns: FrameRange<Gfn>, nature: Nature) -> Arc<Self> {
        let mut diary = Diary::default();
        memory.look(|private| {
            for frame in frames(gfns) {
                (diary.gone[frame], diary.uses[frame]) = (private[frame], !private[frame]);
            }
        });
        Arc::new(Self { memory: memory.clone(), gfns, nature, diary: diary.into() })
    }

    /// One that is made while others convert: it has mapped nothing yet.
    pub fn late(memory: &Memory, gfns: FrameRange<Gfn>) -> Arc<Self> {
        let nature = Nature { kind: Kind::Cooperative, answer: Prepared::Yielded, dies: None };
        Arc::new(Self { memory: memory.clone(), gfns, nature, diary: Mutex::default() })
    }

    fn diary(&self) -> MutexGuard<'_, Diary> {
        self.diary.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Touches all that it uses.
    pub fn touch(&self) {
        for frame in frames(self.gfns) {
            primitive();
            self.memory.look(|private| {
                if self.diary().uses[frame] && private[frame] {
                    violation(format!("a holder touches frame {frame}, which is private"));
                }
            });
        }
    }

    /// The next question that waits for an answer of its thread.
    pub fn next_question(&self) -> Option<Generation> {
        let mut diary = self.diary();
        let (generation, gfns) = diary.inbox.pop_front()?;
        if diary.open.contains_key(&generation) {
            diary.uses[frames(gfns)].fill(false);
        }
        Some(generation)
    }

    /// Dies here, if it is its fate and has not happened yet.
    pub fn may_die(&self, at: Point) {
        let mut diary = self.diary();
        if self.nature.dies == Some(at) && !diary.dead {
            // Whatever it had mapped went with it.
            diary.dead = true;
            diary.uses.fill(false);
            drop(diary);
            resume_unwind(Box::new(Died));
        }
    }

    /// It does without its mapping from now on.
    pub fn retire(&self) {
        let mut diary = self.diary();
        diary.retired = true;
        diary.uses.fill(false);
    }

    /// Whether it uses some of `gfns` in a way that the kernel cannot end.
    pub fn uses(&self, gfns: FrameRange<Gfn>) -> bool {
        self.nature.kind != Kind::KernelEnforced && self.diary().uses[frames(gfns)].contains(&true)
    }

    /// `gfns` are private as of now: those among its frames must be ones it has let go of.
    pub fn turned_private(&self, gfns: FrameRange<Gfn>) {
        let mut diary = self.diary();
        let both: Vec<_> = frames(gfns).filter(|frame| frames(self.gfns).contains(frame)).collect();
        if diary.retired || both.is_empty() {
            return;
        }
        if self.nature.kind == Kind::Pinned {
            violation(format!("{gfns:?} turn private although some are pinned"));
        }
        if !diary.open.values().any(|(asked, _)| both.iter().all(|frame| asked.contains(frame))) {
            violation(format!("{gfns:?} turn private, and nobody asked the holder of {:?}", self.gfns));
        }
        for frame in both {
            if diary.uses[frame] && self.nature.kind == Kind::Cooperative {
                violation(format!("frame {frame} turns private under a mapping"));
            }
            diary.uses[frame] = false;
        }
    }

    /// What must hold when all are done.
    pub fn check(&self, private: [bool; FRAMES as usize]) {
        let diary = self.diary();
        if !diary.open.is_empty() {
            violation(format!("a holder was never told how {:?} came out", diary.open.keys()));
        }
        for frame in frames(self.gfns).filter(|_| !diary.retired) {
            if diary.gone[frame] != private[frame] {
                violation(format!("frame {frame}: private {}, its holder thinks not", private[frame]));
            }
        }
    }

    /// A revocation is over; whether it is one that this holder was asked about.
    fn ends(&self, diary: &mut Diary, generation: Generation, gfns: FrameRange<Gfn>, what: &str) {
        if diary.open.remove(&generation).is_none_or(|(asked, _)| asked != frames(gfns)) {
            violation(format!("a holder is told of the {what} of {generation:?}, which it was not asked about"));
        }
        diary.over.insert(generation);
        if !frames(gfns).all(|frame| frames(self.gfns).contains(&frame)) {
            violation(format!("a holder of {:?} is told of {gfns:?}", self.gfns));
        }
    }
}

impl Holder for Peer {
    fn prepare(&self, generation: Generation, gfns: FrameRange<Gfn>) -> Prepared {
        primitive();
        let mut diary = self.diary();
        let overlaps = diary.open.values().any(|(asked, _)| frames(gfns).any(|frame| asked.contains(&frame)));
        let again = diary.over.contains(&generation);
        if overlaps || again || diary.open.insert(generation, (frames(gfns), false)).is_some() {
            violation(format!("a holder is asked twice about {gfns:?}, {generation:?}"));
        }
        drop(diary);
        self.may_die(Point::Prepare);
        let mut diary = self.diary();
        if diary.dead {
            return Prepared::Later;
        }
        match self.nature.answer {
            Prepared::Yielded => diary.uses[frames(gfns)].fill(false),
            Prepared::Later => diary.inbox.push_back((generation, gfns)),
            Prepared::Refused => {}
        }
        note("prepared");
        self.nature.answer
    }

    fn commit(&self, generation: Generation, gfns: FrameRange<Gfn>) {
        primitive();
        self.memory.look(|private| {
            let mut diary = self.diary();
            self.ends(&mut diary, generation, gfns, "commit");
            if frames(gfns).any(|frame| !private[frame]) {
                violation(format!("a holder is told that {gfns:?} are gone, and they are shared"));
            }
            diary.gone[frames(gfns)].fill(true);
            diary.uses[frames(gfns)].fill(false);
        });
        note("committed");
        self.may_die(Point::Commit);
    }

    fn abort(&self, generation: Generation, gfns: FrameRange<Gfn>) {
        primitive();
        let mut diary = self.diary();
        self.ends(&mut diary, generation, gfns, "abort");
        for frame in frames(gfns).filter(|_| !diary.retired && !diary.dead).collect::<Vec<_>>() {
            diary.uses[frame] = !diary.gone[frame];
        }
        drop(diary);
        note("aborted");
        self.may_die(Point::Abort);
    }

    fn shared(&self, gfns: FrameRange<Gfn>) {
        primitive();
        self.memory.look(|private| {
            let mut diary = self.diary();
            if frames(gfns).any(|frame| private[frame]) {
                violation(format!("a holder is told that {gfns:?} are shared, and they are private"));
            }
            diary.gone[frames(gfns)].fill(false);
            let uses = !diary.retired && !diary.dead;
            diary.uses[frames(gfns)].fill(uses);
        });
        note("told of shared memory");
        self.may_die(Point::Shared);
    }

    fn kill(&self, generation: Generation, gfns: FrameRange<Gfn>) {
        primitive();
        let mut diary = self.diary();
        match diary.open.get_mut(&generation) {
            Some((asked, killed)) if *asked == frames(gfns) && !*killed => *killed = true,
            _ => violation(format!("a holder is killed for {generation:?}, which it was not asked about")),
        }
        diary.uses[frames(gfns)].fill(false);
        drop(diary);
        note("killed");
        self.may_die(Point::Kill);
    }
}
