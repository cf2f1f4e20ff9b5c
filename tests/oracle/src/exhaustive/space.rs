//! The machines that are explored: which pages, which guests, which calls, and where counting stops.
//!
//! Host memory is cut into *units*, adjacent runs of frames that only move whole; each guest has adjacent *places* where units may
//! be seen. Calls name runs of units or places. With units of one page that is simply every range.

use crate::op::Op;
use crate::spec::{Span, Spec, VmKind};
use tenure_abi::{Borrower, Gfn, Owner, PageState, Pfn, VmSlot};
use tenure_test_board::RAM;

/// Pages of a 2 MiB region.
const REGION: u64 = 512;
/// Frames behind the first region of the board, which EL2 and the VMs are made of.
const FREE: u64 = RAM + REGION;

/// A machine to explore.
#[derive(Clone, Debug)]
pub struct Space {
    /// What it is called.
    pub name: &'static str,
    /// Adjacent runs of host frames.
    pub units: Vec<Span>,
    /// Adjacent runs of guest frames, the same in every guest.
    pub places: Vec<Span>,
    /// The guests there may be.
    pub vms: Vec<(VmSlot, VmKind)>,
    /// The most pins on a page; calls that would add another are left out.
    pub pins: u16,
    /// The most mappings of a page in non-protected guests; calls that would add another are left out.
    pub mappings: u32,
}

fn singles(first: u64, count: u64) -> Vec<Span> {
    (first..first + count).map(|first| Span { first, count: 1 }).collect()
}

fn guests(kinds: &[VmKind]) -> Vec<(VmSlot, VmKind)> {
    (0..).filter_map(|slot| VmSlot::new(slot).ok()).zip(kinds.iter().copied()).collect()
}

impl Space {
    /// `pages` single pages of one region and guests of these kinds, which can see pages at two frames each.
    pub fn pages(name: &'static str, pages: u64, kinds: &[VmKind]) -> Self {
        let (units, places) = (singles(FREE + 16, pages), singles(0x40, 2));
        Self { name, units, places, vms: guests(kinds), pins: 2, mappings: 2 }
    }

    /// The end of one region and the start of the next: all pages of the first but the last, that one, and the first of
    /// the next; with `both`, the rest of the next too. A guest sees them at frames that lie to each other as the pages do, so that
    /// a whole region can be one 2 MiB leaf.
    pub fn boundary(name: &'static str, kind: VmKind, pins: u16, both: bool) -> Self {
        let around = |edge: u64| {
            let parts = [(edge - REGION, REGION - 1), (edge - 1, 1), (edge, 1), (edge + 1, REGION - 1)];
            parts.into_iter().take(if both { 4 } else { 3 }).map(|(first, count)| Span { first, count }).collect()
        };
        let (units, places) = (around(FREE + 2 * REGION), around(5 * REGION));
        Self { name, units, places, vms: guests(&[kind]), pins, mappings: 1 }
    }

    /// Every call, from every asker, on every run.
    pub fn calls(&self) -> Vec<Op> {
        let runs = runs(&self.units);
        let mut calls = Vec::new();
        for &(_, pages) in &runs {
            calls.extend([
                Op::HostShareHyp(pages),
                Op::HostUnshareHyp(pages),
                Op::HypPin(pages),
                Op::HypUnpin(pages),
                Op::HostDonateHyp(pages),
                Op::HypDonateHost(pages),
                Op::ForceReclaim(pages),
            ]);
        }
        let all = runs.iter().map(|run| run.1).max_by_key(|span| span.count);
        calls.extend(all.map(Op::Compact));
        for &(vm, kind) in &self.vms {
            for (sizes, pages) in &runs {
                for (fits, gfns) in runs_of(&self.places) {
                    if *sizes == fits {
                        let gfn = gfns.first;
                        calls.push(Op::HostShareGuest { vm, pages: *pages, gfn });
                        calls.push(Op::HostDonateGuest { vm, pages: *pages, gfn });
                    }
                }
            }
            for (_, gfns) in runs_of(&self.places) {
                calls.extend([
                    Op::HostUnshareGuest { vm, gfns },
                    Op::GuestShareHost { vm, gfns },
                    Op::GuestUnshareHost { vm, gfns },
                    Op::Reclaim { vm, gfns },
                    Op::Relinquish { vm, gfns },
                ]);
            }
            calls.extend([Op::VmCreate { vm, kind }, Op::VmStartTeardown(vm), Op::VmFinishTeardown(vm)]);
        }
        calls
    }

    /// Whether a call would be done and count further than the space does.
    pub fn ends_before(&self, op: Op, spec: &Spec) -> bool {
        let pages: Vec<Pfn> = op.pages().into_iter().flat_map(|span| self.firsts(span)).collect();
        match op {
            Op::HypPin(_) => {
                pages.iter().all(|pfn| spec.lent_to_hyp.contains(pfn))
                    && pages.iter().any(|&pfn| spec.pins_of(pfn) >= self.pins)
            }
            Op::HostShareGuest { vm, pages: span, gfn } => {
                let open = |pfn: &&Pfn| {
                    let alone = PageState::Exclusive(Owner::Host);
                    let state = spec.page(**pfn);
                    state == alone || matches!(state, PageState::Shared { with: Borrower::Guests { .. }, .. })
                };
                let gfns = Span { first: gfn, count: span.count };
                let mut places = self.places.iter().filter(|p| gfns.first <= p.first && p.first < gfn + gfns.count);
                let free = places.all(|place| {
                    let key = Gfn::new(place.first).map(|gfn| (vm, gfn));
                    key.is_ok_and(|key| !spec.guest_map.contains_key(&key))
                });
                op.asked_by_the_right_one(spec).is_ok()
                    && free
                    && pages.iter().filter(open).count() == pages.len()
                    && pages.iter().any(|&pfn| spec.mappings_of(pfn) >= self.mappings)
            }
            _ => false,
        }
    }

    /// The first page of each unit in `span`.
    fn firsts(&self, span: Span) -> impl Iterator<Item = Pfn> {
        let inside = move |unit: &&Span| span.first <= unit.first && unit.first < span.first + span.count;
        self.units.iter().filter(inside).filter_map(|unit| Pfn::new(unit.first).ok())
    }

    /// The ends of every unit and the pages beside them: what is compared after each call.
    pub fn watched(&self) -> Vec<Pfn> {
        let ends = self
            .units
            .iter()
            .flat_map(|unit| [unit.first - 1, unit.first, unit.first + unit.count - 1, unit.first + unit.count]);
        let mut watched: Vec<Pfn> = ends.filter_map(|n| Pfn::new(n).ok()).collect();
        watched.sort_unstable();
        watched.dedup();
        watched
    }

    /// What is in the space, in words.
    pub fn describe(&self) -> String {
        let kinds: Vec<_> = self.vms.iter().map(|vm| format!("{:?}", vm.1)).collect();
        let sizes = |spans: &[Span]| spans.iter().map(|span| span.count.to_string()).collect::<Vec<_>>().join("+");
        format!(
            "{} pages, guests {} with {} frames each, at most {} pins and {} mappings a page, {} calls",
            sizes(&self.units),
            kinds.join(" and "),
            sizes(&self.places),
            self.pins,
            self.mappings,
            self.calls().len(),
        )
    }
}

/// Every run of adjacent spans: the sizes of its parts, and the whole.
fn runs(spans: &[Span]) -> Vec<(Vec<u64>, Span)> {
    runs_of(spans).collect()
}

fn runs_of(spans: &[Span]) -> impl Iterator<Item = (Vec<u64>, Span)> {
    let ends = (0..spans.len()).flat_map(|from| (from + 1..=spans.len()).map(move |to| (from, to)));
    ends.map(|(from, to)| {
        let sizes: Vec<u64> = spans[from..to].iter().map(|span| span.count).collect();
        let count = sizes.iter().sum();
        (sizes, Span { first: spans[from].first, count })
    })
}
