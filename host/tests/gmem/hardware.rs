//! An enforcer with an entry for every frame: owner, guest frame, size. Like an RMP it refuses to give a frame twice; like a TDX
//! module it wants a detachment and a fence before a frame comes back. A wrong question is a failure of the test.

use crate::plan::{Failure, Step};
use crate::world::{Inner, Owned, Place, World, outside_the_lock};
use tenure_abi::{Error, PageSize, Pfn, Run, VmHandle};
use tenure_host::platform::{
    Capabilities, Content, ContentRules, Fault, Here, Op, Platform, Progress, Retry, Rule, Sizes, Unenforced,
};

pub(crate) struct Hardware<'w> {
    world: &'w World,
    capabilities: Capabilities,
}

/// No promise costs nothing, zeroes to everybody cost the zeroing, and bytes survive on the way to a guest that is being built.
pub(crate) const RULES: ContentRules = ContentRules {
    table: [
        [[Rule::Free, Rule::Refused, Rule::PerPage], [Rule::Free, Rule::PerPage, Rule::Refused]],
        [[Rule::Free, Rule::Refused, Rule::Refused], [Rule::Free, Rule::PerPage, Rule::Refused]],
    ],
};

/// What a firmware-backed platform says of itself.
pub(crate) const CAPABILITIES: Capabilities = Capabilities {
    sizes: Sizes::SIZE_4K.union(Sizes::SIZE_2M),
    populate_sizes: Sizes::SIZE_4K,
    resize: true,
    content: RULES,
    prefault_while_building: false,
    assigns_on_conversion: true,
};

impl<'w> Hardware<'w> {
    pub(crate) const fn new(world: &'w World, capabilities: Capabilities) -> Self {
        Self { world, capabilities }
    }

    /// Does `one` for every entry of `run`, or as the plan says.
    fn each(
        &self,
        step: Step,
        run: Run,
        one: impl Fn(&mut Inner, u64, u64),
        lost: impl Fn(&mut Inner, u64, Here),
    ) -> Progress {
        outside_the_lock();
        let mut inner = self.world.lock();
        let size = run.hw().frames();
        assert!(run.frames().count().is_multiple_of(size), "part of an entry: {run:?}");
        assert!(run.frames().first().number().is_multiple_of(size), "part of an entry: {run:?}");
        assert!(run.gfn().number().is_multiple_of(size), "part of an entry: {run:?}");
        let kicked = inner.wants_kick.take().is_none_or(|flushes| inner.asked.flush > flushes);
        assert!(kicked, "{step:?} again before the vCPUs were kicked");
        assert!(!inner.wants_settling, "{step:?} again before the mark was settled");
        let entries = run.frames().count() / size;
        let failure = inner.plan.step(step);
        let good = failure.map_or(entries, |failure| failure.after.min(entries - 1));
        let (pfn, gfn) = (run.frames().first().number(), run.gfn().number());
        for n in 0..good * size {
            one(&mut inner, pfn + n, gfn + n);
        }
        let Some(Failure { here, retry, .. }) = failure else { return Progress::Done };
        for n in good * size..(good + 1) * size {
            lost(&mut inner, pfn + n, here);
        }
        match retry {
            Retry::AfterKick => inner.wants_kick = Some(inner.asked.flush),
            Retry::Owed => inner.wants_settling = true,
            Retry::No | Retry::Again => {}
        }
        let why = Fault { kind: Error::Internal, raw: 0x77, retry };
        Progress::Stopped { done: good * size, here, why }
    }

    fn give(&self, guest: VmHandle, run: Run, op: Op, content: Content) -> Progress {
        let sizes =
            if matches!(op, Op::Populate(_)) { self.capabilities.populate_sizes } else { self.capabilities.sizes };
        assert!(sizes.has(run.hw()), "an entry of {:?}", run.hw());
        let first = run.frames().first().number();
        let one = |inner: &mut Inner, pfn: u64, gfn: u64| {
            assert!(inner.reserved.contains(&pfn), "{op:?} of frame {pfn:#x} without a reservation");
            assert!(!inner.host_maps(pfn), "{op:?} of frame {pfn:#x} that a process maps");
            assert!(!inner.guests_use(pfn), "{op:?} of frame {pfn:#x} that a guest maps");
            let frame = *inner.frame(pfn);
            assert_eq!(frame.place, Place::Given, "{op:?} of frame {pfn:#x}");
            assert!(frame.owned.is_none(), "{op:?} of frame {pfn:#x}: {:?}", frame.owned);
            assert_ne!(frame.limbo, Some(false), "{op:?} of frame {pfn:#x} that nobody can vouch for");
            let bytes = match content {
                Content::Leave => inner.leftovers(),
                Content::Zero => 0,
                Content::From(from) => inner.frame(from.number() + (pfn - first)).bytes,
                Content::InPlace => frame.bytes,
            };
            let owned = Owned { guest, gfn, size: run.hw(), detached: false, fenced: false };
            *inner.frame(pfn) = crate::world::Frame { bytes, owned: Some(owned), limbo: None, ..frame };
        };
        self.each(Step::Transfer, run, one, lose)
    }

    fn take(&self, guest: VmHandle, run: Run, op: Op, content: Content) -> Progress {
        let one = |inner: &mut Inner, pfn: u64, gfn: u64| {
            assert!(!inner.host_maps(pfn), "{op:?} of frame {pfn:#x} that a process maps");
            assert!(!inner.guests_use(pfn), "{op:?} of frame {pfn:#x} that a guest maps");
            if inner.frame(pfn).limbo != Some(true) {
                let owned = owned(inner, guest, pfn, gfn, run.hw());
                assert!(owned.detached && owned.fenced, "{op:?} of frame {pfn:#x}: {owned:?}");
            }
            let bytes = match content {
                Content::Leave => inner.leftovers(),
                Content::Zero => 0,
                Content::InPlace => inner.frame(pfn).bytes,
                Content::From(_) => panic!("{op:?} with a source"),
            };
            let frame = inner.frame(pfn);
            (frame.owned, frame.limbo, frame.bytes) = (None, None, bytes);
        };
        self.each(Step::Transfer, run, one, lose)
    }
}

/// The hardware's word on a frame, which has to be what the caller thinks.
fn owned(inner: &mut Inner, guest: VmHandle, pfn: u64, gfn: u64, size: PageSize) -> Owned {
    let owned = inner.frame(pfn).owned.unwrap_or_else(|| panic!("frame {pfn:#x} is nobody's"));
    assert_eq!((owned.guest, owned.gfn, owned.size), (guest, gfn, size), "frame {pfn:#x}");
    owned
}

/// The frame of an entry at which an operation stopped.
fn lose(inner: &mut Inner, pfn: u64, here: Here) {
    let bytes = inner.leftovers();
    let frame = inner.frame(pfn);
    match here {
        Here::AsBefore => {}
        Here::Rewritten => frame.bytes = bytes,
        Here::Detached => (frame.owned, frame.limbo, frame.bytes) = (None, Some(true), bytes),
        Here::Unknown => (frame.limbo, frame.bytes) = (Some(false), bytes),
    }
}

impl Platform for Hardware<'_> {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn reserve(&self, _: VmHandle, run: Run, op: Op) -> Result<(), Fault> {
        outside_the_lock();
        let mut inner = self.world.lock();
        if inner.plan.step(Step::Reserve).is_some() {
            return Err(Fault { kind: Error::NoMemory, raw: 0x55, retry: Retry::No });
        }
        if !matches!(op, Op::ToShared | Op::Reclaim) {
            inner.reserved.extend(run.frames().first().number()..run.frames().end());
        }
        Ok(())
    }

    fn resize(&self, guest: VmHandle, run: Run, to: PageSize) -> Progress {
        assert!(self.capabilities.resize && to < run.hw(), "{run:?} to {to:?}");
        let one = |inner: &mut Inner, pfn: u64, gfn: u64| {
            let large = inner.guest_maps(pfn).any(|map| map.count > to.frames());
            assert!(!large, "frame {pfn:#x} is split under a large mapping");
            let owned = owned(inner, guest, pfn, gfn, run.hw());
            inner.frame(pfn).owned = Some(Owned { size: to, ..owned });
        };
        self.each(Step::Resize, run, one, lose)
    }

    fn detach(&self, guest: VmHandle, run: Run) -> Progress {
        let one = |inner: &mut Inner, pfn: u64, gfn: u64| {
            if inner.frame(pfn).limbo != Some(true) {
                let owned = owned(inner, guest, pfn, gfn, run.hw());
                assert!(!owned.detached, "frame {pfn:#x} is detached twice");
                inner.frame(pfn).owned = Some(Owned { detached: true, fenced: false, ..owned });
            }
        };
        self.each(Step::Detach, run, one, lose)
    }

    fn fence(&self, guest: VmHandle) -> Result<(), Fault> {
        outside_the_lock();
        let mut inner = self.world.lock();
        if inner.plan.step(Step::Fence).is_some() {
            return Err(Fault { kind: Error::Internal, raw: 0x66, retry: Retry::No });
        }
        for frame in &mut inner.frames {
            if let Some(owned) = frame.owned.as_mut().filter(|owned| owned.guest == guest) {
                owned.fenced |= owned.detached;
            }
        }
        Ok(())
    }

    fn transfer(&self, guest: VmHandle, run: Run, op: Op, content: Content) -> Progress {
        match op {
            Op::Populate(_) | Op::FirstUse | Op::ToPrivate => self.give(guest, run, op, content),
            Op::ToShared | Op::Reclaim => self.take(guest, run, op, content),
        }
    }

    fn reattach(&self, _: VmHandle, _: Run) -> Progress {
        panic!("nothing is given back to a guest that was cut off")
    }

    fn settle(&self, _: VmHandle) -> Result<(), Fault> {
        outside_the_lock();
        self.world.lock().wants_settling = false;
        match self.world.step(Step::Settle) {
            None => Ok(()),
            Some(_) => Err(Fault::of(Error::Internal)),
        }
    }

    fn observe(&self, pfn: Pfn) -> Option<VmHandle> {
        self.world.lock().frame(pfn.number()).owned.map(|owned| owned.guest)
    }

    fn recover(&self, _: Pfn) -> Result<(), Fault> {
        Err(Fault::of(Error::NotSupported))
    }
}

/// One of the two kinds of platform.
pub(crate) enum Enforcer<'w> {
    Hardware(Hardware<'w>),
    Nothing(Unenforced<'w, World>),
}

impl<'w> Enforcer<'w> {
    pub(crate) const fn new(world: &'w World, hardware: bool, capabilities: Capabilities) -> Self {
        if hardware {
            Self::Hardware(Hardware::new(world, capabilities))
        } else {
            Self::Nothing(Unenforced::with_content(world, capabilities.content))
        }
    }

    fn inner(&self) -> &dyn Platform {
        match self {
            Self::Hardware(hardware) => hardware,
            Self::Nothing(nothing) => nothing,
        }
    }
}

impl Platform for Enforcer<'_> {
    fn capabilities(&self) -> &Capabilities {
        self.inner().capabilities()
    }

    fn reserve(&self, guest: VmHandle, run: Run, op: Op) -> Result<(), Fault> {
        self.inner().reserve(guest, run, op)
    }

    fn resize(&self, guest: VmHandle, run: Run, to: PageSize) -> Progress {
        self.inner().resize(guest, run, to)
    }

    fn detach(&self, guest: VmHandle, run: Run) -> Progress {
        self.inner().detach(guest, run)
    }

    fn fence(&self, guest: VmHandle) -> Result<(), Fault> {
        self.inner().fence(guest)
    }

    fn transfer(&self, guest: VmHandle, run: Run, op: Op, content: Content) -> Progress {
        self.inner().transfer(guest, run, op, content)
    }

    fn reattach(&self, guest: VmHandle, run: Run) -> Progress {
        self.inner().reattach(guest, run)
    }

    fn settle(&self, guest: VmHandle) -> Result<(), Fault> {
        self.inner().settle(guest)
    }

    fn observe(&self, pfn: Pfn) -> Option<VmHandle> {
        self.inner().observe(pfn)
    }

    fn recover(&self, pfn: Pfn) -> Result<(), Fault> {
        self.inner().recover(pfn)
    }
}
