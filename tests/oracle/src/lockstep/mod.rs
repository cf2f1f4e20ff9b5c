//! What is checked and the specification, call by call.
//!
//! Both get the same calls. After each, the answers must be equal: error and place, or the pages done
//! and the pages scrubbed. So must be the states of the pages the call touched; every so often all pages
//! are compared, and the subject's own audit must find nothing.
//!
//! Where the specification leaves a choice, the subject's answer makes it: it may stop early where
//! [`Op::may_stop_early`] says so (then the specification does the same prefix, and the rest is asked
//! for again), and it may be out of memory (then nothing may have changed). A subject may declare a
//! difference to be its choice ([`Subject::chooses`]); those are named and counted.
//!
//! | module | what it holds |
//! |---|---|
//! | [`subject`] | what can be checked |
//! | [`system`] | the tracker with guest tables around it |
//! | [`dispatch`] | the whole of EL2 on a hosted board, through its calls |
//! | [`blocks`] | a pool of blocks that notices misuse |
//! | [`walk`] | stage-2 tables as a CPU reads them |
//! | [`compare`] | both states, page by page |
//! | [`run`] | many random calls, or given ones, one after the other |
//! | [`shrink`] | the few calls that still show a divergence |

pub mod blocks;
pub mod compare;
pub mod dispatch;
pub mod run;
pub mod shrink;
pub mod subject;
pub mod system;
pub mod walk;

use crate::op::Op;
use crate::spec::{Answer, Limits, Spec};
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use subject::Subject;
use tenure_abi::{Error, Pfn};

/// After how many calls all pages are compared.
const FULL_COMPARE: u64 = 1000;

/// The tracker's own limits.
pub const LIMITS: Limits = Limits { pins: 0xffff, mappings: u32::MAX, references: 0xffff };

/// The subject did what the specification did not.
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
    /// Calls refused for want of memory: blocks, table pages.
    pub no_memory: u64,
    /// How often all pages were compared.
    pub compared: u64,
}

/// Specification and subject side by side.
pub struct LockStep<S> {
    /// The specification.
    pub spec: Spec,
    /// What is checked against it.
    pub subject: S,
    /// What was done so far.
    pub stats: Stats,
    /// Differences that the subject declares as its choice, and how often each was seen.
    pub choices: BTreeMap<&'static str, u64>,
}

impl<S: Subject> LockStep<S> {
    /// Both at boot.
    pub fn new(subject: S) -> Self {
        let spec = Spec::new(subject.machine());
        Self { spec, subject, stats: Stats::default(), choices: BTreeMap::new() }
    }

    /// Makes one call to both.
    ///
    /// # Errors
    /// The first difference.
    pub fn step(&mut self, op: Op) -> Result<(), Divergence> {
        self.stats.calls += 1;
        if op.is_a_mistake_inside(&self.spec) {
            return Ok(());
        }
        if !self.subject.takes(op, &self.spec) {
            if self.subject.follows(op) && op.apply(&mut self.spec).is_ok() {
                self.subject.learn(op);
            }
            return Ok(());
        }
        let touched = self.touched_by(op);
        self.answers(op)
            .and_then(|()| compare::pages(&self.spec, &self.subject, &touched))
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
        compare::all(&self.spec, &self.subject).map_err(|what| Divergence { op, what })
    }

    /// The host pages a call may change, and the neighbours of those it names.
    fn touched_by(&self, op: Op) -> Vec<Pfn> {
        let mut pages = op.named_pages(&self.spec);
        if let Some(span) = op.pages() {
            let ends = [span.first.wrapping_sub(1), span.first.wrapping_add(span.count)];
            pages.extend(ends.into_iter().filter_map(|n| Pfn::new(n).ok()));
        }
        pages
    }

    /// Both answers, compared; a call that stops early is made again for the rest.
    fn answers(&mut self, mut op: Op) -> Result<(), String> {
        loop {
            let (subject, spec) = (&mut self.subject, &self.spec);
            let answer = catch_unwind(AssertUnwindSafe(|| subject.call(op, spec))).map_err(|panic| {
                let text = panic.downcast_ref::<String>().map(String::as_str);
                format!("panic: {}", text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("?"))
            })?;
            if matches!(answer, Err(e) if e.error == Error::NoMemory && self.subject.may_lack_memory()) {
                self.stats.no_memory += 1;
                return Ok(());
            }
            let asked = op.span().map_or(0, |span| span.count);
            let early = answer.as_ref().ok().map(|done| done.pages).filter(|&pages| pages < asked);
            match early {
                Some(pages) if op.may_stop_early() && pages > 0 => {
                    self.same(op.prefix(pages), &answer)?;
                    op = op.rest(pages);
                }
                Some(pages) => return Err(format!("only {pages} of {asked} pages were done by {op:?}")),
                None => return self.same(op, &answer),
            }
        }
    }

    /// Whether the specification answers `op` as the subject did.
    fn same(&mut self, op: Op, subject: &Answer) -> Result<(), String> {
        let spec = op.apply(&mut self.spec);
        if let Ok(done) = &spec {
            self.stats.done += 1;
            self.stats.pages += done.pages;
        }
        if spec == *subject {
            return Ok(());
        }
        match self.subject.chooses(op, &spec, subject) {
            Some(choice) if spec.is_err() == subject.is_err() => {
                *self.choices.entry(choice).or_insert(0) += 1;
                Ok(())
            }
            _ => Err(format!("{op:?}\n  specification {spec:?}\n  subject       {subject:?}")),
        }
    }
}
