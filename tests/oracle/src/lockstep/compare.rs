//! Both states, page by page.

use super::subject::Subject;
use crate::spec::Spec;
use tenure_abi::{Borrower, Owner, PageState, Pfn};

/// Of how many pages of a call it is tried whether the host can touch them.
const TOUCHES: usize = 8;

/// Compares some pages.
///
/// # Errors
/// The first difference, in words.
pub fn pages(spec: &Spec, subject: &impl Subject, pages: &[Pfn]) -> Result<(), String> {
    for &pfn in pages {
        let expected = spec.page(pfn);
        let found = subject.state(pfn);
        if found != Ok(expected) {
            return Err(format!("{pfn:?}: specification {expected:?}, subject {found:?}"));
        }
        let (PageState::Exclusive(owner) | PageState::Shared { owner, .. }) = expected else { continue };
        if !matches!(owner, Owner::Guest(_)) {
            continue;
        }
        // The reverse map has to lead to an address where the guest sees the page.
        let seen = subject.seen_at(pfn);
        let there = seen.and_then(|key| spec.guest_map.get(&key));
        if there != Some(&pfn) {
            return Err(format!("{pfn:?}: the reverse map says {seen:?}, where {there:?} is"));
        }
    }
    let every = (pages.len() / TOUCHES).max(1);
    pages.iter().step_by(every).try_for_each(|&pfn| touch(spec, subject, pfn))
}

/// Whether the host owns or borrows the page.
pub fn host_may_touch(spec: &Spec, pfn: Pfn) -> bool {
    match spec.page(pfn) {
        PageState::Exclusive(owner) => owner == Owner::Host,
        PageState::Shared { owner, with } => owner == Owner::Host || with == Borrower::Host,
        _ => false,
    }
}

/// Whether the host can touch exactly what it may.
fn touch(spec: &Spec, subject: &impl Subject, pfn: Pfn) -> Result<(), String> {
    let may = host_may_touch(spec, pfn);
    match subject.host_touches(pfn) {
        Some(does) if does != may => Err(format!("{pfn:?}: the host may touch it: {may}; it can: {does}")),
        _ => Ok(()),
    }
}

/// Compares all pages, and all else that the subject has.
///
/// # Errors
/// The first difference, in words.
pub fn all(spec: &Spec, subject: &impl Subject) -> Result<(), String> {
    let every: Vec<Pfn> = spec.owner.keys().copied().collect();
    pages(spec, subject, &every)?;
    subject.audit(spec)
}
