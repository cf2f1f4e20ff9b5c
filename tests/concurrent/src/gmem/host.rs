//! The integrator's side of a file: frames, page tables and hardware entries, all of which say when they are misused.
//!
//! A frame knows what page it stands behind and what it holds. The hardware knows, as an RMP does, whose a frame is. An
//! access checks all of that at the moment it happens.

use crate::hardware::Lock;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use tenure_abi::{Error, FrameRange, Gfn, PageSize, Pfn, Run, VmHandle};
use tenure_host::gmem::{Env, FileId, FilePages};
use tenure_host::platform::{Capabilities, Content, ContentRules, Fault, Memory, Op, Platform, Progress, Rule, Sizes};
use tenure_machine::step::{Kind, Seam, fails, note, primitive, violation, wait};

/// Frames there are.
pub(super) const FRAMES: u64 = 12;
/// What a frame holds that nobody has written to since somebody else had it.
pub(super) const JUNK: u64 = 0x6a75_6e6b;

/// One frame.
#[derive(Clone, Copy, Debug, Default)]
pub struct Frame {
    /// Lent to the file.
    pub lent: bool,
    /// The guest and guest frame it is assigned to.
    pub assigned: Option<(VmHandle, Gfn)>,
    /// Its guest was cut off from it, by an invalidation that may not be complete.
    pub detached: bool,
    /// References that processes hold.
    pub pins: u32,
    /// Its bytes, as one word.
    pub holds: u64,
}

/// Everything that is not the file.
#[derive(Default)]
pub struct Tables {
    /// All frames.
    pub frames: [Frame; FRAMES as usize],
    /// What the host process has mapped: page to frame.
    pub host: BTreeMap<u64, Pfn>,
    /// What guests have mapped, and whether the frame was given as private.
    pub guests: BTreeMap<(VmHandle, Gfn), (Pfn, bool)>,
    /// Zapped, and still in some CPU's TLB.
    pub leaving: BTreeMap<(VmHandle, Gfn), (Pfn, bool)>,
}

/// The host machine.
pub struct Host {
    /// Held by one actor at a time and never across a primitive.
    tables: Mutex<Tables>,
    capabilities: Capabilities,
}

impl Host {
    /// All frames free, holding junk.
    pub fn new() -> Self {
        let mut tables = Tables::default();
        for frame in &mut tables.frames {
            frame.holds = JUNK;
        }
        let modes = [Rule::Free, Rule::PerPage, Rule::Free];
        let capabilities = Capabilities {
            sizes: Sizes::SIZE_4K,
            populate_sizes: Sizes::SIZE_4K,
            resize: false,
            content: ContentRules { table: [[modes; 2]; 2] },
            prefault_while_building: true,
            assigns_on_conversion: true,
        };
        Self { tables: Mutex::new(tables), capabilities }
    }

    /// Looks at or changes the tables; nobody else runs meanwhile.
    pub fn with<R>(&self, f: impl FnOnce(&mut Tables) -> R) -> R {
        f(&mut self.tables.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Tables {
    /// The frame `pfn`.
    ///
    /// # Panics
    /// If there is none such: the file made it up.
    pub fn frame(&mut self, pfn: Pfn) -> &mut Frame {
        &mut self.frames[usize::try_from(pfn.number()).expect("a frame of the tests")]
    }

    fn writable(&mut self, frames: FrameRange<Pfn>, what: &str) {
        for number in frames.first().number()..frames.end() {
            let pfn = Pfn::new(number).expect("a frame of the tests");
            let frame = *self.frame(pfn);
            // A private mapping of what is not assigned is that of a guest being built, which does not look at it yet.
            let looks = |&&(mapped, private): &&(Pfn, bool)| mapped == pfn && (!private || frame.assigned.is_some());
            let mut guests = self.guests.values().chain(self.leaving.values());
            let seen = self.host.values().any(|&mapped| mapped == pfn) || guests.any(|mapping| looks(&mapping));
            if !frame.lent || seen && frame.holds == JUNK {
                violation(format!("{what}: {pfn:?} is {frame:?}, mapped: {seen}"));
            }
        }
    }
}

impl Memory for Host {
    fn zero(&self, frames: FrameRange<Pfn>) {
        primitive(Kind::Frame);
        self.with(|tables| {
            tables.writable(frames, "zeroed");
            for number in frames.first().number()..frames.end() {
                tables.frames[number as usize].holds = 0;
            }
        });
    }

    fn copy(&self, to: FrameRange<Pfn>, from: Pfn) {
        primitive(Kind::Frame);
        self.with(|tables| {
            tables.writable(to, "copied to");
            tables.frame(to.first()).holds = from.number();
        });
    }
}

impl Env for Host {
    type Lock = Lock;

    fn page(&self, size: PageSize) -> Option<Pfn> {
        if size != PageSize::Size4K || fails(Seam::Block) {
            return None;
        }
        self.with(|tables| {
            let number = tables.frames.iter().position(|frame| !frame.lent && frame.pins == 0)?;
            tables.frames[number] = Frame { lent: true, holds: JUNK, ..Frame::default() };
            Pfn::new(number as u64).ok()
        })
    }

    fn give_back(&self, pfn: Pfn, _: PageSize) {
        primitive(Kind::Frame);
        self.with(|tables| {
            let frame = tables.frame(pfn);
            if !frame.lent || frame.assigned.is_some() {
                violation(format!("given back: {pfn:?} is {frame:?}"));
            }
            (frame.lent, frame.holds) = (false, JUNK);
        });
    }

    fn withdraw(&self, pfn: Pfn, _: PageSize, why: Fault) {
        violation(format!("{pfn:?} was withdrawn without a reason: {why:?}"));
    }

    fn zap_host(&self, _: FileId, pages: FilePages) {
        for page in pages.first()..pages.end() {
            primitive(Kind::Tlbi);
            self.with(|tables| tables.host.remove(&page));
        }
    }

    fn zap_guest(&self, guest: VmHandle, gfns: FrameRange<Gfn>) {
        for number in gfns.first().number()..gfns.end() {
            primitive(Kind::Tlbi);
            let at = (guest, Gfn::new(number).expect("a guest frame of the tests"));
            self.with(|tables| {
                if let Some(seen) = tables.guests.remove(&at) {
                    tables.leaving.insert(at, seen);
                }
            });
        }
    }

    fn flush_guests(&self) {
        primitive(Kind::Dsb);
        self.with(|tables| tables.leaving.clear());
    }

    fn drain_references(&self) {
        primitive(Kind::Dsb);
    }

    fn first_held(&self, frames: FrameRange<Pfn>) -> Option<u64> {
        primitive(Kind::Load);
        let held = |number: &u64| self.with(|tables| tables.frames[*number as usize].pins > 0);
        let found = (frames.first().number()..frames.end()).find(held)?;
        note("a reference was found");
        Some(found - frames.first().number())
    }

    fn pause(&self, attempt: u32) -> bool {
        wait();
        attempt < 20
    }
}

impl Platform for Host {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn reserve(&self, _: VmHandle, _: Run, _: Op) -> Result<(), Fault> {
        match fails(Seam::TablePage) {
            true => Err(Fault::of(Error::NoMemory)),
            false => Ok(()),
        }
    }

    fn resize(&self, _: VmHandle, run: Run, _: PageSize) -> Progress {
        violation(format!("{run:?} has entries of 4 KiB already"));
        Progress::Done
    }

    fn detach(&self, guest: VmHandle, run: Run) -> Progress {
        self.each(run, "detached", |frame, gfn| {
            let right = frame.assigned == Some((guest, gfn));
            frame.detached = true;
            right
        })
    }

    fn fence(&self, _: VmHandle) -> Result<(), Fault> {
        primitive(Kind::Dsb);
        Ok(())
    }

    fn transfer(&self, guest: VmHandle, run: Run, op: Op, content: Content) -> Progress {
        let host_sees = |pfn: Pfn| self.with(|tables| tables.host.values().any(|&mapped| mapped == pfn));
        let guest_sees = |pfn: Pfn| {
            self.with(|tables| {
                tables.guests.values().chain(tables.leaving.values()).any(|&(mapped, private)| mapped == pfn && private)
            })
        };
        let to_guest = matches!(op, Op::Populate(_) | Op::FirstUse | Op::ToPrivate);
        primitive(Kind::Frame);
        for number in run.frames().first().number()..run.frames().end() {
            let pfn = Pfn::new(number).expect("a frame of the tests");
            if to_guest && host_sees(pfn) || !to_guest && guest_sees(pfn) {
                violation(format!("{op:?}: somebody still sees {pfn:?}"));
            }
        }
        match content {
            Content::Zero => self.zero(run.frames()),
            Content::From(pfn) => self.copy(run.frames(), pfn),
            Content::Leave | Content::InPlace => {}
        }
        self.each(run, "transferred", |frame, gfn| {
            let right = match to_guest {
                true => frame.assigned.is_none(),
                false => frame.detached && frame.assigned == Some((guest, gfn)),
            };
            frame.assigned = to_guest.then_some((guest, gfn));
            frame.detached = false;
            right
        })
    }

    fn reattach(&self, _: VmHandle, run: Run) -> Progress {
        self.each(run, "reattached", |frame, _| core::mem::take(&mut frame.detached))
    }

    fn settle(&self, _: VmHandle) -> Result<(), Fault> {
        Ok(())
    }

    fn observe(&self, pfn: Pfn) -> Option<VmHandle> {
        self.with(|tables| tables.frame(pfn).assigned.map(|(guest, _)| guest))
    }

    fn recover(&self, _: Pfn) -> Result<(), Fault> {
        Err(Fault::of(Error::NotSupported))
    }
}

impl Host {
    /// Every frame of a run, which must be lent; `step` says whether it was right to do it.
    fn each(&self, run: Run, what: &str, step: impl Fn(&mut Frame, Gfn) -> bool) -> Progress {
        for done in 0..run.frames().count() {
            primitive(Kind::Store);
            let pfn = Pfn::new(run.frames().first().number() + done).expect("a frame of the tests");
            let gfn = Gfn::new(run.gfn().number() + done).expect("a guest frame of the tests");
            self.with(|tables| {
                let before = *tables.frame(pfn);
                if !step(tables.frame(pfn), gfn) || !before.lent {
                    violation(format!("{what}: {pfn:?} at {gfn:?} was {before:?}"));
                }
            });
        }
        Progress::Done
    }
}
