//! The hardware fails while it takes access away, at every page of a claim, and again at every page of the second try.
//!
//! The platform here is a set of who can reach which page. A take fails *untouched*, and the page is restored, or
//! *unproven*: the hardware may have done anything, so the page goes into quarantine.

use crate::pool::{RAM, System, guest};
use std::collections::BTreeSet;
use tenure_abi::{Error, PageSize, PageState, Pfn, QuarantineReason};
use tenure_hyp::tracker::Transition::{ForceReclaim, GuestRelinquish, HostDonateGuest, ReclaimOwned};
use tenure_hyp::tracker::rules::Loser;
use tenure_hyp::tracker::{Entry, Kind, Transition};
use tenure_test_board::pfns;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Party {
    Host,
    Guest,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Failure {
    Untouched,
    Unproven,
}

/// Who can reach which page, whatever the records say; what became of a page in quarantine is unknown.
struct Hardware {
    /// By page, by party.
    reach: Vec<[bool; 2]>,
    unknown: BTreeSet<u64>,
}

impl Hardware {
    /// All of it is the host's.
    fn new() -> Self {
        Self { reach: vec![[true, false]; 2048], unknown: BTreeSet::new() }
    }

    fn reach(&mut self, page: u64, party: Party) -> &mut bool {
        &mut self.reach[usize::try_from(page - RAM).unwrap()][party as usize]
    }

    fn agrees(&self, system: &System) {
        for (page, entry) in system.entries() {
            let kind = entry.kind().unwrap();
            let may = |party| match party {
                Party::Host => kind.host_may_touch(),
                Party::Guest => kind == Kind::GuestExclusive,
            };
            for party in [Party::Host, Party::Guest] {
                let can = self.reach[usize::try_from(page - RAM).unwrap()][party as usize];
                assert!(!can || may(party) || self.unknown.contains(&page), "{party:?} reaches {page:#x}: {entry:?}");
            }
            assert_eq!(kind == Kind::Quarantined, self.unknown.contains(&page), "{page:#x}");
        }
    }
}

const SLOT: u16 = 7;

/// One transition of as many pages as go, on the hardware: the take of page `fail.0` fails so.
fn transfer(
    system: &System,
    hw: &mut Hardware,
    op: Transition,
    first: u64,
    count: u64,
    fail: Option<(u64, Failure)>,
) -> Result<u64, Error> {
    let row = op.row();
    let (loser, gainer) = match row.loser {
        Loser::Host => (Party::Host, Party::Guest),
        _ => (Party::Guest, Party::Host),
    };
    let mut claim = system.tracker.claim(op, pfns(first, count), guest(SLOT, first)).map_err(|r| r.error)?;
    let mut done = 0;
    let mut stuck = None;
    for page in claim.first()..claim.first() + claim.count() {
        match fail.filter(|&(at, _)| at == page) {
            Some((_, Failure::Untouched)) => break,
            Some((_, Failure::Unproven)) => {
                hw.unknown.insert(page);
                stuck = Some(QuarantineReason::TakeUnproven);
                break;
            }
            None => {
                *hw.reach(page, loser) = false;
                done += 1;
            }
        }
    }
    claim.park();
    assert_eq!(system.tracker.state(Pfn::new(first).unwrap()), Err(Error::Retry));
    claim.settle(done, stuck, PageSize::Size4K)?;
    for page in first..first + done {
        *hw.reach(page, gainer) = true;
    }
    Ok(done + u64::from(stuck.is_some()))
}

/// Where the pages are: in the middle of a region, at its start, at its end, all of it.
const SHAPES: &[(u64, u64)] = if cfg!(miri) { &[(508, 2)] } else { &[(20, 4), (0, 4), (508, 4), (512, 512)] };

/// A system whose hardware agrees, before `op` on the pages; in a mixed region if `mixed`.
fn before(op: Transition, first: u64, count: u64, mixed: bool) -> (System, Hardware) {
    let system = System::new();
    let mut hw = Hardware::new();
    let region = RAM + first / 512 * 512;
    if op != HostDonateGuest {
        // The guest has the region's other pages too, or just these.
        let (from, pages) = if mixed { (RAM + first, count) } else { (region, 512) };
        assert_eq!(transfer(&system, &mut hw, HostDonateGuest, from, pages, None), Ok(pages));
    } else if mixed {
        let other = if first.is_multiple_of(512) { region + count } else { region };
        assert_eq!(transfer(&system, &mut hw, HostDonateGuest, other, 1, None), Ok(1));
    }
    hw.agrees(&system);
    (system, hw)
}

#[test]
fn a_take_that_fails_anywhere_and_again_anywhere_loses_nothing() {
    let mut runs = 0;
    for op in [HostDonateGuest, ReclaimOwned, GuestRelinquish, ForceReclaim] {
        for &(at, count) in SHAPES {
            let first = RAM + at;
            let points: Vec<u64> = match count {
                512 => vec![0, 1, 511],
                _ => (0..count).collect(),
            };
            let failures: Vec<(u64, Failure)> = points
                .iter()
                .flat_map(|&p| [(first + p, Failure::Untouched), (first + p, Failure::Unproven)])
                .collect();
            for mixed in [false, true].into_iter().take(if count == 512 { 1 } else { 2 }) {
                for &one in &failures {
                    for &two in failures.iter().filter(|two| two.0 >= one.0) {
                        let (system, mut hw) = before(op, at, count, mixed);
                        run(&system, &mut hw, op, first, count, [one, two]);
                        runs += 1;
                    }
                }
            }
        }
    }
    assert!(runs > if cfg!(miri) { 20 } else { 900 }, "{runs}");
}

fn run(system: &System, hw: &mut Hardware, op: Transition, first: u64, count: u64, failures: [(u64, Failure); 2]) {
    let entries = system.entries();
    let mut done = 0;
    let mut tries = failures.into_iter();
    while done < count {
        let fail = tries.next().filter(|&(page, _)| page >= first + done);
        done += transfer(system, hw, op, first + done, count - done, fail).unwrap();
        hw.agrees(system);
        system.sound();
    }
    let stuck: BTreeSet<u64> = hw.unknown.clone();
    let audit = system.tracker.audit(Pfn::new(0).unwrap(), u64::MAX);
    assert_eq!(audit.kinds[Kind::Quarantined as usize], stuck.len() as u64, "every quarantine is counted");
    assert_eq!(system.tracker.contradictions(), 0, "hardware that fails is no contradiction");
    for ((page, now), (_, was)) in system.entries().into_iter().zip(entries) {
        let inside = (first..first + count).contains(&page);
        match (inside, stuck.contains(&page)) {
            (false, _) => assert_eq!(now, was, "{page:#x} is none of its business"),
            (true, false) if op == HostDonateGuest => assert_eq!(now.kind(), Some(Kind::GuestExclusive)),
            (true, false) => assert_eq!(now, Entry::HOST),
            (true, true) => {
                let PageState::Quarantined { was: owner, .. } = now.state() else { panic!("{now:?}") };
                let PageState::Exclusive(old) = was.state() else { panic!("{was:?}") };
                assert_eq!(owner, old, "a quarantine remembers whose the page was");
            }
        }
    }
    for &page in &stuck {
        for op in Transition::ALL {
            let refused = system.go(op, page, 1, guest(SLOT, page)).unwrap_err().error;
            assert_eq!(refused, Error::Quarantined, "{op:?}: a page in quarantine goes nowhere");
        }
    }
}
