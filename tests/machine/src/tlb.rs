//! What a CPU remembers of walks.
//!
//! It forgets nothing by itself. An invalidation marks what it names, on every CPU, as leaving; only when the CPU that issued
//! it has completed a DSB is it gone. Until then it may still be used, or not: that is drawn at each access.
//!
//! | entry | made by | TLBI by IPA | TLBI of stage 1 | TLBI of the VMID |
//! |---|---|---|---|---|
//! | a table on the way | a walk | yes | no | yes |
//! | stage 2 | a walk | yes | no | yes |
//! | combined with stage 1 | any access, from a stage-2 entry | no | yes | yes |
//!
//! A combined entry is what makes the second half of the sequence necessary, and the DSB between the halves: one that is
//! made from a leaving entry after the stage-1 invalidation survives it.

use crate::step::draw;
use crate::walk::{Leaf, Step};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Entry {
    Combined(Leaf),
    Stage2(Leaf),
    Table(Step),
}

impl Entry {
    fn covers(self, number: u64) -> bool {
        let (first, frames) = match self {
            Self::Combined(leaf) | Self::Stage2(leaf) => (leaf.first, leaf.frames),
            Self::Table(step) => (step.first, step.frames),
        };
        number.wrapping_sub(first) < frames
    }
}

#[derive(Clone, Copy, Debug)]
struct Remembered {
    vmid: u16,
    entry: Entry,
    leaving: Option<Leaving>,
}

/// An entry on its way out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Leaving {
    /// The CPU whose DSB makes it go.
    by: usize,
    /// Whether everything of the VMID goes, so what is made from it does too.
    all: bool,
}

/// What becomes of an entry that is made from another: it goes with it where everything of the VMID goes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Fate(Option<Leaving>);

impl Remembered {
    fn fate(&self) -> Fate {
        Fate(self.leaving.filter(|leaving| leaving.all))
    }
}

/// A translation in a TLB, for checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cached {
    /// The tag.
    pub vmid: u16,
    /// The first guest frame.
    pub first: u64,
    /// How many.
    pub frames: u64,
    /// The first frame they lead to.
    pub leads_to: u64,
    /// Whether it is on its way out: invalidated, but nobody waited for that.
    pub leaving: bool,
}

/// The TLB of one CPU or device.
#[derive(Debug, Default)]
pub struct Tlb(Vec<Remembered>);

/// What an invalidation names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// Stage-2 entries of one guest frame.
    Ipa(u64),
    /// Combined entries.
    Stage1,
    /// Everything.
    All,
}

impl Tlb {
    /// The leaf to use for guest frame `number`. Using a stage-2 entry makes a combined one.
    pub(crate) fn hit(&mut self, vmid: u16, number: u64) -> Option<Leaf> {
        self.0.retain(|r| r.leaving.is_none() || r.vmid != vmid || !r.entry.covers(number) || draw(2) == 0);
        let mine = |r: &&Remembered| r.vmid == vmid && r.entry.covers(number);
        let combined = self.0.iter().filter(mine).find_map(|r| match r.entry {
            Entry::Combined(leaf) => Some(leaf),
            _ => None,
        });
        if combined.is_some() {
            return combined;
        }
        let (leaf, fate) = self.0.iter().filter(mine).find_map(|r| match r.entry {
            Entry::Stage2(leaf) => Some((leaf, r.fate())),
            _ => None,
        })?;
        self.keep(vmid, Entry::Combined(leaf), fate.0);
        Some(leaf)
    }

    /// The table nearest to the leaf from which a walk may start, and what becomes of that walk's findings.
    pub(crate) fn nearest(&self, vmid: u16, number: u64) -> Option<(Step, Fate)> {
        let here = self.0.iter().filter(|r| r.vmid == vmid && r.entry.covers(number));
        let steps = here.filter_map(|r| if let Entry::Table(step) = r.entry { Some((step, r.fate())) } else { None });
        // Of several at one level the oldest: the least comfortable choice.
        steps.reduce(|best, next| if next.0.level > best.0.level { next } else { best })
    }

    /// Remembers a walk. Answers whether it contradicts what is remembered: break before make was not kept.
    pub(crate) fn learn(&mut self, vmid: u16, leaf: Leaf, steps: &[Step], fate: Fate) -> bool {
        let conflict = self.0.iter().any(|r| match r.entry {
            Entry::Stage2(old) if r.vmid == vmid => {
                let apart = old.first + old.frames <= leaf.first || leaf.first + leaf.frames <= old.first;
                !apart && (old.frames != leaf.frames || old.leads_to != leaf.leads_to)
            }
            _ => false,
        });
        for &step in steps {
            self.keep(vmid, Entry::Table(step), fate.0);
        }
        self.keep(vmid, Entry::Stage2(leaf), fate.0);
        conflict
    }

    fn keep(&mut self, vmid: u16, entry: Entry, leaving: Option<Leaving>) {
        let known = |r: &Remembered| r.vmid == vmid && r.entry == entry && r.leaving == leaving;
        if !self.0.iter().any(known) {
            self.0.push(Remembered { vmid, entry, leaving });
        }
    }

    pub(crate) fn mark(&mut self, vmid: u16, what: What, by: usize) {
        for r in self.0.iter_mut().filter(|r| r.vmid == vmid && r.leaving.is_none()) {
            let named = match (what, r.entry) {
                (What::All, _) | (What::Stage1, Entry::Combined(_)) => true,
                (What::Ipa(number), Entry::Stage2(_) | Entry::Table(_)) => r.entry.covers(number),
                _ => false,
            };
            if named {
                r.leaving = Some(Leaving { by, all: what == What::All });
            }
        }
    }

    pub(crate) fn complete(&mut self, by: usize) {
        self.0.retain(|r| r.leaving.is_none_or(|leaving| leaving.by != by));
    }

    /// Every translation that could still be used.
    pub fn cached(&self) -> impl Iterator<Item = Cached> + '_ {
        self.0.iter().filter_map(|r| match r.entry {
            Entry::Combined(leaf) | Entry::Stage2(leaf) => Some(Cached {
                vmid: r.vmid,
                first: leaf.first,
                frames: leaf.frames,
                leads_to: leaf.leads_to,
                leaving: r.leaving.is_some(),
            }),
            Entry::Table(_) => None,
        })
    }
}
