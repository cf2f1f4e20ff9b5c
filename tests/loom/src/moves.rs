//! Transitions as a hypervisor makes them, and the runner of models.

use crate::world::{World, pages};
use loom::model::Builder;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use tenure_abi::{Error, PageSize, Pfn};
use tenure_hyp::tracker::layout::REGION_PAGES;
use tenure_hyp::tracker::rules::{Content, Loser};
use tenure_hyp::tracker::{Identity, Kind, Transition};

/// What a guest's page holds; scrubbed it holds 0.
pub const SECRET: u64 = 0x5ec;

/// Runs a model in every order, or every order with at most so many switches that no thread asked for. The variable
/// `LOOM_MAX_PREEMPTIONS` is stronger than `preemptions`. Says how many executions there were.
pub fn model(name: &str, preemptions: Option<usize>, execution: impl Fn() + Send + Sync + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound = builder.preemption_bound.or(preemptions);
    let count = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&count);
    builder.check(move || {
        counted.fetch_add(1, Relaxed);
        execution();
    });
    let bound = builder.preemption_bound.map_or("any number of".to_string(), |bound| format!("at most {bound}"));
    println!("loom.{name}: {} executions, {bound} preemptions", count.load(Relaxed));
    assert!(count.load(Relaxed) > 1, "nothing ran side by side");
}

impl World {
    /// Moves `count` pages from `first` the way the row says: host access taken first, content in a parked claim, then
    /// the new entries. Returns how many moved.
    ///
    /// # Errors
    /// The claim's.
    pub fn go(&self, op: Transition, first: u64, count: u64, identity: Identity) -> Result<u64, Error> {
        let mut claim = self.tracker.claim(op, pages(first, count), identity).map_err(|refused| refused.error)?;
        let held = claim.first()..claim.first() + claim.count();
        let (loser, content) = (claim.row().loser, claim.row().content);
        if loser == Loser::Host {
            held.clone().for_each(|page| self.host_bit(page, |bit| *bit = false));
        }
        if content != Content::Leave {
            claim.park();
            let scrub = content == Content::Scrub;
            held.for_each(|page| self.bytes(page, |bytes| if scrub { *bytes = 0 } else { *bytes = SECRET }));
        }
        let done = claim.count();
        claim.commit(PageSize::Size4K);
        Ok(done)
    }

    /// The same for one page or one whole region, by the fast path. `false`: it was not the fast case.
    pub fn go_fast(&self, op: Transition, page: u64, size: PageSize, identity: Identity) -> bool {
        let Some(claim) = self.tracker.claim_entry(op, Pfn::new(page).unwrap(), size, identity) else { return false };
        if op.row().loser == Loser::Host {
            let pages = if size == PageSize::Size4K { 1 } else { REGION_PAGES };
            (page..page + pages).for_each(|page| self.host_bit(page, |bit| *bit = false));
        }
        claim.commit();
        true
    }

    /// The host touches `page`, and the fault handler lets it or not. Returns what it saw, `None` if the region was in work.
    ///
    /// The bit must not be set for a page that is not the host's to touch, and a page that is holds no secret.
    pub fn host_fault(&self, page: u64) -> Option<Kind> {
        let pfn = Pfn::new(page).unwrap();
        let guard = match self.tracker.lock_region(pfn) {
            Err(error) => {
                assert_eq!(error, Error::Retry);
                return None;
            }
            Ok(guard) => guard,
        };
        let kind = guard.entry(pfn).kind().unwrap();
        let may = kind.host_may_touch();
        self.host_bit(page, |bit| {
            assert!(may || !*bit, "page {page} is {kind:?} and the host's tables still map it");
            *bit = may;
        });
        if kind == Kind::HostExclusive {
            self.bytes(page, |bytes| assert_ne!(*bytes, SECRET, "page {page} came back unscrubbed"));
        }
        Some(kind)
    }
}
