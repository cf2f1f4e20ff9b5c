//! A kernel in a few maps. Pages are backed when they are touched, and freed by holes; a call can be told to fail.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tenure_abi::gmem::{Attributes, CreateFlags, MemoryAttributes, MemoryAttributes2};
use tenure_abi::{AddressWidth, Errno, FrameRange, Gfn, Visibility};
use tenure_host::ram::{Failed, Kernel, Plain, Ram, Slot, Strategy};

#[derive(Default)]
pub(crate) struct State {
    pub(crate) slots: BTreeMap<u32, (u64, u64)>,
    /// Private guest frames, by attribute of the VM.
    pub(crate) private: BTreeSet<u64>,
    /// Private pages of files, and backed pages of files and of memory.
    pub(crate) in_file: BTreeSet<(u32, u64)>,
    pub(crate) backed: BTreeSet<(u32, u64)>,
    pub(crate) open: BTreeSet<u32>,
    next: u32,
    /// Calls so far.
    pub(crate) calls: u32,
    /// This call fails, this often, with this.
    pub(crate) fails: Option<(u32, Errno)>,
    /// The kernel is from before guest memory files: it knows none of their requests.
    pub(crate) old: bool,
    /// What a refused conversion blames.
    pub(crate) blames: Option<u64>,
}

#[derive(Clone, Default)]
pub(crate) struct Fake(Arc<Mutex<State>>);

/// A file or a mapping.
pub(crate) struct Thing(Fake, pub(crate) u32);

impl Drop for Thing {
    fn drop(&mut self) {
        let mut state = self.0.state();
        let id = self.1;
        assert!(state.open.remove(&id));
        state.backed.retain(|(which, _)| *which != id);
    }
}

impl Fake {
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn ram(&self, strategy: Strategy) -> Ram<Fake> {
        Ram::new(self.clone(), strategy, 1..9)
    }

    fn call(&self, name: &'static str) -> Result<MutexGuard<'_, State>, Failed> {
        let mut state = self.state();
        state.calls += 1;
        match state.fails {
            Some((at, errno)) if at == state.calls => Err(Failed::new(name, errno)),
            _ => Ok(state),
        }
    }

    fn newer(&self, name: &'static str) -> Result<(), Failed> {
        if self.state().old { Err(Failed::new(name, Errno::ENOTTY)) } else { Ok(()) }
    }

    fn thing(&self, name: &'static str) -> Result<Thing, Failed> {
        let mut state = self.call(name)?;
        state.next += 1;
        let id = state.next;
        state.open.insert(id);
        Ok(Thing(self.clone(), id))
    }
}

fn pages(offset: u64, bytes: u64) -> std::ops::Range<u64> {
    assert!((offset | bytes).is_multiple_of(0x1000) && bytes > 0, "{offset:#x} {bytes:#x}");
    offset >> 12..(offset + bytes) >> 12
}

impl Kernel for Fake {
    type File = Thing;
    type Memory = Thing;

    fn create_file(&self, bytes: u64, flags: CreateFlags) -> Result<Thing, Failed> {
        self.newer("create")?;
        let file = self.thing("create")?;
        if !flags.contains(CreateFlags::INIT_SHARED) {
            self.state().in_file.extend(pages(0, bytes).map(|page| (file.1, page)));
        }
        Ok(file)
    }

    fn map_file(&self, _: &Arc<Thing>, _: u64) -> Result<Thing, Failed> {
        self.thing("mmap")
    }

    fn plain(&self, _: u64, _: Plain) -> Result<Thing, Failed> {
        self.thing("memfd")
    }

    fn set_slot(&self, slot: &Slot<'_, Self>) -> Result<(), Failed> {
        let mut state = self.call("slot")?;
        assert!(state.slots.insert(slot.number, (slot.gpa, slot.bytes)).is_none(), "a slot is made twice");
        Ok(())
    }

    fn delete_slot(&self, number: u32) -> Result<(), Failed> {
        let mut state = self.call("slot")?;
        assert!(state.slots.remove(&number).is_some(), "no such slot");
        Ok(())
    }

    fn set_attributes(&self, asked: &MemoryAttributes) -> Result<(), Failed> {
        self.newer("attributes")?;
        let mut state = self.call("attributes")?;
        for gfn in pages(asked.address, asked.size) {
            if asked.attributes == Attributes::PRIVATE.bits() {
                state.private.insert(gfn);
            } else {
                state.private.remove(&gfn);
            }
        }
        Ok(())
    }

    fn convert(&self, file: &Thing, asked: &mut MemoryAttributes2) -> Result<(), Failed> {
        let mut state = self.call("convert").inspect_err(|_| {
            if let Some(offset) = self.state().blames {
                asked.error_offset = offset;
            }
        })?;
        for page in pages(asked.offset, asked.size) {
            if asked.attributes == Attributes::PRIVATE.bits() {
                state.in_file.insert((file.1, page));
            } else {
                state.in_file.remove(&(file.1, page));
            }
        }
        Ok(())
    }

    fn punch(&self, file: &Thing, offset: u64, bytes: u64) -> Result<(), Failed> {
        let mut state = self.call("punch")?;
        for page in pages(offset, bytes) {
            state.backed.remove(&(file.1, page));
        }
        Ok(())
    }

    fn discard(&self, memory: &Thing, offset: u64, bytes: u64) -> Result<(), Failed> {
        self.punch(memory, offset, bytes)
    }
}

pub(crate) fn gfns(first: u64, count: u64) -> FrameRange<Gfn> {
    FrameRange::new(Gfn::new(first).unwrap(), count, AddressWidth::MAX).unwrap()
}

pub(crate) fn gfn(number: u64) -> Gfn {
    Gfn::new(number).unwrap()
}

/// What the kernel thinks of a frame; every region in these tests has its file, if any, created before its memory.
pub(crate) fn truth(fake: &Fake, strategy: Strategy, file: u32, first: u64, at: u64) -> Visibility {
    let state = fake.state();
    let private = match strategy {
        Strategy::TwoBackings => state.private.contains(&at),
        _ => state.in_file.contains(&(file, at - first)),
    };
    if private { Visibility::Private } else { Visibility::Shared }
}
