//! Random calls on a tracker with a failing pool, beside a tracker with a block for each region: the same answers and the same
//! entries, but for the calls that found no block.

use crate::pool::{END, RAM, REGIONS, System, entries, go, guest, leak, tracker_on};
use tenure_abi::{Error, Pfn};
use tenure_hyp::tracker::{AllAtStart, Block, BlockSource, Identity, Kind, Tracker, Transition};
use tenure_test_board::pfns;

/// A generator of the xorshift family; the seed is fixed, so that a failure is the same for everyone.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % limit
    }
}

/// How many calls: more with `TENURE_LONG` in the environment, a few where they are interpreted.
fn calls() -> u64 {
    if cfg!(miri) {
        return 200;
    }
    if std::env::var_os("TENURE_LONG").is_some() { 2_000_000 } else { 20_000 }
}

/// What can be done with a page of this kind; the ways home more often than those away.
fn fitting(kind: Option<Kind>) -> &'static [Transition] {
    use Transition::{
        ForceReclaim, GuestRelinquish, GuestShareHost, GuestUnshareHost, HostDonateGuest, HostDonateHyp,
        HostShareGuest, HostShareHyp, HostUnshareGuest, HostUnshareHyp, HypDonateHost, ReclaimOwned, ReclaimShared,
    };
    match kind {
        Some(Kind::HostSharedHyp) => &[HostUnshareHyp],
        Some(Kind::HostSharedGuests) => &[HostUnshareGuest, HostUnshareGuest, HostShareGuest],
        Some(Kind::HypExclusive) => &[HypDonateHost],
        Some(Kind::GuestExclusive) => &[GuestShareHost, ReclaimOwned, GuestRelinquish, ForceReclaim],
        Some(Kind::GuestSharedHost) => &[GuestUnshareHost, ReclaimShared],
        _ => &[HostShareHyp, HostDonateHyp, HostShareGuest, HostDonateGuest],
    }
}

/// Every page back to the host, in steps that its kind allows.
fn go_home<B: BlockSource>(tracker: &Tracker<'static, B>) {
    for page in RAM..END {
        loop {
            let pfn = Pfn::new(page).unwrap();
            let entry = tracker.lock_region(pfn).unwrap().entry(pfn);
            let op = match entry.kind() {
                Some(Kind::HostExclusive) => break,
                Some(Kind::HostSharedHyp) if entry.count() != 0 => Transition::HypUnpin,
                Some(Kind::GuestExclusive) => Transition::ReclaimOwned,
                Some(Kind::GuestSharedHost) => Transition::ReclaimShared,
                kind => fitting(kind)[0],
            };
            assert_eq!(go(tracker, op, pfns(page, 1), guest(1, page)), Ok(1), "{page:#x} {op:?}");
        }
    }
    tracker.compact(Pfn::new(RAM).unwrap(), END - RAM);
}

#[test]
fn a_failing_pool_changes_no_answer_but_no_memory() {
    let mut random = Random(0x7e4_09e5);
    let system = System::new();
    let blocks = leak((0..REGIONS).map(|_| Block::zeroed()).collect());
    let plain = tracker_on(AllAtStart::new(blocks));
    let (mut without, mut moved) = (0, 0);
    for call in 0..calls() {
        let (first, count) = match random.below(4) {
            0 | 1 => (RAM + random.below(REGIONS) * 512, 512),
            2 => (RAM + random.below(2048), 1 + random.below(700)),
            _ => (RAM + random.below(2048), 1 + random.below(4)),
        };
        let frames = pfns(first, count.min(END - first));
        // Mostly what its first page allows, so that things move.
        let entry = plain.lock_region(frames.first()).unwrap().entry(frames.first());
        let fitting = fitting(entry.kind());
        let op = match random.below(8) {
            0 => Transition::ALL[random.below(15) as usize],
            _ => fitting[random.below(fitting.len() as u64) as usize],
        };
        // A guest's frame follows from the page, so that a second call finds what a first one did.
        let id = if op.row().names_guest() { guest(1, first) } else { Identity::NONE };
        // An unpin of what is not pinned is a contradiction: another test's matter.
        if op == Transition::HypUnpin && (frames.count() > 1 || entry.count() == 0) {
            continue;
        }
        let failing = random.below(3) == 0;
        system.pool.fail(failing.then(|| random.below(2)));
        let dropped = random.below(8) == 0;
        let found = match dropped {
            true => system.tracker.claim(op, frames, id).map(|claim| claim.count()),
            false => go(&system.tracker, op, frames, id),
        };
        system.pool.fail(None);
        if found.is_err_and(|refused| refused.error == Error::NoMemory) {
            without += 1;
            continue;
        }
        let wanted = match dropped {
            true => plain.claim(op, frames, id).map(|claim| claim.count()),
            false => go(&plain, op, frames, id),
        };
        assert_eq!(found, wanted, "{call}: {op:?} {frames:?}");
        moved += u64::from(found.is_ok());
        if call % 4 == 0 {
            system.tracker.compact(frames.first(), count);
        }
        if call % 64 == 0 {
            // Page by page, all memory goes home: blocks too.
            go_home(&plain);
            go_home(&system.tracker);
            assert_eq!(system.pool.out(), 0, "{call}");
            system.sound();
            assert!(system.entries() == entries(&plain), "{call}");
        }
    }
    assert!(without > calls() / 100 && moved > calls() / 20, "{without} found no block, {moved} moved");
    assert!(system.entries() == entries(&plain));
    system.sound();
}
