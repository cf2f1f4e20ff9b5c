//! What must hold when all actors are done: the file's facts, the tables and the hardware agree, and no frame is lost.

use super::host::{FRAMES, JUNK};
use super::world::{PAGES, World};
use std::collections::BTreeMap;
use tenure_abi::{Gfn, Visibility, VmHandle};
use tenure_host::gmem::{Counts, Facts};
use tenure_machine::step::violation;

impl World<'_, '_> {
    /// Checks everything, then empties the file and checks that every frame came back.
    pub fn check(&self) {
        self.facts();
        self.nobody_else();
        if self.file.counts() != Counts::default() {
            violation(format!("something went wrong: {:?}", self.file.counts()));
        }
        if let Err(refused) = self.file.punch(self.pages(0, PAGES)) {
            violation(format!("the file cannot be emptied: {refused:?}"));
        }
        let kept = self.host.with(|tables| tables.frames.iter().filter(|frame| frame.lent).count());
        if kept != 0 {
            violation(format!("{kept} frames are lost"));
        }
    }

    /// The index against the frames and the hardware.
    fn facts(&self) {
        let mut used = BTreeMap::new();
        for page in 0..PAGES {
            let Some(pfn) = self.file.frame(page << 12) else { continue };
            let Some((facts, _)) = self.file.facts(page << 12) else { continue };
            let frame = self.host.with(|tables| *tables.frame(pfn));
            let seen = self.seen(page);
            if used.insert(pfn, page).is_some() || !frame.lent {
                violation(format!("page {page} has {pfn:?}, which is {frame:?}"));
            }
            let guest = frame.assigned.map(|(guest, _)| guest);
            if facts.contains(Facts::ASSIGNED) != guest.is_some() || guest.is_some_and(|guest| guest != seen.0) {
                violation(format!("page {page} is {facts:?}, the hardware says {frame:?}"));
            }
            if let Some((_, at)) = frame.assigned.filter(|&(guest, at)| !self.shows(guest, at, page)) {
                violation(format!("page {page} is bound elsewhere, the hardware says {at:?}"));
            }
            if guest.is_some() && self.file.visibility(page << 12) == Ok(Visibility::Shared) {
                violation(format!("page {page} is shared, the hardware says {frame:?}"));
            }
            if facts.contains(Facts::INITIALISED) && frame.holds == JUNK {
                violation(format!("page {page} is {facts:?} and holds junk"));
            }
        }
        let lent = self.host.with(|tables| tables.frames.iter().filter(|frame| frame.lent).count());
        if lent != used.len() {
            violation(format!("{lent} of {FRAMES} frames are lent, {} stand behind pages", used.len()));
        }
    }

    /// Every mapping leads to the page's own frame and to nobody who may not see it.
    fn nobody_else(&self) {
        let (host, guests) = self.host.with(|tables| (tables.host.clone(), tables.guests.clone()));
        let visibility = |page: u64| self.file.visibility(page << 12).ok();
        for (page, pfn) in host {
            if self.file.frame(page << 12) != Some(pfn) || visibility(page) != Some(Visibility::Shared) {
                violation(format!("the host has page {page}, {:?}, mapped to {pfn:?}", visibility(page)));
            }
        }
        for ((guest, at), (pfn, private)) in guests {
            let behind = |page: &u64| self.file.frame(page << 12) == Some(pfn) && self.may_see(*page, guest, at);
            let page = (0..PAGES).find(behind);
            if page.and_then(visibility).map(|is| is == Visibility::Private) != Some(private) {
                violation(format!("a guest has {at:?} mapped to {pfn:?}, private {private}: page {page:?}"));
            }
        }
    }

    /// Whether a guest that is bound to the page sees it there.
    fn shows(&self, guest: VmHandle, at: Gfn, page: u64) -> bool {
        self.file.offset_of(guest, at).is_none_or(|shown| shown == page << 12)
    }

    fn may_see(&self, page: u64, guest: VmHandle, at: Gfn) -> bool {
        let (owner, first) = self.seen(page);
        // A page may be bound 8 frames further on.
        owner == guest && (at == first || at.number() == first.number() + 8)
    }
}
