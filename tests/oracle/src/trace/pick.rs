//! Picking pages that are in the state a call wants.

use super::{GFN_USED, Trace, guest_span_at, span_at};
use crate::spec::{Span, Spec};
use std::collections::BTreeMap;
use tenure_abi::{Gfn, Pfn, VmSlot};

/// How often a random page is tried before any page will do.
const TRIES: u32 = 24;
/// In how many of 100 cases a range ends where the wanted state ends.
const FITTING: u64 = 88;
/// Frames of a region of 2 MiB.
const REGION: u64 = 512;

impl Trace {
    /// Host pages that `wanted` likes, as far as some are found.
    pub(super) fn host_span(&mut self, wanted: impl Fn(Pfn) -> bool) -> Span {
        let length = self.length();
        let mut found = self.ram_page(length);
        for _ in 0..TRIES {
            if wanted(found) {
                break;
            }
            found = self.ram_page(length);
        }
        let ram = &self.machine.ram;
        let like = |pfn: &Pfn| wanted(*pfn) && in_piece(ram, found, *pfn);
        let run = span_at(found, length).frames().take_while(like).count() as u64;
        let fits = self.rng.percent(FITTING);
        span_at(found, if fits && run > 0 { run } else { length })
    }

    /// Host pages that are all among `held`: ending a use that never began is not for a trace.
    pub(super) fn held_span<T>(&mut self, held: &BTreeMap<Pfn, T>) -> Span {
        let length = self.length();
        let from = self.ram_page(length);
        let Some((&start, _)) = held.range(from..).next().or_else(|| held.iter().next()) else {
            return span_at(from, length);
        };
        let run = held.range(start..).zip(start.number()..).take(length as usize);
        let run =
            run.take_while(|((pfn, _), n)| pfn.number() == *n && in_piece(&self.machine.ram, start, **pfn)).count();
        span_at(start, run as u64)
    }

    /// Guest frames of `vm` whose pages `wanted` likes, as far as some are found.
    pub(super) fn guest_span(&mut self, spec: &Spec, vm: VmSlot, wanted: impl Fn(Pfn) -> bool) -> Span {
        let length = self.length();
        let Ok(from) = Gfn::new(self.rng.below(GFN_USED)) else { return Span { first: 0, count: length } };
        let (Ok(low), Ok(high)) = (Gfn::new(0), Gfn::new(self.machine.gfn_end - 1)) else {
            return guest_span_at(from, length);
        };
        let seen = spec.guest_map.range((vm, from)..=(vm, high)).chain(spec.guest_map.range((vm, low)..(vm, from)));
        let Some((&(_, start), _)) = seen.take(1024).find(|(_, pfn)| wanted(**pfn)) else {
            return guest_span_at(from, length);
        };
        let likes = |gfn: &Gfn| spec.guest_map.get(&(vm, *gfn)).is_some_and(|&pfn| wanted(pfn));
        let run = guest_span_at(start, length).guest_frames().take_while(likes).count() as u64;
        guest_span_at(start, if self.rng.percent(FITTING) { run } else { length })
    }

    /// Where in `vm` to put `pages`: mostly where there is room, cut to the room there is.
    pub(super) fn with_free_gfns(&mut self, spec: &Spec, vm: VmSlot, pages: Span) -> (Span, u64) {
        let free = |gfn: &Gfn| !spec.guest_map.contains_key(&(vm, *gfn)) && !spec.poisoned.contains(&(vm, *gfn));
        // At the same place in a region as the host pages, so that one entry can hold for all 512.
        let aligned = self.rng.percent(65);
        let mut gfn = 0;
        for _ in 0..TRIES {
            gfn = self.rng.below(GFN_USED - 2048);
            // Now and then at the very end of what a guest can address.
            if self.rng.percent(4) {
                gfn += self.machine.gfn_end - GFN_USED;
            }
            if aligned {
                gfn = gfn / REGION * REGION + pages.first % REGION;
            }
            if Gfn::new(gfn).is_ok_and(|gfn| free(&gfn)) {
                break;
            }
        }
        let room = Span { first: gfn, count: pages.count }.guest_frames().take_while(free).count() as u64;
        let fits = self.rng.percent(FITTING) && room > 0;
        (if fits { Span { count: room, ..pages } } else { pages }, gfn)
    }

    /// A random page of RAM; for long ranges often the first of a region.
    fn ram_page(&mut self, length: u64) -> Pfn {
        let ram = &self.machine.ram;
        let total: u64 = ram.iter().map(|piece| piece.1 - piece.0).sum();
        let mut n = self.rng.below(total);
        let mut number = 0;
        for &(first, end) in ram {
            if n < end - first {
                number = first + n;
                break;
            }
            n -= end - first;
        }
        let aligned = number / REGION * REGION;
        if length > 100 && self.rng.percent(70) && ram.iter().any(|piece| (piece.0..piece.1).contains(&aligned)) {
            number = aligned;
        }
        Pfn::new(number).expect("RAM lies within 52 bits")
    }
}

/// Whether both lie in the same piece of RAM.
fn in_piece(ram: &[(u64, u64)], one: Pfn, other: Pfn) -> bool {
    ram.iter().any(|&(first, end)| [one, other].iter().all(|pfn| (first..end).contains(&pfn.number())))
}
