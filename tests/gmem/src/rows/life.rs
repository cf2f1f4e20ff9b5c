//! A guest that asks for conversions, a VMM that obeys: with private memory beside the shared one, and in place.
//!
//! The guest has 2 MiB and a page. Ranges of 2 MiB are touched at a few pages: first, second, middle, last, and beside
//! the range.

use super::trial::{GPA, Outcome, PAGE, SHARED, SLOT, Trial, same, works};
use super::{Row, needs, row};
use crate::target::{Called, Fault, FileId, MappingId, Personality, ProcessId, VmId};
use std::ops::Range;
use tenure_abi::gmem::hypercall::MAP_GPA_RANGE;
use tenure_abi::gmem::{
    Attributes, Capability, ContentFlags, CreateFlags, EnableCapability, HypercallExit, MapGpaAttributes,
    MemoryAttributes, MemoryAttributes2, VmType,
};

/// Pages the guest has.
const PAGES: u64 = 513;
/// The ranges that are converted, in pages.
const RANGES: [Range<u64>; 5] = [0..1, 0..512, 1..2, 1..513, 512..513];

/// The rows.
pub(super) const ROWS: &[Row] = &[
    row("GM-66", "before any conversion guest and host share the memory", needs::private_memory, |trial| {
        each(trial, Step::Start, false)
    }),
    row("GM-67", "what the guest writes privately the host does not see", needs::private_memory, |trial| {
        each(trial, Step::ToPrivate, false)
    }),
    row("GM-68", "a conversion leaves the guest's other pages alone", needs::private_memory, |trial| {
        each(trial, Step::Isolation, false)
    }),
    row("GM-69", "odd pages come back to shared one by one", needs::private_memory, |trial| {
        each(trial, Step::OddBack, false)
    }),
    row("GM-70", "all pages come back to shared", needs::private_memory, |trial| each(trial, Step::AllBack, false)),
    row("GM-71", "the same while every conversion allocates and frees", needs::private_memory, |trial| {
        each(trial, Step::AllBack, true)
    }),
    row("GM-72", "a hole in private memory that was touched everywhere is zero", needs::private_memory, |trial| {
        holes(trial, true)
    }),
    row("GM-73", "a hole in private memory that was touched only there is zero", needs::private_memory, |trial| {
        holes(trial, false)
    }),
    row("GM-74", "a file outlives its VM", needs::nothing, outlives),
];

/// How far a guest's life goes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Start,
    ToPrivate,
    Isolation,
    OddBack,
    AllBack,
}

/// A guest and its memory.
struct Life {
    vm: VmId,
    file: FileId,
    /// What the host sees: memory of its own, or the file.
    host: MappingId,
    in_place: bool,
    /// Whether conversions to private allocate and conversions to shared free.
    allocate: bool,
}

impl Life {
    fn new(trial: &mut Trial, allocate: bool) -> Outcome<Self> {
        let in_place = trial.target.machine().in_place;
        let vm = trial.vm(VmType::SW_PROTECTED)?;
        let enable = EnableCapability::new(Capability::EXIT_HYPERCALL, 1 << MAP_GPA_RANGE);
        works("asking for hypercalls", trial.target.enable(vm, &enable))?;
        let file = trial.file(vm, PAGES * PAGE, if in_place { SHARED } else { CreateFlags::empty() })?;
        let host = if in_place {
            trial.map(file, PAGES * PAGE)?
        } else {
            works("memory", trial.target.anonymous(PAGES * PAGE))?
        };
        trial.bind(vm, file, PAGES * PAGE, Some(host))?;
        Ok(Self { vm, file, host, in_place, allocate })
    }

    /// The guest asks, the VMM sees what was asked and does it.
    fn convert(&self, trial: &mut Trial, pages: &Range<u64>, private: bool) -> Outcome {
        let (offset, bytes) = (pages.start * PAGE, (pages.end - pages.start) * PAGE);
        let attributes = if private { MapGpaAttributes::ENCRYPTED } else { MapGpaAttributes::empty() };
        let arguments = [GPA + offset, bytes / PAGE, attributes.bits()];
        let called = trial.target.hypercall(self.vm, MAP_GPA_RANGE as u32, arguments.map(|a| a as u32), 0);
        let [a, b, c] = arguments;
        let seen = HypercallExit { number: MAP_GPA_RANGE, arguments: [a, b, c, 0, 0, 0], reply: 0, flags: 0 };
        same("the guest's request", called, Ok(Called { exit: Some(seen), result: 0 }))?;
        if self.allocate && private {
            works("allocating", trial.target.allocate(self.file, 1, offset, bytes))?;
        }
        let to = if private { Attributes::PRIVATE } else { Attributes::empty() };
        if self.in_place {
            let mut request = MemoryAttributes2::new(offset, bytes, to);
            if trial.target.machine().personality == Personality::RfcV5 {
                // There contents are kept on request only.
                request.flags = ContentFlags::PRESERVE.bits();
            }
            works("converting", trial.target.set_attributes2(self.file, Some(&mut request)))?;
        } else {
            works("converting", trial.target.set_attributes(self.vm, &MemoryAttributes::new(GPA + offset, bytes, to)))?;
        }
        if self.allocate && !private {
            trial.punch(self.file, offset, bytes)?;
        }
        Ok(())
    }

    fn guest_stores(&self, trial: &mut Trial, pages: &[u64], value: u8) -> Outcome {
        pages.iter().try_for_each(|page| trial.guest_store(self.vm, GPA + page * PAGE, value))
    }

    fn guest_finds(&self, trial: &mut Trial, pages: &[u64], value: u8) -> Outcome {
        pages.iter().try_for_each(|page| trial.guest_finds(self.vm, GPA + page * PAGE, value))
    }

    fn host_stores(&self, trial: &mut Trial, pages: &[u64], value: u8) -> Outcome {
        pages.iter().try_for_each(|page| trial.store(self.host, page * PAGE, value))
    }

    fn host_finds(&self, trial: &mut Trial, pages: &[u64], value: u8) -> Outcome {
        pages.iter().try_for_each(|page| trial.finds(self.host, page * PAGE, value))
    }
}

/// A few pages of a range: its ends, their neighbours, its middle.
fn some(pages: &Range<u64>) -> Vec<u64> {
    let (first, last) = (pages.start, pages.end - 1);
    let mut some: Vec<_> = [first, first + 1, first.midpoint(last), last.saturating_sub(1), last].into();
    some.retain(|page| pages.contains(page));
    some.dedup();
    some
}

/// A few pages outside a range.
fn others(pages: &Range<u64>) -> Vec<u64> {
    let mut all: Vec<_> = [0, 1, 2, 255, 256, 510, 511, 512, pages.end].into();
    all.retain(|page| !pages.contains(page) && *page < PAGES);
    all
}

fn each(trial: &mut Trial, until: Step, allocate: bool) -> Outcome {
    for range in RANGES {
        let life = Life::new(trial, allocate)?;
        live(trial, &life, &range, until).map_err(|seen| format!("pages {range:?}: {seen}"))?;
        trial.target.reset();
    }
    Ok(())
}

fn live(trial: &mut Trial, life: &Life, range: &Range<u64>, until: Step) -> Outcome {
    let (inside, outside) = (some(range), others(range));
    let all = [inside.clone(), outside.clone()].concat();
    life.guest_stores(trial, &all, 0xaa)?;
    life.host_finds(trial, &all, 0xaa)?;
    life.host_stores(trial, &all, 0xcc)?;
    life.guest_finds(trial, &all, 0xcc)?;
    if until == Step::Start {
        return Ok(());
    }
    life.guest_stores(trial, &inside, 0x11)?;
    life.convert(trial, range, true)?;
    life.guest_stores(trial, &inside, 0x22)?;
    if life.in_place {
        for at in inside.iter().map(|page| page * PAGE) {
            let load = trial.target.load(ProcessId::VMM, life.host, at);
            same("host load from a private page", load, Err(Fault::bus(at)))?;
        }
    } else {
        life.host_finds(trial, &inside, 0x11)?;
    }
    if until == Step::ToPrivate {
        return Ok(());
    }
    life.guest_finds(trial, &inside, 0x22)?;
    life.guest_finds(trial, &outside, 0xcc)?;
    life.host_finds(trial, &outside, 0xcc)?;
    if until == Step::Isolation {
        return Ok(());
    }
    for page in inside.iter().copied().filter(|page| (page - range.start) % 2 == 1) {
        life.convert(trial, &(page..page + 1), false)?;
        life.host_finds(trial, &[page], shared_again(life))?;
        life.host_stores(trial, &[page], 0x33)?;
        life.guest_finds(trial, &[page], 0x33)?;
    }
    if until == Step::OddBack {
        return Ok(());
    }
    life.convert(trial, range, false)?;
    life.guest_stores(trial, &inside, 0x33)?;
    life.host_finds(trial, &inside, 0x33)?;
    life.host_stores(trial, &inside, 0x44)?;
    life.guest_finds(trial, &inside, 0x44)?;
    life.guest_finds(trial, &outside, 0xcc)
}

/// What the host finds in a page that held 0x11 shared, then 0x22 private, and is shared again.
fn shared_again(life: &Life) -> u8 {
    match (life.in_place, life.allocate) {
        (false, _) => 0x11,
        (true, false) => 0x22,
        // Freed with the conversion: it is the same page.
        (true, true) => 0,
    }
}

fn holes(trial: &mut Trial, everywhere: bool) -> Outcome {
    for range in RANGES {
        let life = Life::new(trial, false)?;
        life.convert(trial, &(0..PAGES), true)?;
        let (inside, outside) = (some(&range), others(&range));
        let touched = if everywhere { &outside[..] } else { &[] };
        life.guest_stores(trial, &[&inside, touched].concat(), 0xcc)?;
        trial.punch(life.file, range.start * PAGE, (range.end - range.start) * PAGE)?;
        life.guest_finds(trial, &inside, 0)?;
        life.guest_finds(trial, touched, 0xcc)?;
        trial.target.reset();
    }
    Ok(())
}

fn outlives(trial: &mut Trial) -> Outcome {
    for kind in super::create::kinds(trial) {
        let vm = trial.vm(kind)?;
        let file = trial.file(vm, PAGES * PAGE, CreateFlags::empty())?;
        let slot = trial.slot(file, PAGES * PAGE, None);
        if kind == VmType::SW_PROTECTED {
            works("binding", trial.target.set_region2(vm, &slot))?;
            trial.unbind(vm, SLOT)?;
        }
        trial.target.close_vm(vm);
        trial.punch(file, 0, PAGES * PAGE)?;
        works("allocating", trial.target.allocate(file, 1, 0, PAGES * PAGE))?;
    }
    Ok(())
}
