//! The tracker and the specification, call by call.
//!
//! Both get the same calls. After each, the answers must be equal: error and place, or the pages done
//! and the pages scrubbed. So must be the states of the pages the call touched; every so often all pages
//! are compared, and the tracker's own audit must find nothing.
//!
//! Where the specification leaves a choice, the tracker's answer makes it: it may stop early where
//! [`Op::may_stop_early`] says so (then the specification does the same prefix, and the rest is asked
//! for again), and it may be out of blocks (then nothing may have changed).
//!
//! | module | what it holds |
//! |---|---|
//! | [`system`] | the tracker with what a hypervisor has around it: guest maps and runs |
//! | [`blocks`] | a pool of blocks that notices misuse |
//! | [`compare`] | both states, page by page |
//! | [`shrink`] | the few calls that still show a divergence |

pub mod blocks;
pub mod compare;
pub mod shrink;
pub mod system;

use crate::op::Op;
use crate::spec::{Answer, Limits, Span, Spec};
use crate::trace::{self, Trace};
use blocks::Memory;
use std::panic::{AssertUnwindSafe, catch_unwind};
use system::System;
use tenure_abi::{Error, Pfn};

/// After how many calls all pages are compared.
const FULL_COMPARE: u64 = 1000;

/// The tracker's own limits.
pub const LIMITS: Limits = Limits { pins: 0xffff, mappings: u32::MAX, references: 0xffff };

/// The tracker did what the specification did not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Divergence {
    /// The call after which it showed.
    pub op: Op,
    /// What both say.
    pub what: String,
}

/// What a run did.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stats {
    /// Calls made.
    pub calls: u64,
    /// Calls that were done, wholly or in part.
    pub done: u64,
    /// Pages that changed state.
    pub pages: u64,
    /// Calls refused because there was no block.
    pub no_block: u64,
    /// How often all pages were compared.
    pub compared: u64,
}

/// A run that diverged: all calls up to there.
#[derive(Clone, Debug)]
pub struct Failure {
    /// What was seen.
    pub divergence: Divergence,
    /// The calls, the last one included.
    pub calls: Vec<Op>,
}

/// Tracker and specification side by side.
pub struct LockStep<'m> {
    /// The specification.
    pub spec: Spec,
    /// The tracker and what is around it.
    pub system: System<'m>,
    /// What was done so far.
    pub stats: Stats,
}

impl<'m> LockStep<'m> {
    /// Both at boot, in `memory`.
    ///
    /// # Panics
    /// If the tracker refuses the machine: then there is nothing to compare.
    pub fn new(memory: &'m mut Memory) -> Self {
        let system = System::new(memory).expect("the tracker takes the machine of the traces");
        Self { spec: Spec::new(trace::machine(LIMITS)), system, stats: Stats::default() }
    }

    /// Makes one call to both.
    ///
    /// # Errors
    /// The first difference.
    pub fn step(&mut self, op: Op) -> Result<(), Divergence> {
        self.stats.calls += 1;
        // The VM table is not the tracker's: who may ask, and the life of VMs, is taken from the specification.
        if op.is_life() || op.has_nothing_to_give(&self.spec) || op.asked_by_the_right_one(&self.spec).is_err() {
            if let (Ok(_), Op::VmFinishTeardown(vm)) = (op.apply(&mut self.spec), op) {
                self.system.forget(vm);
            }
            return Ok(());
        }
        if op.is_a_mistake_inside(&self.spec) {
            return Ok(());
        }
        let touched = self.touched_by(op);
        let result = self.answers(op);
        result
            .and_then(|()| compare::pages(&self.spec, &self.system, &touched))
            .map_err(|what| Divergence { op, what })?;
        if self.stats.calls.is_multiple_of(FULL_COMPARE) {
            self.compare_all(op)?;
        }
        Ok(())
    }

    /// Compares everything.
    ///
    /// # Errors
    /// The first difference, blamed on `op`.
    pub fn compare_all(&mut self, op: Op) -> Result<(), Divergence> {
        self.stats.compared += 1;
        compare::all(&self.spec, &self.system).map_err(|what| Divergence { op, what })
    }

    /// The host pages a call may change, and the neighbours of those it names.
    fn touched_by(&self, op: Op) -> Vec<Pfn> {
        let mut pages = Vec::new();
        if let Some(span) = op.pages() {
            let around = Span { first: span.first.saturating_sub(1), count: span.count.saturating_add(2) };
            pages.extend(around.frames());
        }
        if let Some((vm, gfns)) = op.gfns() {
            pages.extend(gfns.guest_frames().filter_map(|gfn| self.spec.guest_map.get(&(vm, gfn))));
        }
        pages
    }

    /// Both answers, compared; a call that stops early is made again for the rest.
    fn answers(&mut self, mut op: Op) -> Result<(), String> {
        loop {
            let answer = catch_unwind(AssertUnwindSafe(|| self.system.call(op))).map_err(|panic| {
                let text = panic.downcast_ref::<String>().map(String::as_str);
                format!("panic: {}", text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("?"))
            })?;
            if matches!(answer, Err(e) if e.error == Error::NoMemory && self.system.may_run_out_of_blocks()) {
                self.stats.no_block += 1;
                return Ok(());
            }
            let asked = op.span().map_or(0, |span| span.count);
            let early = answer.as_ref().ok().map(|done| done.pages).filter(|&pages| pages < asked);
            match early {
                Some(pages) if op.may_stop_early() && pages > 0 => {
                    self.same(op.prefix(pages), &answer)?;
                    op = op.rest(pages);
                }
                Some(pages) => return Err(format!("the tracker did {pages} of {asked} pages of {op:?}")),
                None => return self.same(op, &answer),
            }
        }
    }

    /// Whether the specification answers `op` as the tracker did.
    fn same(&mut self, op: Op, tracker: &Answer) -> Result<(), String> {
        let spec = op.apply(&mut self.spec);
        if let Ok(done) = &spec {
            self.stats.done += 1;
            self.stats.pages += done.pages;
        }
        if spec == *tracker {
            return Ok(());
        }
        Err(format!("{op:?}\n  specification {spec:?}\n  tracker       {tracker:?}"))
    }
}

/// Makes `calls` random calls to both.
///
/// # Errors
/// The first difference, with the calls that led there.
pub fn run(seed: u64, calls: u64, blocks: usize) -> Result<Stats, Box<Failure>> {
    let mut memory = Memory::new(blocks);
    let mut pair = LockStep::new(&mut memory);
    let mut trace = Trace::new(seed).without_references();
    let mut made = Vec::new();
    let mut last = Op::Compact(Span { first: 0, count: 1 });
    for _ in 0..calls {
        last = trace.next_op(&pair.spec);
        made.push(last);
        if let Err(divergence) = pair.step(last) {
            return Err(Box::new(Failure { divergence, calls: made }));
        }
    }
    let stats = pair.stats;
    pair.compare_all(last).map(|()| stats).map_err(|divergence| Box::new(Failure { divergence, calls: made }))
}

/// Makes the given calls to both and compares everything at the end.
///
/// # Errors
/// The first difference.
pub fn replay(calls: &[Op], blocks: usize) -> Result<Stats, Divergence> {
    let mut memory = Memory::new(blocks);
    let mut pair = LockStep::new(&mut memory);
    for &op in calls {
        pair.step(op)?;
    }
    if let Some(&last) = calls.last() {
        pair.compare_all(last)?;
    }
    Ok(pair.stats)
}
