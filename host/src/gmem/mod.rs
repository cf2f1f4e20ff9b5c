//! The provider: memory files for confidential guests, with the semantics of Linux's `guest_memfd`.
//!
//! A [`File`] is memory that guests map and the host shares with them page by page, in place: the same frame, no copy.
//! For a host kernel or hypervisor that wants these semantics, and for tests of those that have them.
//!
//! Four facts of a page are kept apart:
//!
//! | fact | meaning | kept in |
//! |---|---|---|
//! | visibility | what was asked for: private or shared | `store`, one word for as much as is uniform |
//! | backed | a frame stands behind it | `index` |
//! | initialised | its first bytes are there: populated, or zeroed at first use; once per life | `index` |
//! | assigned | the hardware knows it as the guest's, in entries of a size | `index` |
//!
//! **How a call runs.** It takes the file's lock, *claims* its pages, and gives the lock up. What takes long (zaps, kicks,
//! firmware, content) happens without the lock, on claimed pages only; faults there are told to retry and other calls
//! wait as long as [`Env::pause`] lets them. At the end the new facts are published under the lock and the claim ends. Callers
//! install a mapping inside the closure that a fault gets, still under the lock: no mapping can slip past a claim.
//!
//! | module | what |
//! |---|---|
//! | `env` | what the integrator supplies |
//! | `nodes` | memory for the two trees, the caller's |
//! | `store`, `index`, `entry` | visibility; frames and their facts |
//! | `tree`; `bits`, `cuts` | the shape both trees share; what the words of the store mean |
//! | `claim` | pages that a call works on, and the bound wait for them |
//! | `pieces` | a range cut where its facts change |
//! | `assign`, `ledger` | driving a platform over a piece: largest entries, retries, what became of it |
//! | `convert` | private to shared and back |
//! | `fault`, `mapping` | host faults, guest faults; how large a mapping may be |
//! | `first_use` | frame, first bytes and assignment of a page that lacks them |
//! | `prefault` | mappings before the guest asks |
//! | `populate` | a guest's first pages, and the end of building |
//! | `space` | allocate, punch, memory errors |
//! | `bind` | which guest sees which pages where |
//! | [`kvm`] | KVM's own interface over it, by kernel |

mod assign;
mod bind;
mod bits;
mod claim;
mod convert;
mod cuts;
pub mod entry;
mod env;
mod fault;
mod first_use;
pub mod index;
pub mod kvm;
mod ledger;
mod mapping;
pub mod nodes;
mod pieces;
mod populate;
mod prefault;
mod space;
pub mod store;
#[cfg(test)]
mod tests;
mod tree;

pub use bind::Binding;
pub use entry::{Entry, Facts};
pub use env::Env;
pub use fault::Access;
pub use mapping::Mapping;
pub use nodes::{Node, NodeIndex, SliceNodes};
pub use populate::{Source, Stopped};

use crate::platform::{Phase, Platform, Rule};
use index::Index;
pub use nodes::Nodes;
use store::Store;
use tenure_abi::{ContentMode, Error, Located, PAGE_SHIFT, PAGE_SIZE, PageSize, Place, Visibility};
use tenure_arch::lock::{Guard, Locked};

/// Names a file to its [`Env`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FileId(pub u64);

/// Pages of a file: never empty, never wrapping, inside the file they were made for ([`File::pages`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FilePages {
    first: u64,
    count: u64,
}

impl FilePages {
    /// The first page: its byte offset divided by 4 KiB.
    pub const fn first(self) -> u64 {
        self.first
    }

    /// How many pages: at least 1.
    pub const fn count(self) -> u64 {
        self.count
    }

    /// One past the last page.
    pub const fn end(self) -> u64 {
        self.first + self.count
    }

    const fn overlaps(self, other: Self) -> bool {
        self.first < other.end() && other.first < self.end()
    }

    /// What both have; `None` if nothing.
    fn common(self, other: Self) -> Option<Self> {
        Self::between(self.first.max(other.first), self.end().min(other.end()))
    }

    /// Pages `first .. end`; `None` if there are none.
    const fn between(first: u64, end: u64) -> Option<Self> {
        match end.checked_sub(first) {
            None | Some(0) => None,
            Some(count) => Some(Self { first, count }),
        }
    }

    const fn one(page: u64) -> Self {
        Self { first: page, count: 1 }
    }
}

/// Who decides whether a guest's access is to private memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tracking {
    /// This file, page by page; [`File::convert`] changes it.
    File,
    /// The guest's attributes, outside the file. The file's visibility is what it was created with and rules host access only.
    Guest,
}

/// How a file is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// The visibility of every page at the start.
    pub initially: Visibility,
    /// Who decides on private.
    pub tracking: Tracking,
    /// The largest frames to ask for where a whole one fits.
    pub largest: PageSize,
}

/// What went wrong in a file and was dealt with, since its creation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Pages withdrawn because nobody could say what the hardware holds; their offsets are unbacked.
    pub withdrawn: u64,
    /// Pages that firmware rewrote while it failed: they begin again as uninitialised.
    pub rewritten: u64,
    /// Pages whose assignment was refused and left to the first use.
    pub deferred: u64,
}

/// What the lock guards.
struct State<N, const BINDINGS: usize> {
    nodes: N,
    store: Store,
    index: Index,
    claims: claim::Claims,
    bindings: heapless::Vec<Binding, BINDINGS>,
    counts: Counts,
}

/// A memory file: one inode. Every process that maps it and every guest bound to it sees the same facts.
///
/// `BINDINGS` bounds how many pieces of guest memory the file can stand behind at once.
pub struct File<'e, E: Env, P: Platform, N: Nodes, const BINDINGS: usize = 1024> {
    id: FileId,
    pages: u64,
    options: Options,
    env: &'e E,
    platform: &'e P,
    state: Locked<State<N, BINDINGS>, E::Lock>,
}

/// A file's pages end where a signed 64-bit byte offset does.
const MAX_BYTES: u64 = 1 << 63;

impl<'e, E: Env, P: Platform, N: Nodes, const BINDINGS: usize> File<'e, E, P, N, BINDINGS> {
    /// An empty file of `bytes` bytes, whose trees grow in `nodes`.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a size of 0, one that is no multiple of 4 KiB, or one above 2^63 − 1.
    pub fn new(id: FileId, bytes: u64, options: Options, env: &'e E, platform: &'e P, nodes: N) -> Result<Self, Error> {
        if bytes == 0 || !bytes.is_multiple_of(PAGE_SIZE) || bytes >= MAX_BYTES {
            return Err(Error::Invalid);
        }
        let pages = bytes >> PAGE_SHIFT;
        let state = State {
            nodes,
            store: Store::new(pages, options.initially)?,
            index: Index::new(pages)?,
            claims: claim::Claims::new(),
            bindings: heapless::Vec::new(),
            counts: Counts::default(),
        };
        Ok(Self { id, pages, options, env, platform, state: Locked::new(state) })
    }

    /// Its name.
    pub const fn id(&self) -> FileId {
        self.id
    }

    /// Its size in bytes, which never changes.
    pub const fn bytes(&self) -> u64 {
        self.pages << PAGE_SHIFT
    }

    /// How it was made.
    pub const fn options(&self) -> Options {
        self.options
    }

    /// The pages of `len` bytes from byte `offset`.
    ///
    /// # Errors
    /// [`Error::Invalid`] if either is no multiple of 4 KiB, `len` is 0, or the range leaves the file.
    pub fn pages(&self, offset: u64, len: u64) -> Result<FilePages, Error> {
        let end = offset.checked_add(len).ok_or(Error::Invalid)?;
        if len == 0 || !(offset | len).is_multiple_of(PAGE_SIZE) || end > self.bytes() {
            return Err(Error::Invalid);
        }
        Ok(FilePages { first: offset >> PAGE_SHIFT, count: len >> PAGE_SHIFT })
    }

    /// The whole file.
    pub const fn all(&self) -> FilePages {
        FilePages { first: 0, count: self.pages }
    }

    /// The visibility of the page at byte `offset`.
    ///
    /// # Errors
    /// [`Error::Invalid`] beyond the end.
    pub fn visibility(&self, offset: u64) -> Result<Visibility, Error> {
        let page = offset >> PAGE_SHIFT;
        if page >= self.pages {
            return Err(Error::Invalid);
        }
        let state = self.lock();
        Ok(state.store.get(&state.nodes, page))
    }

    /// Whether all of `pages` are seen as `all`.
    pub fn is(&self, pages: FilePages, all: Visibility) -> bool {
        let state = self.lock();
        state.store.is(&state.nodes, pages.first, pages.count, all)
    }

    /// What `mode` costs on a conversion of `pages` to `to` now.
    pub fn rule(&self, pages: FilePages, to: Visibility, mode: ContentMode) -> Rule {
        let phase = self.lock().phase(pages);
        self.platform.capabilities().content.rule(phase, to, mode)
    }

    /// What went wrong so far.
    pub fn counts(&self) -> Counts {
        self.lock().counts
    }

    fn lock(&self) -> Guard<'_, State<N, BINDINGS>, E::Lock> {
        self.state.lock()
    }
}

impl<N: Nodes, const BINDINGS: usize> State<N, BINDINGS> {
    /// The phase that content promises are judged by: that of a running guest as soon as one may see the pages.
    fn phase(&self, pages: FilePages) -> Phase {
        let sees = |binding: &&Binding| binding.live() && binding.pages().overlaps(pages);
        let mut bound = self.bindings.iter().filter(sees).peekable();
        if bound.peek().is_some() && bound.all(|binding| binding.phase == Phase::Building) {
            Phase::Building
        } else {
            Phase::Running
        }
    }
}

/// `error`, blamed on `page`.
fn at(page: u64) -> impl Fn(Error) -> Located<Error> {
    move |error| Located { error, at: Place::FileOffset(page << PAGE_SHIFT) }
}
