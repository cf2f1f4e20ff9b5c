//! A state as a number.
//!
//! | what | bits |
//! |---|---|
//! | each unit | 3: whose, lent to whom, pins |
//! | each place of each guest | 3: nothing, burnt, or which unit |
//! | each guest | 2: none, live, dying |
//! | each region | 2: mixed; 4 KiB in hardware |
//!
//! The last line is not the specification's: how the tracker stores a region is part of the state, because calls on a region that
//! is mixed and on one that is uniform take different paths.

use super::space::Space;
use crate::lockstep::LockStep;
use crate::lockstep::dispatch::Dispatch;
use crate::spec::Spec;
use std::collections::BTreeSet;
use tenure_abi::{Borrower, Gfn, Owner, PageState, Pfn};

/// Pages of a region.
const REGION: u64 = 512;

/// Packs fields, the first one highest.
struct Packed(u64);

impl Packed {
    fn push(&mut self, bits: u32, value: u64) {
        self.0 = self.0 << bits | value;
    }
}

/// The state both are in.
///
/// # Errors
/// In words, if it is none of the space: a unit or place is not in one piece.
pub fn number(space: &Space, pair: &LockStep<Dispatch>) -> Result<u64, String> {
    let mut packed = Packed(1);
    for unit in &space.units {
        let pfn = Pfn::new(unit.first).map_err(|e| format!("{e:?}"))?;
        packed.push(3, unit_code(pair.spec.page(pfn)).ok_or(format!("{pfn:?} is beyond the caps"))?);
    }
    for &(vm, _) in &space.vms {
        for place in &space.places {
            let gfn = Gfn::new(place.first).map_err(|e| format!("{e:?}"))?;
            let content = match pair.spec.guest_map.get(&(vm, gfn)) {
                Some(pfn) => {
                    let unit = space.units.iter().position(|unit| unit.first == pfn.number());
                    2 + unit.ok_or(format!("{vm:?} sees {pfn:?} at {gfn:?}"))? as u64
                }
                None => u64::from(pair.spec.poisoned.contains(&(vm, gfn))),
            };
            packed.push(3, content);
        }
        packed.push(2, pair.spec.vms.get(&vm).map_or(0, |vm| 1 + u64::from(vm.dying)));
    }
    for region in space.units.iter().map(|unit| unit.first / REGION).collect::<BTreeSet<_>>() {
        let stored = pair.subject.stored(region * REGION);
        packed.push(2, stored.ok_or(format!("region {region} is in work"))?);
    }
    Ok(packed.0)
}

fn unit_code(state: PageState) -> Option<u64> {
    Some(match state {
        PageState::Exclusive(Owner::Host) => 0,
        PageState::Exclusive(Owner::Hyp) => 1,
        PageState::Shared { owner: Owner::Host, with: Borrower::Hyp { pins } } if pins <= 2 => 2 + u64::from(pins),
        PageState::Shared { owner: Owner::Host, with: Borrower::Guests { .. } } => 5,
        PageState::Exclusive(Owner::Guest(_)) => 6,
        PageState::Shared { owner: Owner::Guest(_), with: Borrower::Host } => 7,
        _ => return None,
    })
}

/// Whether every guest's tables say what the specification says of the ends of every place.
///
/// # Errors
/// The first difference, in words.
pub fn guests_see(space: &Space, spec: &Spec, subject: &Dispatch) -> Result<(), String> {
    for &(vm, _) in space.vms.iter().filter(|vm| spec.vms.contains_key(&vm.0)) {
        for number in space.places.iter().flat_map(|place| [place.first, place.first + place.count - 1]) {
            let gfn = Gfn::new(number).map_err(|e| format!("{e:?}"))?;
            let said = spec.guest_map.get(&(vm, gfn)).map(|pfn| pfn.number());
            let burnt = spec.poisoned.contains(&(vm, gfn));
            let seen = subject.guest_sees(vm, number);
            if seen != (said, burnt) {
                return Err(format!("{vm:?} at {gfn:?}: specification {:x?}, table {seen:x?}", (said, burnt)));
            }
        }
    }
    Ok(())
}
