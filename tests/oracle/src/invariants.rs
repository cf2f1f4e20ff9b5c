//! What must hold of every state of the specification: I1, I2, I4, I6 and I9.
//!
//! Each is checked from the sets alone, without knowing which transition led there.

use crate::spec::Spec;
use tenure_abi::{Owner, Pfn};

/// A broken invariant and what shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// Its name in the design.
    pub invariant: &'static str,
    /// The page or address that shows it.
    pub what: String,
}

/// Checks all of them.
///
/// # Errors
/// The first one broken.
pub fn check(spec: &Spec) -> Result<(), Broken> {
    one_owner(spec)?;
    accessors_are_recorded(spec)?;
    counters_equal_borrows(spec)?;
    reverse_map_agrees(spec)?;
    no_page_is_lost(spec)
}

fn must(holds: bool, invariant: &'static str, what: impl FnOnce() -> String) -> Result<(), Broken> {
    if holds { Ok(()) } else { Err(Broken { invariant, what: what() }) }
}

/// I1: exactly one owner. The map gives each page one; an owner that is a guest sees its page once and
/// is a VM that exists.
fn one_owner(spec: &Spec) -> Result<(), Broken> {
    for (&pfn, &owner) in &spec.owner {
        if let Owner::Guest(vm) = owner {
            must(spec.vms.contains_key(&vm), "I1", || format!("{pfn:?} is owned by {vm:?}, which is gone"))?;
        }
    }
    let mut seen: Vec<_> = spec
        .guest_map
        .iter()
        .filter(|&(&(vm, _), pfn)| spec.owner.get(pfn) == Some(&Owner::Guest(vm)))
        .map(|(_, &pfn)| pfn)
        .collect();
    seen.sort_unstable();
    let owned: Vec<_> = spec.owner.iter().filter(|e| matches!(e.1, Owner::Guest(_))).map(|e| *e.0).collect();
    must(seen == owned, "I1", || "a guest sees a page of its own twice or not at all".to_string())
}

/// I2: whoever may touch a page without owning it is recorded as its borrower, and as one kind only.
fn accessors_are_recorded(spec: &Spec) -> Result<(), Broken> {
    for (&(vm, gfn), &pfn) in &spec.guest_map {
        let owns = spec.owner.get(&pfn) == Some(&Owner::Guest(vm));
        let borrows = spec.lent_to_guests.contains(&(pfn, vm, gfn));
        must(owns != borrows, "I2", || format!("{vm:?} sees {pfn:?} at {gfn:?}, unrecorded or twice recorded"))?;
    }
    for pfn in &spec.lent_to_hyp {
        must(spec.owner.get(pfn) == Some(&Owner::Host), "I2", || format!("{pfn:?} lent to hyp, not by the host"))?;
        must(spec.mappings_of(*pfn) == 0, "I2", || format!("{pfn:?} lent to hyp and to guests"))?;
    }
    for pfn in &spec.lent_to_host {
        let by_guest = matches!(spec.owner.get(pfn), Some(Owner::Guest(_)));
        must(by_guest, "I2", || format!("{pfn:?} lent to the host, not by a guest"))?;
    }
    for (pfn, vm, gfn) in &spec.lent_to_guests {
        must(spec.owner.get(pfn) == Some(&Owner::Host), "I2", || format!("{pfn:?} lent to {vm:?}, not by the host"))?;
        must(spec.vms.contains_key(vm), "I2", || format!("{pfn:?} lent to {vm:?} at {gfn:?}, which is gone"))?;
    }
    Ok(())
}

/// I4: counters belong to borrows: a pin to a page lent to the hypervisor, a use to a page of its own,
/// and none beyond its limit.
fn counters_equal_borrows(spec: &Spec) -> Result<(), Broken> {
    for (pfn, &pins) in &spec.pins {
        let right = spec.lent_to_hyp.contains(pfn) && (1..=spec.machine.limits.pins).contains(&pins);
        must(right, "I4", || format!("{pfn:?} has {pins} pins"))?;
    }
    for (pfn, &references) in &spec.references {
        let own = spec.owner.get(pfn) == Some(&Owner::Hyp);
        let right = own && (1..=spec.machine.limits.references).contains(&references);
        must(right, "I4", || format!("{pfn:?} has {references} references"))?;
    }
    let over = |pfn: Pfn| spec.mappings_of(pfn) > spec.machine.limits.mappings;
    match spec.lent_to_guests.iter().find(|entry| over(entry.0)) {
        Some(entry) => must(false, "I4", || format!("{:?} is mapped too often", entry.0)),
        None => Ok(()),
    }
}

/// I6: what is recorded of a page and what the guests' maps say is the same, and nothing burnt is mapped.
fn reverse_map_agrees(spec: &Spec) -> Result<(), Broken> {
    for &(pfn, vm, gfn) in &spec.lent_to_guests {
        let maps = spec.guest_map.get(&(vm, gfn)) == Some(&pfn);
        must(maps, "I6", || format!("{pfn:?} is lent to {vm:?} at {gfn:?}, which does not see it"))?;
    }
    for key in &spec.poisoned {
        must(!spec.guest_map.contains_key(key), "I6", || format!("{key:?} is burnt and mapped"))?;
        must(spec.vms.contains_key(&key.0), "I6", || format!("{key:?} is burnt, its VM is gone"))?;
    }
    Ok(())
}

/// I9: the owned pages are the pages of RAM.
fn no_page_is_lost(spec: &Spec) -> Result<(), Broken> {
    let ram = spec.machine.ram.iter().flat_map(|&(first, end)| first..end);
    let owned = spec.owner.keys().map(|pfn| pfn.number());
    must(ram.eq(owned), "I9", || "the owned pages are not the pages of RAM".to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::{Limits, Machine, VmKind};
    use tenure_abi::{Gfn, VmSlot};

    fn spec() -> (Spec, Pfn, VmSlot, Gfn) {
        let limits = Limits { pins: 2, mappings: 2, references: 2 };
        let mut spec = Spec::new(Machine { ram: vec![(8, 16)], pfn_end: 32, gfn_end: 32, limits });
        let vm = VmSlot::new(1).unwrap();
        spec.vm_create(vm, VmKind::Protected).unwrap();
        (spec, Pfn::new(9).unwrap(), vm, Gfn::new(3).unwrap())
    }

    fn broken(change: impl FnOnce(&mut Spec, Pfn, VmSlot, Gfn)) -> &'static str {
        let (mut spec, pfn, vm, gfn) = spec();
        assert_eq!(check(&spec), Ok(()));
        change(&mut spec, pfn, vm, gfn);
        check(&spec).unwrap_err().invariant
    }

    #[test]
    fn an_owner_that_does_not_see_its_page_breaks_i1() {
        assert_eq!(broken(|s, pfn, vm, _| assert!(s.owner.insert(pfn, Owner::Guest(vm)).is_some())), "I1");
    }

    #[test]
    fn an_unrecorded_accessor_breaks_i2() {
        assert_eq!(broken(|s, pfn, vm, gfn| assert_eq!(s.guest_map.insert((vm, gfn), pfn), None)), "I2");
    }

    #[test]
    fn a_pin_on_a_page_not_lent_breaks_i4() {
        assert_eq!(broken(|s, pfn, _, _| assert_eq!(s.pins.insert(pfn, 1), None)), "I4");
    }

    #[test]
    fn a_mapping_on_record_only_breaks_i6() {
        assert_eq!(broken(|s, pfn, vm, gfn| assert!(s.lent_to_guests.insert((pfn, vm, gfn)))), "I6");
    }

    #[test]
    fn a_page_without_owner_breaks_i9() {
        assert_eq!(broken(|s, pfn, _, _| assert!(s.owner.remove(&pfn).is_some())), "I9");
    }
}
