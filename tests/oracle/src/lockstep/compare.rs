//! Both states, page by page.

use super::system::{Leaf, System};
use crate::spec::Spec;
use std::collections::BTreeMap;
use tenure_abi::{Error, Gfn, Owner, PageState, Pfn, VmSlot};

/// Frames of a region of 2 MiB.
const REGION: u64 = 512;

/// Compares some pages.
///
/// # Errors
/// The first difference, in words.
pub fn pages(spec: &Spec, system: &System<'_>, pages: &[Pfn]) -> Result<(), String> {
    for &pfn in pages {
        let expected = spec.page(pfn);
        let found = system.tracker.state(pfn);
        if found != Ok(expected) {
            return Err(format!("{pfn:?}: specification {expected:?}, tracker {found:?}"));
        }
        let (PageState::Exclusive(owner) | PageState::Shared { owner, .. }) = expected else { continue };
        if !matches!(owner, Owner::Guest(_)) {
            continue;
        }
        // The reverse map has to lead to an address where the guest sees the page.
        let entry = system.entry(pfn).map_err(in_words)?;
        let seen = entry.guest().and_then(|key| spec.guest_map.get(&key));
        if seen != Some(&pfn) {
            return Err(format!("{pfn:?}: the tracker says it is seen at {:?}, where {seen:?} is", entry.guest()));
        }
    }
    Ok(())
}

/// Compares all pages, the guests' tables, the blocks in use, and asks the tracker's audit.
///
/// # Errors
/// The first difference, in words.
pub fn all(spec: &Spec, system: &System<'_>) -> Result<(), String> {
    let around = spec.machine.ram.iter().flat_map(|&(first, end)| first.saturating_sub(2)..end + 2);
    let every: Vec<Pfn> = around.filter_map(|n| Pfn::new(n).ok()).collect();
    pages(spec, system, &every)?;
    if tables_of(spec) != system.tables {
        return Err("the guests' tables differ".to_string());
    }
    blocks(spec, system)?;
    audit(system)
}

fn tables_of(spec: &Spec) -> BTreeMap<(VmSlot, Gfn), Leaf> {
    let mapped = spec.guest_map.iter().map(|(&key, &pfn)| (key, Leaf::Page(pfn)));
    mapped.chain(spec.poisoned.iter().map(|&key| (key, Leaf::Burnt))).collect()
}

/// Every block that is out belongs to a mixed region.
fn blocks(spec: &Spec, system: &System<'_>) -> Result<(), String> {
    let pool = system.lender.0;
    if let Some(misuse) = pool.misuse() {
        return Err(misuse);
    }
    let mut mixed = 0;
    let mut last = None;
    for &(first, end) in &spec.machine.ram {
        for region in first / REGION..end.div_ceil(REGION) {
            let guard = Pfn::new(region * REGION).and_then(|pfn| system.tracker.lock_region(pfn));
            if last != Some(region) && guard.map_err(in_words)?.uniform().is_none() {
                mixed += 1;
            }
            last = Some(region);
        }
    }
    match pool.taken() {
        taken if taken == mixed => Ok(()),
        taken => Err(format!("{taken} blocks are out, {mixed} regions are mixed")),
    }
}

fn audit(system: &System<'_>) -> Result<(), String> {
    let audit = system.tracker.audit(Pfn::new(0).map_err(in_words)?, u64::MAX);
    let sum: u64 = audit.kinds.iter().sum();
    let sound = audit.faults == 0 && audit.busy == 0 && audit.next.is_none() && sum == audit.pages;
    let contradictions = system.tracker.contradictions();
    if sound && contradictions == 0 {
        return Ok(());
    }
    Err(format!("{contradictions} contradictions, {audit:?}"))
}

fn in_words(error: Error) -> String {
    format!("{error:?}")
}
