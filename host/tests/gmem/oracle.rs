//! The oracle: the four facts and the contents of every page, by the rules alone, one page at a time.
//!
//! It knows nothing of trees, runs, claims or sizes. What it says of a call is exact: the answer, and every page afterwards.

use crate::calls::{Call, Outcome};
use tenure_abi::{ContentMode, Error, PageSize, Visibility};
use tenure_host::gmem::{Access, Tracking};
use tenure_host::platform::{Capabilities, Phase, Rule};

/// How a system is made.
#[derive(Clone, Copy)]
pub(crate) struct Setup {
    pub(crate) pages: u64,
    pub(crate) initially: Visibility,
    pub(crate) tracking: Tracking,
    pub(crate) largest: PageSize,
    /// Whether the platform enforces; otherwise bytes stay what they are.
    pub(crate) hardware: bool,
    pub(crate) capabilities: Capabilities,
    /// Whether each guest runs from the start.
    pub(crate) running: [bool; 2],
    pub(crate) frames: usize,
    pub(crate) nodes: usize,
    /// Whether frames of neighbours are never neighbours.
    pub(crate) scatter: bool,
}

/// What a page holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Bytes {
    /// Nobody may rely on it.
    Any,
    Is(u64),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[allow(clippy::struct_excessive_bools)] // Facts that do not follow from each other.
pub(crate) struct Page {
    pub(crate) shared: bool,
    pub(crate) backed: bool,
    pub(crate) init: bool,
    pub(crate) populated: bool,
    /// Shown to a guest that was being built.
    pub(crate) marked: bool,
    pub(crate) poisoned: bool,
    /// The guest that the hardware knows it as, and where.
    pub(crate) owner: Option<(usize, u64)>,
    pub(crate) bytes: Bytes,
    pub(crate) pinned: bool,
    /// What is held is a frame that stood behind it before.
    pub(crate) lingers: bool,
}

impl Page {
    pub(crate) fn unback(&mut self) {
        *self = Self { lingers: self.lingers || self.pinned, ..Self::fresh(self.shared) };
    }

    fn fresh(shared: bool) -> Self {
        Self {
            shared,
            backed: false,
            init: false,
            populated: false,
            marked: false,
            poisoned: false,
            owner: None,
            bytes: Bytes::Any,
            pinned: false,
            lingers: false,
        }
    }

    /// The bytes of its first user.
    pub(crate) fn begin(&mut self) {
        self.backed = true;
        if !self.init {
            (self.init, self.bytes) = (true, Bytes::Is(0));
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Bound {
    pub(crate) guest: usize,
    pub(crate) gfn: u64,
    pub(crate) first: u64,
    pub(crate) count: u64,
}

impl Bound {
    pub(crate) fn gfn_of(&self, page: u64) -> Option<u64> {
        (self.first..self.first + self.count).contains(&page).then(|| self.gfn + (page - self.first))
    }
}

#[derive(Clone)]
pub(crate) struct Oracle {
    pub(crate) setup: Setup,
    pub(crate) pages: Vec<Page>,
    pub(crate) bound: Vec<Bound>,
    pub(crate) running: [bool; 2],
    pub(crate) withdrawn: u64,
}

impl Oracle {
    pub(crate) fn new(setup: Setup) -> Self {
        let fresh = Page::fresh(setup.initially == Visibility::Shared);
        let pages = vec![fresh; usize::try_from(setup.pages).unwrap()];
        Self { setup, pages, bound: Vec::new(), running: setup.running, withdrawn: 0 }
    }

    pub(crate) fn page(&self, page: u64) -> &Page {
        &self.pages[usize::try_from(page).unwrap()]
    }

    pub(crate) fn page_mut(&mut self, page: u64) -> &mut Page {
        &mut self.pages[usize::try_from(page).unwrap()]
    }

    /// The page behind a guest frame.
    pub(crate) fn find(&self, guest: usize, gfn: u64) -> Option<u64> {
        let here = |bound: &&Bound| bound.guest == guest && (bound.gfn..bound.gfn + bound.count).contains(&gfn);
        self.bound.iter().find(here).map(|bound| bound.first + (gfn - bound.gfn))
    }

    /// Where the guests see a page.
    pub(crate) fn viewers(&self, page: u64) -> Vec<(usize, u64)> {
        self.bound.iter().filter_map(|bound| Some((bound.guest, bound.gfn_of(page)?))).collect()
    }

    pub(crate) fn rule(&self, first: u64, count: u64, to: Visibility, mode: ContentMode) -> Rule {
        let guests: Vec<usize> =
            (first..first + count).flat_map(|page| self.viewers(page)).map(|(guest, _)| guest).collect();
        let building = !guests.is_empty() && guests.iter().all(|guest| !self.running[*guest]);
        let phase = if building { Phase::Building } else { Phase::Running };
        self.setup.capabilities.content.rule(phase, to, mode)
    }

    /// What the hardware leaves of bytes that nobody asked it to keep.
    pub(crate) fn left(&self, bytes: Bytes) -> Bytes {
        if self.setup.hardware { Bytes::Any } else { bytes }
    }

    /// What a guest finds in a page that had bytes before it was the guest's.
    pub(crate) fn kept(&self, bytes: Bytes) -> Bytes {
        let keeps = self.setup.capabilities.content.rule(Phase::Running, Visibility::Private, ContentMode::Preserve);
        if keeps == Rule::Refused { self.left(bytes) } else { bytes }
    }

    pub(crate) fn phase(&self, guest: usize) -> Phase {
        if self.running[guest] { Phase::Running } else { Phase::Building }
    }

    /// What `call` does: its answer, and this state afterwards.
    pub(crate) fn apply(&mut self, call: &Call) -> Outcome {
        match *call {
            Call::Convert { first, count, to, mode } => self.convert(first, count, to, mode),
            Call::HostTouch { page, bytes } => self.host_touch(page, bytes),
            Call::GuestTouch { guest, gfn, access, bytes, .. } => match self.guest_touch(guest, gfn, access) {
                Ok(page) => {
                    if self.running[guest] {
                        self.page_mut(page).bytes = Bytes::Is(bytes);
                    }
                    Outcome::Ok
                }
                Err(error) => Outcome::Error(error),
            },
            Call::Populate { guest, gfn, count, ref source, .. } => {
                let mut each = (0..count).map(|n| (n, self.populate(guest, gfn + n, source.bytes(n))));
                let stopped = each.find_map(|(done, result)| result.err().map(|error| (done, error)));
                stopped.map_or(Outcome::Ok, |(done, error)| Outcome::Stopped(done, error))
            }
            Call::Punch { first, count } => {
                for page in first..first + count {
                    self.withdrawn += u64::from(self.page(page).poisoned);
                    self.page_mut(page).unback();
                }
                Outcome::Ok
            }
            Call::Allocate { first, count } => {
                (first..first + count).for_each(|page| self.page_mut(page).backed = true);
                Outcome::Ok
            }
            Call::Bind { guest, gfn, first, count } => self.bind(Bound { guest, gfn, first, count }),
            Call::Unbind { guest, gfn } => {
                let found = self.bound.iter().position(|bound| bound.guest == guest && bound.gfn == gfn);
                found.map_or(Outcome::Error(Error::NotFound), |at| {
                    self.bound.remove(at);
                    Outcome::Ok
                })
            }
            Call::Prefault { guest, gfn, count, access, .. } => self.prefault(guest, gfn, count, access),
            Call::Finish { guest } => self.finish(guest),
            Call::MemoryError { page } => match self.page_mut(page) {
                page if page.backed => {
                    page.poisoned = true;
                    Outcome::Ok
                }
                _ => Outcome::Error(Error::NotFound),
            },
            Call::Pin { page } => {
                let page = self.page_mut(page);
                page.pinned |= page.shared && page.backed && !page.lingers;
                Outcome::Ok
            }
            Call::Unpin { page } => {
                let page = self.page_mut(page);
                (page.pinned, page.lingers) = (false, false);
                Outcome::Ok
            }
        }
    }

    fn convert(&mut self, first: u64, count: u64, to: Visibility, mode: ContentMode) -> Outcome {
        let (range, shared) = (first..first + count, to == Visibility::Shared);
        let rule = self.rule(first, count, to, mode);
        if self.setup.tracking == Tracking::Guest || rule == Rule::Refused {
            return Outcome::At(first, Error::NotSupported);
        }
        if rule == Rule::Free && range.clone().all(|page| self.page(page).shared == shared) {
            return Outcome::Ok;
        }
        let held =
            |page: &u64| !shared && self.page(*page).shared && self.page(*page).backed && self.page(*page).pinned;
        if let Some(page) = range.clone().find(held) {
            return Outcome::At(page, Error::Busy);
        }
        for number in range {
            let eager = self.eager(number);
            let mut page = self.page(number).clone();
            let changes = page.shared != shared;
            page.shared = shared;
            let through_hardware = changes && (if shared { page.owner.is_some() } else { eager.is_some() });
            if through_hardware {
                page.owner = if shared { None } else { eager };
                page.bytes = match mode {
                    ContentMode::Unspecified => self.left(page.bytes),
                    ContentMode::Zero => Bytes::Is(0),
                    ContentMode::Preserve => page.bytes,
                };
            }
            if rule == Rule::PerPage && page.init && !page.poisoned {
                match mode {
                    ContentMode::Unspecified => page.bytes = Bytes::Any,
                    // A page that is not yet the guest's gets its zeroes when it becomes so.
                    ContentMode::Zero if !shared && page.owner.is_none() => {
                        (page.init, page.bytes) = (false, Bytes::Any);
                    }
                    ContentMode::Zero => page.bytes = Bytes::Is(0),
                    ContentMode::Preserve => {}
                }
            }
            *self.page_mut(number) = page;
        }
        Outcome::Ok
    }

    /// Whose a shared page becomes at once when it is made private.
    fn eager(&self, number: u64) -> Option<(usize, u64)> {
        let page = self.page(number);
        let viewers = self.viewers(number);
        let sole = viewers.first().filter(|(guest, _)| viewers.len() == 1 && self.running[*guest])?;
        let ready = page.init && !page.poisoned && self.setup.capabilities.assigns_on_conversion;
        ready.then_some(*sole)
    }

    fn host_touch(&mut self, number: u64, bytes: u64) -> Outcome {
        if number >= self.setup.pages {
            return Outcome::Error(Error::Fault);
        }
        let page = self.page_mut(number);
        if page.poisoned {
            return Outcome::Error(Error::Poisoned);
        }
        if !page.shared {
            return Outcome::Error(Error::Denied);
        }
        page.begin();
        page.bytes = Bytes::Is(bytes);
        Outcome::Ok
    }

    /// The page behind, if the guest may have it.
    fn guest_touch(&mut self, guest: usize, gfn: u64, access: Access) -> Result<u64, Error> {
        let number = self.find(guest, gfn).ok_or(Error::NotFound)?;
        let kept = self.kept(self.page(number).bytes);
        let (tracking, running) = (self.setup.tracking, self.running[guest]);
        let page = self.page_mut(number);
        if page.poisoned {
            return Err(Error::Poisoned);
        }
        let private = match (tracking, access) {
            (_, Access::Untold) => !page.shared,
            (Tracking::Guest, told) => told == Access::Private && !page.shared,
            (Tracking::File, told) if (told == Access::Private) == page.shared => return Err(Error::Denied),
            (Tracking::File, _) => !page.shared,
        };
        if private && page.owner.is_some_and(|(owner, _)| owner != guest) {
            return Err(Error::Denied);
        }
        page.backed = true;
        if private && !running {
            page.marked |= page.owner.is_none();
        } else if private && page.owner.is_none() {
            page.bytes = if page.init { kept } else { Bytes::Is(0) };
            (page.init, page.owner) = (true, Some((guest, gfn)));
        } else {
            page.begin();
        }
        Ok(number)
    }

    fn populate(&mut self, guest: usize, gfn: u64, source: Option<u64>) -> Result<(), Error> {
        let number = self.find(guest, gfn).ok_or(Error::NotFound)?;
        if self.running[guest] {
            return Err(Error::Invalid);
        }
        let tracking = self.setup.tracking;
        let page = self.page_mut(number);
        if tracking == Tracking::File && page.shared {
            return Err(Error::Invalid);
        }
        if page.poisoned {
            return Err(Error::Poisoned);
        }
        if page.populated || page.owner.is_some() || page.init && source.is_some() {
            return Err(Error::Exists);
        }
        page.begin();
        if let Some(bytes) = source {
            page.bytes = Bytes::Is(bytes);
        }
        (page.populated, page.owner) = (true, Some((guest, gfn)));
        Ok(())
    }

    fn bind(&mut self, new: Bound) -> Outcome {
        let overlaps = |old: &Bound| old.first < new.first + new.count && new.first < old.first + old.count;
        if self.bound.iter().any(|old| old.guest == new.guest && overlaps(old)) {
            return Outcome::Error(Error::Exists);
        }
        for number in new.first..new.first + new.count {
            let owner = self.page(number).owner;
            let there = |owner: &(usize, u64)| {
                self.viewers(number).contains(owner) || *owner == (new.guest, new.gfn + (number - new.first))
            };
            if owner.is_some_and(|owner| !there(&owner)) {
                let left = self.left(self.page(number).bytes);
                let page = self.page_mut(number);
                (page.owner, page.bytes) = (None, left);
            }
        }
        self.bound.push(new);
        self.bound.sort_by_key(|bound| (bound.guest, bound.first));
        Outcome::Ok
    }

    fn prefault(&mut self, guest: usize, gfn: u64, count: u64, access: Access) -> Outcome {
        for done in 0..count {
            if self.find(guest, gfn + done).is_none() {
                return Outcome::Stopped(done, Error::NotFound);
            }
            if !self.running[guest] && !self.setup.capabilities.prefault_while_building {
                return Outcome::Stopped(done, Error::NotSupported);
            }
            if let Err(error) = self.guest_touch(guest, gfn + done, access) {
                return Outcome::Stopped(done, error);
            }
        }
        Outcome::Ok
    }

    fn finish(&mut self, guest: usize) -> Outcome {
        let mut forgotten = Vec::new();
        let building = !self.running[guest];
        for bound in self.bound.clone().iter().filter(|bound| bound.guest == guest && building) {
            for number in bound.first..bound.first + bound.count {
                let tracking = self.setup.tracking;
                let elsewhere = self.viewers(number).iter().any(|(other, _)| *other != guest && !self.running[*other]);
                let page = self.page_mut(number);
                if page.marked && !page.populated && (!page.shared || tracking == Tracking::Guest) {
                    if page.owner.is_none_or(|(owner, _)| owner != guest) {
                        forgotten.push(bound.gfn + (number - bound.first));
                    }
                    page.init &= page.owner.is_some();
                }
                page.marked &= elsewhere;
            }
        }
        self.running[guest] = true;
        forgotten.sort_unstable();
        Outcome::Forgotten(forgotten)
    }
}
