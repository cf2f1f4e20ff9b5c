//! A file in its world beside its oracle. After each call the answer, every page and every mapping are compared.

use crate::calls::{Call, From, Outcome, STAGED};
use crate::hardware::Enforcer;
use crate::oracle::{Bytes, Oracle, Page, Setup};
use crate::plan::Failure;
use crate::pool::Pool;
use crate::world::{Place, World};
use std::cell::Cell;
use std::collections::HashMap;
use std::num::NonZeroU32;
use tenure_abi::{
    AddressWidth, FrameRange, Gfn, Located, PAGE_SHIFT, PageSize, Pfn, Place as At, Visibility, VmHandle, VmSlot,
};
use tenure_host::gmem::{Facts, File, FileId, FilePages, Options, Source, Tracking};
use tenure_host::platform::PageType;

pub(crate) type TestFile<'w> = File<'w, World, Enforcer<'w>, Pool<'w>, 40>;

pub(crate) struct System<'w> {
    pub(crate) world: &'w World,
    pub(crate) file: TestFile<'w>,
    pub(crate) oracle: Oracle,
    /// The frames that are held, by the page they stood behind.
    pins: HashMap<u64, u64>,
    stage: Vec<Pfn>,
}

pub(crate) fn vm(guest: usize) -> VmHandle {
    VmHandle::new(VmSlot::new(u16::try_from(guest).unwrap() + 1).unwrap(), NonZeroU32::MIN)
}

pub(crate) fn gfn(number: u64) -> Gfn {
    Gfn::new(number).unwrap()
}

pub(crate) fn gfns(first: u64, count: u64) -> FrameRange<Gfn> {
    FrameRange::new(gfn(first), count, AddressWidth::MAX).unwrap()
}

/// Runs `body` on a new system.
pub(crate) fn with<R>(setup: Setup, body: impl FnOnce(&mut System<'_>) -> R) -> R {
    let (world, reads) = (World::new(setup.frames, setup.scatter), Cell::new(0));
    let platform = Enforcer::new(&world, setup.hardware, setup.capabilities);
    body(&mut System::new(setup, &world, &platform, &reads))
}

impl<'w> System<'w> {
    pub(crate) fn new(setup: Setup, world: &'w World, platform: &'w Enforcer<'w>, reads: &'w Cell<u64>) -> Self {
        let options = Options { initially: setup.initially, tracking: setup.tracking, largest: setup.largest };
        let pool = Pool::new(world, setup.nodes, reads);
        let file = File::new(FileId(7), setup.pages << PAGE_SHIFT, options, world, platform, pool).unwrap();
        let stage = (0..3).map(|n| world.stage(STAGED + n)).collect();
        Self { world, file, oracle: Oracle::new(setup), pins: HashMap::new(), stage }
    }

    pub(crate) fn pages(&self, first: u64, count: u64) -> FilePages {
        self.file.pages(first << PAGE_SHIFT, count << PAGE_SHIFT).unwrap()
    }

    /// Makes the call, and compares everything with the oracle.
    pub(crate) fn check(&mut self, call: &Call) {
        let expected = self.oracle.clone().apply(call);
        let answer = self.run(call);
        assert_eq!(answer, expected, "{call:?}");
        self.oracle.apply(call);
        self.compare();
    }

    /// Makes the call on both sides, and compares nothing.
    pub(crate) fn quick(&mut self, call: &Call) {
        self.run(call);
        self.oracle.apply(call);
    }

    /// Makes the call on the file alone, with these steps failing.
    pub(crate) fn run_with(&mut self, call: &Call, failures: Vec<(usize, Failure)>) -> Outcome {
        self.world.lock().plan.start(failures);
        self.run(call)
    }

    /// Makes the call on the file alone.
    pub(crate) fn run(&mut self, call: &Call) -> Outcome {
        self.world.lock().reserved.clear();
        let located = |result: Result<(), Located<_>>| match result {
            Ok(()) => Outcome::Ok,
            Err(Located { error, at: At::FileOffset(offset) }) => Outcome::At(offset >> PAGE_SHIFT, error),
            Err(Located { error, .. }) => Outcome::Error(error),
        };
        let bare = |result: Result<(), _>| result.map_or_else(Outcome::Error, |()| Outcome::Ok);
        match *call {
            Call::Convert { first, count, to, mode } => {
                let same = |page: &u64| self.oracle.page(*page).shared == (to == Visibility::Shared);
                let unchanged = (first..first + count).filter(same).filter_map(|page| self.frame(page)).collect();
                self.world.lock().under_mapping = unchanged;
                let result = self.file.convert(self.pages(first, count), to, mode);
                self.world.lock().under_mapping.clear();
                located(result)
            }
            Call::HostTouch { page, bytes } => {
                let install = |mapping| self.world.map_host(self.file.id(), page, mapping);
                let result = self.file.host_fault(page << PAGE_SHIFT, install);
                if result.is_ok() {
                    let pfn = self.world.host_map(self.file.id(), page).expect("a fault that maps nothing");
                    self.world.lock().frame(pfn).bytes = bytes;
                }
                bare(result)
            }
            Call::GuestTouch { guest, gfn: number, access, largest, bytes } => {
                let early = !self.oracle.running[guest];
                let install = |mapping| self.world.map_guest(vm(guest), number, mapping, early);
                let result = self.file.guest_fault(vm(guest), gfn(number), access, largest, install);
                if result.is_ok() {
                    let (_, pfn) = self.world.guest_map(vm(guest), number).expect("a fault that maps nothing");
                    if self.oracle.running[guest] {
                        self.world.lock().frame(pfn).bytes = bytes;
                    }
                }
                bare(result)
            }
            Call::Populate { guest, gfn, count, source } => {
                let frames: Vec<Pfn> = self.stage.iter().copied().cycle().take(count as usize).collect();
                let source = match source {
                    From::Zero => Source::Zero,
                    From::InPlace => Source::InPlace,
                    From::Frames => Source::Frames(&frames),
                };
                let result = self.file.populate(vm(guest), gfns(gfn, count), PageType::Normal, source);
                result.map_or_else(|stopped| Outcome::Stopped(stopped.done, stopped.error), |()| Outcome::Ok)
            }
            Call::Punch { first, count } => located(self.file.punch(self.pages(first, count))),
            Call::Allocate { first, count } => located(self.file.allocate(self.pages(first, count))),
            Call::Bind { guest, gfn: number, first, count } => {
                let phase = self.oracle.phase(guest);
                bare(self.file.bind(vm(guest), gfn(number), self.pages(first, count), phase))
            }
            Call::Unbind { guest, gfn: number } => bare(self.file.unbind(vm(guest), gfn(number))),
            Call::Prefault { guest, gfn: first, count, access } => {
                let early = !self.oracle.running[guest];
                let install = |at: Gfn, mapping: tenure_host::gmem::Mapping| {
                    assert!(at.number().is_multiple_of(mapping.size.frames()), "a mapping begins at {at:?}");
                    self.world.map_guest(vm(guest), at.number(), mapping, early);
                };
                let result = self.file.prefault(vm(guest), gfns(first, count), access, PageSize::Size1G, install);
                result.map_or_else(|stopped| Outcome::Stopped(stopped.done, stopped.error), |()| Outcome::Ok)
            }
            Call::Finish { guest } => {
                let mut forgotten = Vec::new();
                let list = |gfns: FrameRange<Gfn>| forgotten.extend(gfns.first().number()..gfns.end());
                let result = self.file.finish(vm(guest), list);
                if result.is_ok() {
                    self.world
                        .lock()
                        .guests
                        .iter_mut()
                        .filter(|map| map.guest == vm(guest))
                        .for_each(|map| map.early = false);
                }
                forgotten.sort_unstable();
                result.map_or_else(Outcome::Error, |()| Outcome::Forgotten(forgotten))
            }
            Call::MemoryError { page } => bare(self.file.memory_error(page << PAGE_SHIFT)),
            Call::Pin { page } => {
                if self.oracle.page(page).shared
                    && !self.pins.contains_key(&page)
                    && let Some(pfn) = self.frame(page)
                {
                    self.world.lock().frame(pfn).held += 1;
                    self.pins.insert(page, pfn);
                }
                Outcome::Ok
            }
            Call::Unpin { page } => {
                if let Some(pfn) = self.pins.remove(&page) {
                    self.world.lock().frame(pfn).held -= 1;
                }
                Outcome::Ok
            }
        }
    }

    pub(crate) fn frame(&self, page: u64) -> Option<u64> {
        self.file.frame(page << PAGE_SHIFT).map(Pfn::number)
    }

    /// The bits of a page's mappings: the host's, and each guest's.
    pub(crate) fn mapped(&self, page: u64) -> (bool, [bool; 2]) {
        let guests = [0, 1].map(|guest| {
            let seen = self.oracle.viewers(page).into_iter().find(|(viewer, _)| *viewer == guest);
            seen.is_some_and(|(_, gfn)| self.world.guest_map(vm(guest), gfn).is_some())
        });
        (self.world.host_map(self.file.id(), page).is_some(), guests)
    }

    /// Everything against the oracle.
    pub(crate) fn compare(&self) {
        for (number, page) in (0..).zip(&self.oracle.pages) {
            self.compare_page(number, page);
        }
        assert_eq!(self.file.counts().withdrawn, self.oracle.withdrawn, "pages kept from everybody");
        self.sound();
    }

    fn compare_page(&self, number: u64, page: &Page) {
        let offset = number << PAGE_SHIFT;
        let facts = self.file.facts(offset).map(|(facts, _)| facts);
        let mut expected = Facts::empty();
        expected.set(Facts::INITIALISED, page.init);
        expected.set(Facts::POPULATED, page.populated);
        expected.set(Facts::ASSIGNED, page.owner.is_some());
        expected.set(Facts::MAPPED, page.marked);
        expected.set(Facts::POISONED, page.poisoned);
        assert_eq!(facts, page.backed.then_some(expected), "page {number}: {page:?}");
        let shared = self.file.visibility(offset).unwrap() == Visibility::Shared;
        assert_eq!(shared, page.shared, "visibility of page {number}");
        let Some(pfn) = self.frame(number) else { return };
        let frame = *self.world.lock().frame(pfn);
        if let (Bytes::Is(bytes), true, false) = (page.bytes, page.init, page.poisoned) {
            assert_eq!(frame.bytes, bytes, "bytes of page {number}");
        }
        if self.oracle.setup.hardware {
            let owned = frame.owned.map(|owned| (owned.guest, owned.gfn));
            assert_eq!(owned, page.owner.map(|(guest, gfn)| (vm(guest), gfn)), "owner of page {number}");
        }
    }

    /// What holds whatever happened: no frame is lost, the hardware agrees with the facts, no mapping shows what it must not.
    pub(crate) fn sound(&self) {
        let pages = 0..self.oracle.setup.pages;
        let backed = pages.clone().filter(|page| self.frame(*page).is_some()).count() as u64;
        assert_eq!(self.world.count(Place::Given), backed, "frames given out, and frames behind pages");
        assert_eq!(self.world.count(Place::Withdrawn), self.file.counts().withdrawn, "frames withdrawn, and counted");
        for page in pages {
            self.sound_page(page);
        }
        let (host, guests) = {
            let inner = self.world.lock();
            (inner.host.clone(), inner.guests.clone())
        };
        for map in &host {
            assert!(map.first + map.count <= self.oracle.setup.pages, "a process maps beyond the end");
        }
        for map in &guests {
            let guest = [0, 1].into_iter().find(|guest| vm(*guest) == map.guest).unwrap();
            for n in 0..map.count {
                let page = self.oracle.find(guest, map.gfn + n).expect("a guest maps what it does not see");
                assert_eq!(self.frame(page), Some(map.pfn + n), "a guest maps another frame for page {page}");
            }
        }
    }

    fn sound_page(&self, number: u64) {
        let offset = number << PAGE_SHIFT;
        let (pfn, facts) = (self.frame(number), self.file.facts(offset).map(|(facts, _)| facts));
        let private = self.file.visibility(offset).unwrap() == Visibility::Private;
        let owned = pfn.and_then(|pfn| self.world.lock().frame(pfn).owned);
        let assigned = facts.is_some_and(|facts| facts.contains(Facts::ASSIGNED));
        if self.oracle.setup.hardware {
            let limbo = pfn.and_then(|pfn| self.world.lock().frame(pfn).limbo);
            assert_eq!(limbo, None, "page {number} is in use although nobody can vouch for it");
            assert_eq!(owned.is_some(), assigned, "the hardware's word on page {number}: {owned:?}");
            assert!(owned.is_none_or(|owned| !owned.detached), "page {number} is left detached");
        }
        if self.oracle.setup.tracking == Tracking::File {
            assert!(private || !assigned, "page {number} is shared and a guest's");
        }
        if let Some(mapped) = self.world.host_map(self.file.id(), number) {
            assert_eq!(Some(mapped), pfn, "a process maps another frame for page {number}");
            assert!(!private, "a process maps the private page {number}");
            let facts = facts.unwrap();
            assert!(facts.contains(Facts::INITIALISED), "a process maps leftovers in page {number}");
            assert!(!facts.contains(Facts::POISONED), "a process maps the broken page {number}");
        }
        for bound in &self.oracle.bound {
            let Some(at) = bound.gfn_of(number) else { continue };
            let Some((map, mapped)) = self.world.guest_map(vm(bound.guest), at) else { continue };
            assert_eq!(Some(mapped), pfn, "a guest maps another frame for page {number}");
            let facts = facts.unwrap();
            assert!(!facts.contains(Facts::POISONED), "a guest maps the broken page {number}");
            if self.oracle.setup.tracking == Tracking::File {
                assert_eq!(map.visibility == Visibility::Private, private, "a guest's view of page {number}");
            }
            if self.oracle.running[bound.guest] && map.visibility == Visibility::Private {
                assert!(assigned, "a guest maps page {number} that is not its own");
                let whose = owned.is_none_or(|owned| (owned.guest, owned.gfn) == (vm(bound.guest), at));
                assert!(whose, "a guest maps page {number} of another");
                assert!(owned.is_none_or(|owned| owned.size.frames() >= map.count), "larger than the hardware's entry");
            }
            if self.oracle.running[bound.guest] {
                assert!(facts.contains(Facts::INITIALISED), "a guest maps leftovers in page {number}");
            }
        }
    }
}

/// Large files: first use works on as much as one hardware entry may hold.
impl System<'_> {
    /// The pages whose facts a call may have changed beyond what the oracle says: the 2 MiB around those it touches.
    fn around(&self, call: &Call) -> Vec<(u64, usize)> {
        let (guest, first, count) = match *call {
            Call::GuestTouch { guest, gfn, .. } => (guest, gfn, 1),
            Call::Prefault { guest, gfn, count, .. } => (guest, gfn, count),
            _ => return Vec::new(),
        };
        let touched = (first..first + count).filter_map(|gfn| self.oracle.find(guest, gfn));
        let mut around: Vec<u64> = touched.map(|page| page / 512 * 512).collect();
        around.dedup();
        around
            .into_iter()
            .flat_map(|first| first..(first + 512).min(self.oracle.setup.pages))
            .map(|page| (page, guest))
            .collect()
    }

    /// The oracle learns what first use did to neighbours of the page that was touched, as far as it was allowed to.
    pub(crate) fn adopt(&mut self, call: &Call) {
        for (page, guest) in self.around(call) {
            let Some((facts, size)) = self.file.facts(page << PAGE_SHIFT) else { continue };
            let seen = self.oracle.viewers(page).into_iter().find(|(viewer, _)| *viewer == guest);
            let kept = self.oracle.kept(self.oracle.page(page).bytes);
            let running = self.oracle.running[guest];
            let model = self.oracle.page_mut(page);
            if !model.backed {
                assert_eq!(size, PageSize::Size2M, "page {page} got a frame that nobody asked for");
                model.backed = true;
            }
            let assigned = facts.contains(Facts::ASSIGNED) && model.owner.is_none();
            if assigned {
                assert!(!model.shared && running, "page {page} was assigned");
                model.owner = Some(seen.expect("assigned to a guest that does not see it"));
                model.bytes = if model.init { kept } else { Bytes::Is(0) };
            }
            if facts.contains(Facts::INITIALISED) && !model.init {
                assert!(model.shared || assigned, "page {page} was zeroed");
                model.init = true;
                model.bytes = Bytes::Is(0);
            }
        }
    }

    /// A call ran out of frames or nodes: what it did before is what it may do.
    pub(crate) fn ran_out(&mut self, call: &Call, answer: &Outcome) {
        match (call, answer) {
            (Call::Allocate { first, .. }, Outcome::At(page, _)) => {
                (*first..*page).for_each(|page| self.oracle.page_mut(page).backed = true);
            }
            (Call::Prefault { guest, gfn, count: _, access }, Outcome::Stopped(done, _)) => {
                let (guest, gfn, count, access) = (*guest, *gfn, *done, *access);
                self.oracle.apply(&Call::Prefault { guest, gfn, count, access });
                self.backed_at(guest, gfn + done);
            }
            (Call::GuestTouch { guest, gfn, .. } | Call::Populate { guest, gfn, .. }, _) => {
                self.backed_at(*guest, *gfn);
            }
            (Call::HostTouch { page, .. }, _) => {
                let backed = self.frame(*page).is_some();
                self.oracle.page_mut(*page).backed |= backed;
            }
            (Call::Convert { .. } | Call::Punch { .. } | Call::MemoryError { .. } | Call::Bind { .. }, _) => {}
            _ => panic!("{call:?} ran out: {answer:?}"),
        }
    }

    fn backed_at(&mut self, guest: usize, gfn: u64) {
        if let Some(page) = self.oracle.find(guest, gfn) {
            let facts = self.file.facts(page << PAGE_SHIFT).map(|(facts, _)| facts);
            self.oracle.page_mut(page).backed |= facts.is_some();
        }
    }

    /// The pages that a call can have changed, against the oracle.
    pub(crate) fn compare_around(&self, call: &Call) {
        let range = match *call {
            Call::Convert { first, count, .. } | Call::Punch { first, count } | Call::Allocate { first, count } => {
                first..first + count
            }
            Call::Bind { first, count, .. } => first..first + count,
            Call::HostTouch { page, .. } | Call::MemoryError { page } => page..page + 1,
            _ => 0..0,
        };
        let around = self.around(call).into_iter().map(|(page, _)| page);
        for page in range.chain(around).step_by(7) {
            self.compare_page(page, self.oracle.page(page));
            self.sound_page(page);
        }
    }
}
