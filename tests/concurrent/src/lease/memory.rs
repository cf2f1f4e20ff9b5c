//! Four frames of a guest, two on each side of a 2 MiB border, and everybody who touches them. It knows what each
//! frame is and who is in it, and says so when somebody touches what is private.

use super::peer::Peer;
use super::product::convert::{Backing, Stretch};
use super::product::lease::{Access, AtDeadline};
use super::product::platform::Rule;
use super::run::{draw, note, primitive, violation};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tenure_abi::{AddressWidth, ContentMode, Error, FrameRange, Gfn, Located, Place, Visibility};

/// The first frame.
pub(super) const G: u64 = 510;
/// Frames there are.
pub(super) const FRAMES: u64 = 4;

/// `count` frames from the one of this number on.
///
/// # Panics
/// Outside of guest memory.
pub(super) fn gfns(first: u64, count: u64) -> FrameRange<Gfn> {
    FrameRange::new(Gfn::new(G + first).expect("a frame"), count, AddressWidth::MAX).expect("frames")
}

/// A part of the memory, as the schedule draws it.
pub(super) fn some() -> FrameRange<Gfn> {
    let first = draw(FRAMES);
    gfns(first, 1 + draw(FRAMES - first))
}

/// Which of the four frames.
pub(super) fn frames(gfns: FrameRange<Gfn>) -> core::ops::Range<usize> {
    let first = (gfns.first().number() - G) as usize;
    first..first + gfns.count() as usize
}

#[derive(Clone, Copy, Default)]
struct Frame {
    private: bool,
    accesses: u32,
}

struct Parts {
    frames: Mutex<[Frame; FRAMES as usize]>,
    peers: Mutex<Vec<Arc<Peer>>>,
    force: bool,
}

/// The frames, and the peers that keep some of them mapped.
///
/// Locks are taken in the order frames, diary of a peer, and none is held across a primitive.
#[derive(Clone)]
pub struct Memory(Arc<Parts>);

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Memory {
    /// Each frame private or shared, as the schedule draws it.
    pub fn new(at_deadline: AtDeadline) -> Self {
        let frames = core::array::from_fn(|_| Frame { private: draw(4) == 0, accesses: 0 });
        let force = at_deadline == AtDeadline::Force;
        Self(Arc::new(Parts { frames: frames.into(), peers: Mutex::default(), force }))
    }

    /// A peer has a mapping from now on.
    pub fn add(&self, peer: &Arc<Peer>) {
        lock(&self.0.peers).push(Arc::clone(peer));
    }

    /// Everybody there ever was.
    pub fn peers(&self) -> Vec<Arc<Peer>> {
        lock(&self.0.peers).clone()
    }

    /// Forgets them: they know the memory too.
    pub fn forget_peers(&self) {
        lock(&self.0.peers).clear();
    }

    /// Looks at which frames are private; they stay so until `f` returns.
    pub fn look<T>(&self, f: impl FnOnce([bool; FRAMES as usize]) -> T) -> T {
        let all = lock(&self.0.frames);
        f(all.map(|frame| frame.private))
    }

    /// Whether all of them are `visibility` now.
    pub fn all(&self, gfns: FrameRange<Gfn>, visibility: Visibility) -> bool {
        let private = visibility == Visibility::Private;
        lock(&self.0.frames)[frames(gfns)].iter().all(|frame| frame.private == private)
    }

    /// Somebody has the right to touch them.
    pub fn hold<'m>(&'m self, access: Access<'m>) -> Held<'m> {
        let gfns = access.gfns();
        let mut all = lock(&self.0.frames);
        all[frames(gfns)].iter_mut().for_each(|frame| frame.accesses += 1);
        // What is checked once holds as long as the access does.
        let shared = all[frames(gfns)].iter().all(|frame| !frame.private);
        Held { memory: self, gfns, shared, access }
    }

    /// Turns them private: whoever still uses them has been overlooked.
    ///
    /// # Errors
    /// [`Error::Busy`] where mappings may be left and one is, as the kernel finds out.
    pub fn turn_private(&self, gfns: FrameRange<Gfn>) -> Result<(), Error> {
        primitive();
        let peers = self.peers();
        let mut all = lock(&self.0.frames);
        if self.0.force && peers.iter().any(|peer| peer.uses(gfns)) {
            note("the kernel found a user");
            return Err(Error::Busy);
        }
        for number in frames(gfns) {
            if all[number].accesses > 0 {
                violation(format!("frame {number} turns private under an access"));
            }
            all[number].private = true;
        }
        // Under the lock: nobody touches them before the page tables that the kernel rules are empty.
        for peer in peers {
            peer.turned_private(gfns);
        }
        Ok(())
    }

    /// Turns them shared.
    pub fn turn_shared(&self, gfns: FrameRange<Gfn>) {
        primitive();
        lock(&self.0.frames)[frames(gfns)].iter_mut().for_each(|frame| frame.private = false);
    }
}

/// An access, and what was seen when it was taken.
pub struct Held<'m> {
    memory: &'m Memory,
    gfns: FrameRange<Gfn>,
    shared: bool,
    access: Access<'m>,
}

impl Held<'_> {
    /// Reads and writes the memory, if it was shared.
    pub fn touch(&self) {
        primitive();
        if !self.shared {
            return note("looked and left alone");
        }
        note("touched");
        if !self.memory.all(self.gfns, Visibility::Shared) {
            violation(format!("private memory is touched under an access to {:?}", self.gfns));
        }
    }

    /// One more of the same kind.
    pub fn another(&self) -> Self {
        let access = self.access.clone();
        lock(&self.memory.0.frames)[frames(self.gfns)].iter_mut().for_each(|frame| frame.accesses += 1);
        Held { access, ..*self }
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        lock(&self.memory.0.frames)[frames(self.gfns)].iter_mut().for_each(|frame| frame.accesses -= 1);
    }
}

impl Backing for Memory {
    type File = ();

    fn find(&self, gfn: Gfn) -> Option<Stretch<()>> {
        let into = gfn.number().checked_sub(G).filter(|&into| into < FRAMES)?;
        Some(Stretch { gfns: gfns(into, FRAMES - into), file: (), offset: into << 12 })
    }

    fn rule(&self, (): &(), _: Visibility, _: ContentMode) -> Rule {
        Rule::Free
    }

    fn is(&self, stretch: &Stretch<()>, to: Visibility) -> bool {
        primitive();
        self.all(stretch.gfns, to)
    }

    fn convert(&self, stretch: &Stretch<()>, to: Visibility, _: ContentMode) -> Result<(), Located<Error>> {
        let refused = |error| Located { error, at: Place::FileOffset(stretch.offset) };
        if draw(8) == 0 {
            note("the backing refused");
            return Err(refused(Error::NoMemory));
        }
        match to {
            Visibility::Private => self.turn_private(stretch.gfns).map_err(refused),
            Visibility::Shared => {
                self.turn_shared(stretch.gfns);
                Ok(())
            }
        }
    }
}
