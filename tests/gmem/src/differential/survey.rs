//! Everything that can be seen of one side: bytes through every mapping and every guest, and frames.

use super::apply::Seen;
use super::op::Place;
use super::pick::{GPA, PAGE, WINDOW};
use super::world::{World, held};
use crate::Target;
use crate::target::ProcessId;
use std::collections::BTreeMap;

/// At most so many pages of a mapping are looked at: files here are small, mappings may be larger.
const PAGES: u64 = 8;

/// Where something was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spot {
    Mapping(Place, u64),
    Guest(Place, u64),
    File(Place),
}

/// How closely to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// One byte of each page.
    Glance,
    /// Every byte that mappings show.
    Everything,
}

/// Looks at everything, in an order that depends on the places only.
pub(super) fn survey(target: &mut dyn Target, world: &World, look: Look) -> Vec<(Spot, Seen)> {
    let mut seen = Vec::new();
    for place in held(&world.files) {
        let Some(file) = world.files[place] else { continue };
        let stat = target.stat(file.id).map(|stat| (stat.size, stat.block_size, stat.blocks));
        seen.push((Spot::File(place), Seen::Stat(stat)));
    }
    for place in held(&world.mappings) {
        let Some(mapping) = world.mappings[place] else { continue };
        let bytes = mapping.bytes.min(PAGES * PAGE);
        let step = if look == Look::Glance { PAGE } else { 1 };
        for at in (0..bytes).step_by(step as usize) {
            seen.push((Spot::Mapping(place, at), Seen::Touch(target.load(ProcessId::VMM, mapping.id, at))));
        }
    }
    for place in held(&world.vms) {
        let Some(vm) = &world.vms[place] else { continue };
        for gpa in (0..WINDOW).map(|page| GPA + page * PAGE).filter(|gpa| vm.may_touch(*gpa, 1)) {
            seen.push((Spot::Guest(place, gpa), Seen::Guest(target.guest_load(vm.id, gpa))));
        }
    }
    seen
}

/// Frames of the pages that mappings of files show: two are the same if and only if they are the same page of the same
/// file, and a page keeps its frame until it is freed. Returns how many were seen.
pub(super) fn frames(target: &mut dyn Target, world: &mut World) -> Result<u64, String> {
    let mut pages: BTreeMap<u64, (u32, u64)> = BTreeMap::new();
    let mut count = 0;
    for place in held(&world.mappings) {
        let Some(mapping) = world.mappings[place] else { continue };
        let Some((life, _, offset)) = mapping.file else { continue };
        for at in (0..mapping.bytes.min(PAGES * PAGE)).step_by(PAGE as usize) {
            let Some(frame) = target.frame(mapping.id, at) else { continue };
            count += 1;
            let page = (life, offset + at);
            if *pages.entry(frame).or_insert(page) != page {
                return Err(format!("frame {frame:#x} shows {page:x?} and another page"));
            }
            let before = *world.frames.entry(page).or_insert(frame);
            if before != frame {
                return Err(format!("{page:x?} moved from frame {before:#x} to {frame:#x}"));
            }
        }
    }
    Ok(count)
}
