//! The integrator's side: frames with bytes, mappings of host and guests, references. It refuses what must never happen.
//!
//! The contents of a page are one number here: 0 is zeroes, [`JUNK`] and above what nobody may rely on.

use crate::plan::{Failure, Plan, Step};
use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard};
use tenure_abi::{FrameRange, Gfn, PageSize, Pfn, Visibility, VmHandle};
use tenure_arch::lock::{RawLock, SpinLock};
use tenure_host::gmem::{Env, FileId, FilePages, Mapping};
use tenure_host::platform::{Fault, Memory};

/// The first frame: at a boundary of 2 MiB, and not of 1 GiB.
pub(crate) const BASE: u64 = 0x4_0200;
/// Bytes from here on are leftovers.
pub(crate) const JUNK: u64 = 1 << 32;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Free,
    /// In a file.
    Given,
    /// Kept from everybody.
    Withdrawn,
    /// The source of a guest's first bytes.
    Staged,
}

/// What the hardware says of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Owned {
    pub(crate) guest: VmHandle,
    pub(crate) gfn: u64,
    pub(crate) size: PageSize,
    pub(crate) detached: bool,
    pub(crate) fenced: bool,
}

#[derive(Clone, Copy)]
pub(crate) struct Frame {
    pub(crate) bytes: u64,
    pub(crate) place: Place,
    pub(crate) held: u32,
    /// How many mappings of processes and of guests show it.
    pub(crate) hosts: u32,
    pub(crate) guests: u32,
    pub(crate) owned: Option<Owned>,
    /// Nobody can say what the hardware holds; `Some(true)`: the guest has lost it at least.
    pub(crate) limbo: Option<bool>,
}

#[derive(Clone, Copy)]
pub(crate) struct HostMap {
    pub(crate) file: FileId,
    pub(crate) first: u64,
    pub(crate) count: u64,
    pub(crate) pfn: u64,
}

#[derive(Clone, Copy)]
pub(crate) struct GuestMap {
    pub(crate) guest: VmHandle,
    pub(crate) gfn: u64,
    pub(crate) count: u64,
    pub(crate) pfn: u64,
    pub(crate) visibility: Visibility,
    /// Removed, and not flushed yet: a CPU can still use it.
    zapped: bool,
    /// The guest is being built: no vCPU uses it.
    pub(crate) early: bool,
}

/// How often the file asked for something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) zap_host: u64,
    pub(crate) zap_guest: u64,
    pub(crate) flush: u64,
    pub(crate) drain: u64,
    pub(crate) held: u64,
    pub(crate) zero: u64,
    pub(crate) scramble: u64,
}

pub(crate) struct Inner {
    pub(crate) frames: Vec<Frame>,
    pub(crate) host: Vec<HostMap>,
    pub(crate) guests: Vec<GuestMap>,
    pub(crate) plan: Plan,
    pub(crate) asked: Asked,
    /// Frames whose bytes a call may change although somebody maps them.
    pub(crate) under_mapping: HashSet<u64>,
    pub(crate) reserved: HashSet<u64>,
    /// The platform wants every vCPU out of the guest first: how many flushes there had been.
    pub(crate) wants_kick: Option<u64>,
    /// The platform keeps a mark that it wants settled first.
    pub(crate) wants_settling: bool,
    junk: u64,
    nodes: i64,
    scatter: bool,
    patience: u32,
}

pub(crate) struct World {
    inner: Mutex<Inner>,
}

thread_local! {
    static LOCKED: Cell<bool> = const { Cell::new(false) };
}

/// A lock that knows on which thread it is held.
pub(crate) struct KnownLock(SpinLock);

// SAFETY: the lock inside keeps the promise; what is added is a note of the thread for itself.
unsafe impl RawLock for KnownLock {
    #[allow(clippy::declare_interior_mutable_const)] // As in the trait.
    const NEW: Self = Self(SpinLock::NEW);

    fn try_lock(&self, tries: u32) -> bool {
        let taken = self.0.try_lock(tries);
        LOCKED.set(taken || LOCKED.get());
        taken
    }

    fn lock(&self) {
        assert!(!LOCKED.get(), "a file takes its lock twice");
        self.0.lock();
        LOCKED.set(true);
    }

    unsafe fn unlock(&self) {
        LOCKED.set(false);
        // SAFETY: the caller holds the lock.
        unsafe { self.0.unlock() }
    }
}

/// What runs whenever a file asks the integrator or the platform something.
type Meanwhile = Option<Box<dyn FnMut()>>;

thread_local! {
    static MEANWHILE: RefCell<Meanwhile> = const { RefCell::new(None) };
}

/// From now on this runs at every question of a file on this thread, but not at its own.
pub(crate) fn meanwhile(what: Meanwhile) {
    MEANWHILE.set(what);
}

/// No method of the integrator or the platform is called under a file's lock.
pub(crate) fn outside_the_lock() {
    assert!(!LOCKED.get(), "called under a file's lock");
    if let Some(mut what) = MEANWHILE.take() {
        what();
        MEANWHILE.set(Some(what));
    }
}

pub(crate) fn index(pfn: u64) -> usize {
    usize::try_from(pfn.checked_sub(BASE).expect("a frame of ours")).unwrap()
}

impl Inner {
    pub(crate) fn frame(&mut self, pfn: u64) -> &mut Frame {
        &mut self.frames[index(pfn)]
    }

    pub(crate) fn leftovers(&mut self) -> u64 {
        self.junk += 1;
        JUNK + self.junk
    }

    pub(crate) fn host_maps(&self, pfn: u64) -> bool {
        self.frames[index(pfn)].hosts != 0
    }

    /// The guest mappings of a frame, also those removed and not flushed.
    pub(crate) fn guest_maps(&self, pfn: u64) -> impl Iterator<Item = &GuestMap> {
        let mapped = self.frames[index(pfn)].guests != 0;
        let all = if mapped { &self.guests[..] } else { &[] };
        all.iter().filter(move |map| (map.pfn..map.pfn + map.count).contains(&pfn))
    }

    /// Removes these mappings of processes.
    fn drop_host(&mut self, which: impl Fn(&HostMap) -> bool) {
        let Self { host, frames, .. } = self;
        host.retain(|map| {
            let gone = which(map);
            if gone {
                (map.pfn..map.pfn + map.count).for_each(|pfn| frames[index(pfn)].hosts -= 1);
            }
            !gone
        });
    }

    /// Removes these mappings of guests.
    fn drop_guests(&mut self, which: impl Fn(&GuestMap) -> bool) {
        let Self { guests, frames, .. } = self;
        guests.retain(|map| {
            let gone = which(map);
            if gone {
                (map.pfn..map.pfn + map.count).for_each(|pfn| frames[index(pfn)].guests -= 1);
            }
            !gone
        });
    }

    fn assert_unmapped(&self, pfn: u64, what: &str) {
        assert!(!self.host_maps(pfn), "{what} of frame {pfn:#x} that a process maps");
        assert!(!self.guests_use(pfn), "{what} of frame {pfn:#x} that a guest maps");
    }

    /// Whether a running guest maps a frame.
    pub(crate) fn guests_use(&self, pfn: u64) -> bool {
        self.guest_maps(pfn).any(|map| !map.early)
    }

    /// The host writes to a frame.
    fn write(&mut self, pfn: u64, bytes: u64) {
        let frame = *self.frame(pfn);
        assert_eq!(frame.place, Place::Given, "write to frame {pfn:#x}");
        assert!(frame.owned.is_none() && frame.limbo.is_none(), "write to the guest's frame {pfn:#x}");
        if !self.under_mapping.contains(&pfn) {
            self.assert_unmapped(pfn, "write");
        }
        self.frame(pfn).bytes = bytes;
    }

    fn find(&self, size: PageSize) -> Option<usize> {
        let step = usize::try_from(size.frames()).unwrap();
        let free = |frame: &Frame| frame.place == Place::Free && frame.held == 0;
        let first = usize::try_from(BASE.next_multiple_of(size.frames()) - BASE).unwrap();
        let mut starts = (first..self.frames.len().saturating_sub(step - 1)).step_by(step);
        let good = |start: &usize| self.frames[*start..*start + step].iter().all(free);
        if self.scatter && step == 1 { starts.rfind(good) } else { starts.find(good) }
    }
}

impl World {
    pub(crate) fn new(frames: usize, scatter: bool) -> Self {
        let frame =
            |n| Frame { bytes: JUNK + n, place: Place::Free, held: 0, hosts: 0, guests: 0, owned: None, limbo: None };
        let inner = Inner {
            frames: (0..frames as u64).map(frame).collect(),
            host: Vec::new(),
            guests: Vec::new(),
            plan: Plan::default(),
            asked: Asked::default(),
            under_mapping: HashSet::new(),
            reserved: HashSet::new(),
            wants_kick: None,
            wants_settling: false,
            junk: frames as u64,
            nodes: 0,
            scatter,
            patience: 3,
        };
        Self { inner: Mutex::new(inner) }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    pub(crate) fn step(&self, step: Step) -> Option<Failure> {
        self.lock().plan.step(step)
    }

    pub(crate) fn node_lent(&self, change: i64) {
        self.lock().nodes += change;
    }

    /// How many nodes are lent out.
    pub(crate) fn nodes(&self) -> i64 {
        self.lock().nodes
    }

    /// How often the file asks again before it gives up.
    pub(crate) fn be_patient(&self, patience: u32) {
        self.lock().patience = patience;
    }

    /// A frame with `bytes`, outside any file.
    pub(crate) fn stage(&self, bytes: u64) -> Pfn {
        let mut inner = self.lock();
        let free = inner.frames.iter().rposition(|frame| frame.place == Place::Free && frame.held == 0).unwrap();
        inner.frames[free] =
            Frame { bytes, place: Place::Staged, held: 0, hosts: 0, guests: 0, owned: None, limbo: None };
        Pfn::new(BASE + free as u64).unwrap()
    }

    /// How many frames are in such a place.
    pub(crate) fn count(&self, place: Place) -> u64 {
        self.lock().frames.iter().filter(|frame| frame.place == place).count() as u64
    }

    /// A process maps what it was given for `page`.
    pub(crate) fn map_host(&self, file: FileId, page: u64, mapping: Mapping) {
        let mut inner = self.lock();
        let count = mapping.size.frames();
        assert_eq!(mapping.visibility, Visibility::Shared, "a process maps a private page");
        assert!(mapping.pfn.number().is_multiple_of(count));
        let first = page - page % count;
        let same = |map: &HostMap| map.file == file && map.first < first + count && first < map.first + map.count;
        inner.drop_host(same);
        let pfn = mapping.pfn.number();
        (pfn..pfn + count).for_each(|pfn| inner.frame(pfn).hosts += 1);
        inner.host.push(HostMap { file, first, count, pfn });
    }

    /// A guest maps what it was given for `gfn`.
    pub(crate) fn map_guest(&self, guest: VmHandle, gfn: u64, mapping: Mapping, early: bool) {
        let mut inner = self.lock();
        let count = mapping.size.frames();
        assert!(mapping.pfn.number().is_multiple_of(count));
        let gfn = gfn - gfn % count;
        let same = |map: &GuestMap| map.guest == guest && map.gfn < gfn + count && gfn < map.gfn + map.count;
        inner.drop_guests(same);
        let (pfn, visibility) = (mapping.pfn.number(), mapping.visibility);
        (pfn..pfn + count).for_each(|pfn| inner.frame(pfn).guests += 1);
        let place = inner.guests.partition_point(|map| (map.guest.to_raw(), map.gfn) < (guest.to_raw(), gfn));
        inner.guests.insert(place, GuestMap { guest, gfn, count, pfn, visibility, zapped: false, early });
    }

    /// The frame that the host maps for `page`.
    pub(crate) fn host_map(&self, file: FileId, page: u64) -> Option<u64> {
        let inner = self.lock();
        let map = inner.host.iter().find(|map| map.file == file && (map.first..map.first + map.count).contains(&page));
        map.map(|map| map.pfn + (page - map.first))
    }

    /// The mapping of `gfn`, and its frame.
    pub(crate) fn guest_map(&self, guest: VmHandle, gfn: u64) -> Option<(GuestMap, u64)> {
        let inner = self.lock();
        let after = inner.guests.partition_point(|map| (map.guest.to_raw(), map.gfn) <= (guest.to_raw(), gfn));
        let map = inner.guests[..after].last().filter(|map| map.guest == guest && gfn < map.gfn + map.count)?;
        Some((*map, map.pfn + (gfn - map.gfn)))
    }
}

impl Memory for World {
    fn zero(&self, frames: FrameRange<Pfn>) {
        outside_the_lock();
        let mut inner = self.lock();
        inner.asked.zero += 1;
        (frames.first().number()..frames.end()).for_each(|pfn| inner.write(pfn, 0));
    }

    fn copy(&self, to: FrameRange<Pfn>, from: Pfn) {
        outside_the_lock();
        let mut inner = self.lock();
        for n in 0..to.count() {
            let bytes = inner.frame(from.number() + n).bytes;
            inner.write(to.first().number() + n, bytes);
        }
    }
}

impl Env for World {
    type Lock = KnownLock;

    fn page(&self, size: PageSize) -> Option<Pfn> {
        outside_the_lock();
        let mut inner = self.lock();
        if inner.plan.step(Step::Page).is_some() {
            return None;
        }
        let first = inner.find(size)?;
        for n in 0..usize::try_from(size.frames()).unwrap() {
            inner.frames[first + n].place = Place::Given;
            inner.frames[first + n].bytes = inner.leftovers();
        }
        Some(Pfn::new(BASE + first as u64).unwrap())
    }

    fn give_back(&self, pfn: Pfn, size: PageSize) {
        outside_the_lock();
        let mut inner = self.lock();
        for pfn in pfn.number()..pfn.number() + size.frames() {
            inner.assert_unmapped(pfn, "return");
            assert!(inner.guest_maps(pfn).next().is_none(), "return of frame {pfn:#x} that a guest being built maps");
            let bytes = inner.leftovers();
            let frame = inner.frame(pfn);
            assert_eq!(frame.place, Place::Given, "return of frame {pfn:#x}");
            assert!(frame.owned.is_none() && frame.limbo.is_none(), "return of the guest's frame {pfn:#x}");
            (frame.place, frame.bytes) = (Place::Free, bytes);
        }
    }

    fn withdraw(&self, pfn: Pfn, size: PageSize, _: Fault) {
        outside_the_lock();
        let mut inner = self.lock();
        for pfn in pfn.number()..pfn.number() + size.frames() {
            inner.assert_unmapped(pfn, "withdrawal");
            assert!(
                inner.guest_maps(pfn).next().is_none(),
                "withdrawal of frame {pfn:#x} that a guest being built maps"
            );
            let frame = inner.frame(pfn);
            assert_eq!(frame.place, Place::Given, "withdrawal of frame {pfn:#x}");
            frame.place = Place::Withdrawn;
        }
    }

    fn zap_host(&self, file: FileId, pages: FilePages) {
        outside_the_lock();
        let mut inner = self.lock();
        inner.asked.zap_host += 1;
        let touched =
            |map: &HostMap| map.file == file && map.first < pages.end() && pages.first() < map.first + map.count;
        inner.drop_host(touched);
    }

    fn zap_guest(&self, guest: VmHandle, gfns: FrameRange<Gfn>) {
        outside_the_lock();
        let mut inner = self.lock();
        inner.asked.zap_guest += 1;
        for map in &mut inner.guests {
            let touched = map.gfn < gfns.end() && gfns.first().number() < map.gfn + map.count;
            map.zapped |= map.guest == guest && touched;
        }
    }

    fn flush_guests(&self) {
        outside_the_lock();
        let mut inner = self.lock();
        inner.asked.flush += 1;
        inner.drop_guests(|map| map.zapped);
    }

    fn drain_references(&self) {
        outside_the_lock();
        self.lock().asked.drain += 1;
    }

    fn first_held(&self, frames: FrameRange<Pfn>) -> Option<u64> {
        outside_the_lock();
        let mut inner = self.lock();
        inner.asked.held += 1;
        (0..frames.count()).find(|n| inner.frame(frames.first().number() + n).held != 0)
    }

    fn scramble(&self, frames: FrameRange<Pfn>) {
        outside_the_lock();
        let mut inner = self.lock();
        inner.asked.scramble += 1;
        for pfn in frames.first().number()..frames.end() {
            let bytes = inner.leftovers();
            inner.write(pfn, bytes);
        }
    }

    fn pause(&self, attempt: u32) -> bool {
        outside_the_lock();
        attempt < self.lock().patience
    }
}
