//! The modelled machine: frames with bytes, page tables of processes and guests, references to frames.
//!
//! It trusts nobody. A fresh frame holds junk. A frame that is given back must not be mapped by anybody, and one that is
//! still referred to is used again only afterwards. Whatever a process or a guest has mapped it reaches without asking, so
//! that a mapping which should have gone shows in what they read. What is wrong is a panic: it is a mistake in the provider.

use super::Owner;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use tenure_abi::{FrameRange, Gfn, PageSize, Pfn, VmHandle};
use tenure_arch::lock::SpinLock;
use tenure_host::gmem::{Env, FileId, FilePages};
use tenure_host::platform::{Fault, Memory};

/// Bytes of a frame.
pub(super) const PAGE: usize = 0x1000;
/// The first frame's number: frame 0 is no frame of ours.
const FIRST: u64 = 0x100;
/// How many frames there are: 512 MiB.
const MOST: u64 = 1 << 17;

/// A frame's bytes and who counts on them.
struct Frame {
    bytes: Box<[u8; PAGE]>,
    /// Given out and not given back.
    used: bool,
    /// Long-term references.
    pins: u32,
    /// It lies in a batch of the kernel's, which is a reference that passes.
    batched: bool,
}

/// A process's mapping of one page of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Entry {
    pub(super) file: FileId,
    pub(super) page: u64,
    pub(super) pfn: u64,
}

/// What processes have mapped, in order.
pub(super) type HostTable = Vec<(Place, Entry)>;

/// What guests have mapped, in order.
pub(super) type GuestTable = Vec<((Owner, u64), u64)>;

/// Who has a page mapped, and where in which mapping.
pub(super) type Place = (u32, u32, u64);

#[derive(Default)]
struct State {
    frames: Vec<Frame>,
    free: Vec<u64>,
    /// Given back while somebody referred to them.
    limbo: BTreeSet<u64>,
    withdrawn: BTreeSet<u64>,
    host: BTreeMap<Place, Entry>,
    guests: BTreeMap<(Owner, u64), u64>,
    /// Zapped, and not flushed yet.
    stale: BTreeSet<u64>,
    junk: u64,
}

/// The machine.
#[derive(Default)]
pub(super) struct Frames(Mutex<State>);

impl State {
    fn frame(&mut self, pfn: u64) -> &mut Frame {
        let at = pfn.checked_sub(FIRST).and_then(|at| usize::try_from(at).ok());
        at.and_then(|at| self.frames.get_mut(at)).expect("a frame of this machine")
    }

    fn used(&mut self, pfn: u64) -> &mut Frame {
        let frame = self.frame(pfn);
        assert!(frame.used, "frame {pfn:#x} is not in use");
        frame
    }

    /// Junk that differs from call to call and is never zero.
    fn noise(&mut self) -> u8 {
        self.junk = self.junk.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.junk >> 56) as u8 | 1
    }

    fn take(&mut self) -> Option<u64> {
        let pfn = match self.free.pop() {
            Some(pfn) => pfn,
            None if self.frames.len() as u64 == MOST => return None,
            None => {
                let fresh = Frame { bytes: Box::new([0; PAGE]), used: false, pins: 0, batched: false };
                self.frames.push(fresh);
                FIRST + self.frames.len() as u64 - 1
            }
        };
        let noise = self.noise();
        let frame = self.frame(pfn);
        frame.used = true;
        frame.bytes.fill(noise);
        Some(pfn)
    }

    fn unmapped(&self, pfn: u64) {
        assert!(!self.host.values().any(|entry| entry.pfn == pfn), "frame {pfn:#x} goes while a process has it mapped");
        assert!(!self.guests.values().any(|mapped| *mapped == pfn), "frame {pfn:#x} goes while a guest has it mapped");
        assert!(!self.stale.contains(&pfn), "frame {pfn:#x} goes before a guest's translations are flushed");
    }

    fn release(&mut self, pfn: u64) {
        self.unmapped(pfn);
        let frame = self.used(pfn);
        frame.used = false;
        frame.batched = false;
        if frame.pins == 0 {
            self.free.push(pfn);
        } else {
            self.limbo.insert(pfn);
        }
    }
}

impl Frames {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A frame of zeroes for memory of a process.
    pub(super) fn anonymous(&self) -> Option<u64> {
        let mut state = self.state();
        let pfn = state.take()?;
        state.frame(pfn).bytes.fill(0);
        Some(pfn)
    }

    /// A process's memory is gone.
    pub(super) fn release(&self, pfn: u64) {
        self.state().release(pfn);
    }

    pub(super) fn load(&self, pfn: u64, at: u64) -> u8 {
        self.state().used(pfn).bytes[at as usize % PAGE]
    }

    pub(super) fn store(&self, pfn: u64, at: u64, value: u8) {
        self.state().used(pfn).bytes[at as usize % PAGE] = value;
    }

    /// What a process has mapped at a place.
    pub(super) fn host_entry(&self, place: Place) -> Option<u64> {
        self.state().host.get(&place).map(|entry| entry.pfn)
    }

    /// A process maps a page. The fault leaves a passing reference.
    pub(super) fn map_host(&self, place: Place, entry: Entry) {
        let mut state = self.state();
        state.used(entry.pfn).batched = true;
        state.host.insert(place, entry);
    }

    /// A process gives up what it has mapped at the places that `gone` picks.
    pub(super) fn unmap_host(&self, gone: impl Fn(&Place) -> bool) {
        self.state().host.retain(|place, _| !gone(place));
    }

    /// What a guest has mapped at a frame of it.
    pub(super) fn guest_entry(&self, guest: VmHandle, gfn: Gfn) -> Option<u64> {
        self.state().guests.get(&(guest.into(), gfn.number())).copied()
    }

    /// A guest maps a page.
    pub(super) fn map_guest(&self, guest: VmHandle, gfn: Gfn, pfn: Pfn) {
        let mut state = self.state();
        state.used(pfn.number());
        state.guests.insert((guest.into(), gfn.number()), pfn.number());
    }

    /// Somebody holds on to a frame.
    pub(super) fn pin(&self, pfn: u64) {
        self.state().used(pfn).pins += 1;
    }

    /// Lets go of it.
    pub(super) fn unpin(&self, pfn: u64) {
        let mut state = self.state();
        let frame = state.frame(pfn);
        frame.pins -= 1;
        if frame.pins == 0 && state.limbo.remove(&pfn) {
            state.free.push(pfn);
        }
    }

    /// How many frames are given out.
    pub(super) fn in_use(&self) -> usize {
        self.state().frames.iter().filter(|frame| frame.used).count()
    }

    /// Every mapping there is.
    pub(super) fn tables(&self) -> (HostTable, GuestTable) {
        let state = self.state();
        (state.host.iter().map(|(a, b)| (*a, *b)).collect(), state.guests.iter().map(|(a, b)| (*a, *b)).collect())
    }

    /// A digest of a frame's bytes.
    pub(super) fn digest(&self, pfn: u64) -> u64 {
        let mut state = self.state();
        let (words, _) = state.used(pfn).bytes.as_chunks::<8>();
        let mix = |digest: u64, word: &[u8; 8]| {
            (digest ^ u64::from_le_bytes(*word)).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(31)
        };
        words.iter().fold(0, mix)
    }
}

fn numbers(frames: FrameRange<Pfn>) -> std::ops::Range<u64> {
    let first = frames.first().number();
    first..first + frames.count()
}

impl Memory for Frames {
    fn zero(&self, frames: FrameRange<Pfn>) {
        let mut state = self.state();
        numbers(frames).for_each(|pfn| state.used(pfn).bytes.fill(0));
    }

    fn copy(&self, to: FrameRange<Pfn>, from: Pfn) {
        let mut state = self.state();
        for (at, pfn) in numbers(to).enumerate() {
            let bytes = state.used(from.number() + at as u64).bytes.clone();
            state.used(pfn).bytes = bytes;
        }
    }
}

impl Env for Frames {
    type Lock = SpinLock;

    fn page(&self, size: PageSize) -> Option<Pfn> {
        let pfn = if size == PageSize::Size4K { self.state().take()? } else { return None };
        Pfn::new(pfn).ok()
    }

    fn give_back(&self, pfn: Pfn, size: PageSize) {
        let mut state = self.state();
        (0..size.frames()).for_each(|n| state.release(pfn.number() + n));
    }

    fn withdraw(&self, pfn: Pfn, size: PageSize, _: Fault) {
        let mut state = self.state();
        for pfn in (0..size.frames()).map(|n| pfn.number() + n) {
            state.unmapped(pfn);
            state.used(pfn).used = false;
            state.withdrawn.insert(pfn);
        }
    }

    fn zap_host(&self, file: FileId, pages: FilePages) {
        let gone = |entry: &Entry| entry.file == file && (pages.first()..pages.end()).contains(&entry.page);
        self.state().host.retain(|_, entry| !gone(entry));
    }

    fn zap_guest(&self, guest: VmHandle, gfns: FrameRange<Gfn>) {
        let mut state = self.state();
        let first = gfns.first().number();
        let zapped = (guest.into(), first)..(guest.into(), first + gfns.count());
        let zapped: Vec<_> = state.guests.range(zapped).map(|(place, pfn)| (*place, *pfn)).collect();
        for (place, pfn) in zapped {
            state.guests.remove(&place);
            state.stale.insert(pfn);
        }
    }

    fn flush_guests(&self) {
        self.state().stale.clear();
    }

    fn drain_references(&self) {
        self.state().frames.iter_mut().for_each(|frame| frame.batched = false);
    }

    fn first_held(&self, frames: FrameRange<Pfn>) -> Option<u64> {
        let mut state = self.state();
        let held = numbers(frames).position(|pfn| {
            let frame = state.used(pfn);
            frame.batched || frame.pins != 0
        });
        held.map(|at| at as u64)
    }

    fn scramble(&self, frames: FrameRange<Pfn>) {
        let mut state = self.state();
        for pfn in numbers(frames) {
            for at in 0..PAGE {
                let noise = state.noise();
                state.used(pfn).bytes[at] = noise;
            }
        }
    }

    fn pause(&self, _: u32) -> bool {
        // One thread: nobody is there to wait for.
        false
    }
}
