//! Which guest memory was converted lately: what tells a stale memory fault from a true one.
//!
//! The kernel decides what an access was, and later whether it fits; a conversion in between makes a fault that says what was true
//! before. By the time the VMM looks, only the clock can tell. Memory is remembered by 2 MiB, and distant memory shares
//! a place: a fault may be taken for stale by mistake, which costs one more entry into the guest, and never for true.

use core::sync::atomic::Ordering::SeqCst;
use core::sync::atomic::{AtomicU32, AtomicU64};
use tenure_abi::{FrameRange, Gfn, PageSize};

/// How many places.
const PLACES: usize = 64;

/// A moment on one guest's clock of conversions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment(u64);

struct Place {
    under_way: AtomicU32,
    ended: AtomicU64,
}

/// The conversions of one guest.
pub(crate) struct Recent {
    clock: AtomicU64,
    places: [Place; PLACES],
}

impl Recent {
    pub(crate) const fn new() -> Self {
        let places = [const { Place { under_way: AtomicU32::new(0), ended: AtomicU64::new(0) } }; PLACES];
        Self { clock: AtomicU64::new(0), places }
    }

    /// Now.
    #[inline]
    pub(crate) fn now(&self) -> Moment {
        Moment(self.clock.load(SeqCst))
    }

    /// A conversion of `gfns` begins; it has ended when the guard is dropped, however it came out.
    #[inline]
    pub(crate) fn begin(&self, gfns: FrameRange<Gfn>) -> Conversion<'_> {
        for place in self.places(gfns) {
            place.under_way.fetch_add(1, SeqCst);
        }
        Conversion { recent: self, gfns }
    }

    /// Whether some of `gfns` is being converted, or was since `moment`.
    pub(crate) fn since(&self, gfns: FrameRange<Gfn>, Moment(moment): Moment) -> bool {
        // In this order: a conversion that is no longer under way has left its mark.
        self.places(gfns).any(|place| place.under_way.load(SeqCst) != 0 || place.ended.load(SeqCst) > moment)
    }

    /// The places of a range, each once.
    #[inline]
    fn places(&self, gfns: FrameRange<Gfn>) -> impl Iterator<Item = &Place> {
        let granule = PageSize::Size2M.frames();
        let (first, last) = (gfns.first().number() / granule, (gfns.end() - 1) / granule);
        let count = (last - first + 1).min(PLACES as u64);
        (first..first + count).map(|place| &self.places[place as usize % PLACES])
    }
}

/// A conversion under way.
pub(crate) struct Conversion<'r> {
    recent: &'r Recent,
    gfns: FrameRange<Gfn>,
}

impl Drop for Conversion<'_> {
    #[inline]
    fn drop(&mut self) {
        let now = self.recent.clock.fetch_add(1, SeqCst) + 1;
        for place in self.recent.places(self.gfns) {
            place.ended.fetch_max(now, SeqCst);
            place.under_way.fetch_sub(1, SeqCst);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tenure_abi::AddressWidth;

    fn gfns(first: u64, count: u64) -> FrameRange<Gfn> {
        FrameRange::new(Gfn::new(first).unwrap(), count, AddressWidth::MAX).unwrap()
    }

    #[test]
    fn a_conversion_is_recent_while_it_lasts_and_for_whoever_entered_before_it_ended() {
        let recent = Recent::new();
        let before = recent.now();
        assert!(!recent.since(gfns(0, 1024), before));
        let conversion = recent.begin(gfns(510, 4));
        let during = recent.now();
        assert!(recent.since(gfns(0, 1), during) && recent.since(gfns(1000, 1), during));
        assert!(!recent.since(gfns(1024, 1), during));
        drop(conversion);
        assert!(recent.since(gfns(0, 1), before) && recent.since(gfns(0, 1), during));
        assert!(!recent.since(gfns(0, 1024), recent.now()));
    }

    #[test]
    fn a_range_of_all_memory_is_everywhere_once() {
        let recent = Recent::new();
        let all = gfns(0, AddressWidth::MAX.frames());
        let (before, conversion) = (recent.now(), recent.begin(all));
        assert!((0..PLACES as u64).all(|place| recent.since(gfns(place * 512, 1), before)));
        drop(conversion);
        assert!(!recent.since(all, recent.now()));
    }
}
