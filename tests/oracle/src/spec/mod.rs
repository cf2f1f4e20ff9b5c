//! The state of the specification, and what a call may look at before any page's state.
//!
//! Every fact is a set or a map of its own; nothing is packed and nothing is derived twice. The
//! transitions are in the submodules, a method each. A transition answers an error at the first page
//! that refuses, or [`Done`]; a refused call has changed nothing.
//!
//! Which error, when several would do:
//!
//! | rank | class | error | place |
//! |---|---|---|---|
//! | 1 | malformed: empty, wrapping, beyond the address width | `Invalid` | the call |
//! | 2 | the host range crosses an edge of memory | `Invalid` | its first page that is not memory |
//! | 3 | the host range is not memory | `NotMemory` (`Fault` for a forced reclaim) | its first page |
//! | 4 | state, page by page, a page completely before the next | as the row says | the page that refuses |
//!
//! A transition knows pages, not promises: which kind of VM may ask for what, and in which phase of
//! its life, is decided one layer above, in [`crate::op`].

mod guest;
mod host;
mod reclaim;
mod vm;

pub use vm::{Vm, VmKind};

use std::collections::{BTreeMap, BTreeSet};
use tenure_abi::{Borrower, Error, Frame, Gfn, Located, Owner, PageState, Pfn, VmSlot};

/// `count` frames from `first`, as they arrive from outside: unchecked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Number of the first frame.
    pub first: u64,
    /// How many.
    pub count: u64,
}

/// What a transition did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Done {
    /// How many pages it did: all of them.
    pub pages: u64,
    /// The pages that had to be zeroed before their new owner saw them.
    pub scrubbed: BTreeSet<Pfn>,
}

/// What a transition answers.
pub type Answer = Result<Done, Located<Error>>;

/// Where the counters end. The facts give 65,535 pins and 4,294,967,295 mappings; an implementation may have less.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Pins on one page that is shared with the hypervisor.
    pub pins: u16,
    /// Mappings of one page in non-protected guests.
    pub mappings: u32,
    /// References on one page of the hypervisor.
    pub references: u32,
}

/// The machine: what does not change.
#[derive(Clone, Debug)]
pub struct Machine {
    /// RAM as `first..end` frame numbers: ascending, neither overlapping nor touching.
    pub ram: Vec<(u64, u64)>,
    /// One past the last host frame number of the address width.
    pub pfn_end: u64,
    /// One past the last guest frame number.
    pub gfn_end: u64,
    /// Where the counters end.
    pub limits: Limits,
}

/// Who owns what, who borrows what.
#[derive(Clone, Debug)]
pub struct Spec {
    /// The machine.
    pub machine: Machine,
    /// The owner of every page of RAM.
    pub owner: BTreeMap<Pfn, Owner>,
    /// Host pages that the hypervisor may pin.
    pub lent_to_hyp: BTreeSet<Pfn>,
    /// How often the hypervisor holds a page lent to it; no entry means 0.
    pub pins: BTreeMap<Pfn, u16>,
    /// How often the hypervisor uses a page of its own; no entry means 0.
    pub references: BTreeMap<Pfn, u32>,
    /// Host pages mapped into guests that do not own them.
    pub lent_to_guests: BTreeSet<(Pfn, VmSlot, Gfn)>,
    /// Guest pages that the host may touch.
    pub lent_to_host: BTreeSet<Pfn>,
    /// What each guest sees, owned or borrowed.
    pub guest_map: BTreeMap<(VmSlot, Gfn), Pfn>,
    /// Guest addresses burnt by a forced reclaim.
    pub poisoned: BTreeSet<(VmSlot, Gfn)>,
    /// The VMs there are.
    pub vms: BTreeMap<VmSlot, Vm>,
}

impl Spec {
    /// The state at boot: all RAM is the host's, exclusively.
    pub fn new(machine: Machine) -> Self {
        let pages = machine.ram.iter().flat_map(|&(first, end)| first..end);
        let owner = pages.filter_map(|n| Pfn::new(n).ok()).map(|pfn| (pfn, Owner::Host)).collect();
        Self {
            machine,
            owner,
            lent_to_hyp: BTreeSet::new(),
            pins: BTreeMap::new(),
            references: BTreeMap::new(),
            lent_to_guests: BTreeSet::new(),
            lent_to_host: BTreeSet::new(),
            guest_map: BTreeMap::new(),
            poisoned: BTreeSet::new(),
            vms: BTreeMap::new(),
        }
    }

    /// The state of one page in the words every room shares.
    pub fn page(&self, pfn: Pfn) -> PageState {
        let Some(&owner) = self.owner.get(&pfn) else {
            return PageState::Absent;
        };
        let with = if self.lent_to_hyp.contains(&pfn) {
            Borrower::Hyp { pins: self.pins_of(pfn) }
        } else if self.lent_to_host.contains(&pfn) {
            Borrower::Host
        } else {
            match self.mappings_of(pfn) {
                0 => return PageState::Exclusive(owner),
                mappings => Borrower::Guests { mappings },
            }
        };
        PageState::Shared { owner, with }
    }

    /// How often the hypervisor holds this page.
    pub fn pins_of(&self, pfn: Pfn) -> u16 {
        self.pins.get(&pfn).copied().unwrap_or(0)
    }

    /// How often the hypervisor uses this page of its own.
    pub fn references_of(&self, pfn: Pfn) -> u32 {
        self.references.get(&pfn).copied().unwrap_or(0)
    }

    /// How many mappings of this page exist in guests that do not own it.
    pub fn mappings_of(&self, pfn: Pfn) -> u32 {
        let (vm, gfn) = (VmSlot::new(0), Gfn::new(0));
        let (Ok(vm), Ok(gfn)) = (vm, gfn) else { return 0 };
        self.lent_to_guests.range((pfn, vm, gfn)..).take_while(|entry| entry.0 == pfn).count() as u32
    }

    /// The host owns it and nobody else may touch it.
    fn host_exclusive(&self, pfn: Pfn) -> bool {
        self.page(pfn) == PageState::Exclusive(Owner::Host)
    }

    /// Nothing is mapped at this guest address, and it is not burnt.
    fn guest_free(&self, vm: VmSlot, gfn: Gfn) -> bool {
        !self.guest_map.contains_key(&(vm, gfn)) && !self.poisoned.contains(&(vm, gfn))
    }

    fn is_ram(&self, number: u64) -> bool {
        self.machine.ram.iter().any(|&(first, end)| (first..end).contains(&number))
    }

    /// Ranks 1 to 3 for host frames: the frames of `span`, all of them RAM of one piece.
    fn host_frames(&self, span: Span, not_memory: Error) -> Result<Vec<Pfn>, Located<Error>> {
        well_formed(span, self.machine.pfn_end)?;
        let edges = self.machine.ram.iter().flat_map(|&(first, end)| [first, end]);
        if let Some(edge) = edges.filter(|&e| span.first < e && e < span.first + span.count).min() {
            let outside = if self.is_ram(span.first) { edge } else { span.first };
            return Err(Located::pfn(Error::Invalid, Pfn::new(outside)?));
        }
        if !self.is_ram(span.first) {
            return Err(Located::pfn(not_memory, Pfn::new(span.first)?));
        }
        numbered(span)
    }

    /// Rank 1 for guest frames: the frames of `span`.
    fn guest_frames(&self, span: Span) -> Result<Vec<Gfn>, Located<Error>> {
        well_formed(span, self.machine.gfn_end)?;
        numbered(span)
    }
}

fn well_formed(span: Span, space_end: u64) -> Result<(), Located<Error>> {
    match span.first.checked_add(span.count) {
        Some(end) if span.count > 0 && end <= space_end => Ok(()),
        _ => Err(Located::call(Error::Invalid)),
    }
}

fn numbered<F: Frame>(span: Span) -> Result<Vec<F>, Located<Error>> {
    (span.first..span.first + span.count).map(|n| F::new(n).map_err(Located::call)).collect()
}

/// The answer of a transition that did all `pages` and scrubbed nothing.
fn done(pages: usize) -> Done {
    Done { pages: pages as u64, scrubbed: BTreeSet::new() }
}

/// `Ok` if `holds`, else `error` at host frame `pfn`.
fn page_must(holds: bool, error: Error, pfn: Pfn) -> Result<(), Located<Error>> {
    if holds { Ok(()) } else { Err(Located::pfn(error, pfn)) }
}

/// `Ok` if `holds`, else `error` at guest frame `gfn`.
fn guest_must(holds: bool, error: Error, gfn: Gfn) -> Result<(), Located<Error>> {
    if holds { Ok(()) } else { Err(Located::gfn(error, gfn)) }
}
