//! Audit, compaction and quarantine beside claims.
#![cfg(loom)]

use loom::thread::spawn;
use std::sync::Arc;
use tenure_abi::{Error, Pfn};
use tenure_hyp::tracker::layout::REGION_PAGES;
use tenure_hyp::tracker::{Identity, Kind, Transition};
use tenure_loom::moves::model;
use tenure_loom::world::{PAGES, World, guest};

const NONE: Identity = Identity::NONE;

#[test]
fn an_audit_beside_a_claim_finds_every_region_sound() {
    model("audit_against_claim", None, || {
        let world = World::new();
        let other = Arc::clone(&world);
        let thread = spawn(move || other.go(Transition::HostDonateHyp, 3, 2, NONE));
        let audit = world.tracker.audit(Pfn::new(0).unwrap(), u64::MAX);
        assert_eq!((audit.faults, audit.next), (0, None), "{audit:?}");
        assert_eq!(audit.kinds.iter().sum::<u64>(), audit.pages);
        assert_eq!(audit.pages + audit.busy * REGION_PAGES, PAGES);
        thread.join().unwrap().ok();
        world.settled();
    });
}

#[test]
fn an_audit_beside_the_return_of_a_block_finds_every_region_sound() {
    model("audit_against_merge", None, || {
        let world = World::new();
        world.go(Transition::HostDonateHyp, 0, 1, NONE).unwrap();
        let other = Arc::clone(&world);
        let thread = spawn(move || {
            other.go(Transition::HypDonateHost, 0, 1, NONE).ok();
            other.go(Transition::HostDonateHyp, 5, 1, NONE).ok();
        });
        let audit = world.tracker.audit(Pfn::new(0).unwrap(), u64::MAX);
        assert_eq!(audit.faults, 0, "{audit:?}");
        thread.join().unwrap();
        world.settled();
    });
}

#[test]
fn compaction_beside_a_claim_loses_neither_entry_nor_block() {
    model("compact_against_claim", None, || {
        let world = World::new();
        // Three pages, then the fourth: alike, but still in a block.
        world.go(Transition::HostShareHyp, 0, 3, NONE).unwrap();
        world.go(Transition::HostShareHyp, 3, 1, NONE).unwrap();
        let other = Arc::clone(&world);
        let thread = spawn(move || other.tracker.compact(Pfn::new(0).unwrap(), PAGES));
        let unshared = world.go(Transition::HostUnshareHyp, 1, 1, NONE);
        let compacted = thread.join().unwrap();
        let kinds = world.settled();
        assert!(compacted <= 1);
        let changed = if unshared.is_ok() { Kind::HostExclusive } else { Kind::HostSharedHyp };
        assert_eq!(kinds[..4], [Kind::HostSharedHyp, changed, Kind::HostSharedHyp, Kind::HostSharedHyp]);
    });
}

#[test]
fn a_contradiction_withdraws_its_page_and_no_other() {
    model("quarantine_against_claim", None, || {
        let world = World::new();
        world.go(Transition::HostDonateGuest, 0, 4, guest(1, 0x40)).unwrap();
        let other = Arc::clone(&world);
        // The caller's table says another gfn than the entry: one of them is wrong.
        let thread = spawn(move || other.go(Transition::GuestShareHost, 1, 1, guest(1, 0x77)));
        let shared = world.go(Transition::GuestShareHost, 3, 1, guest(1, 0x43));
        let refused = thread.join().unwrap().unwrap_err();
        let kinds = world.settled();
        let withdrawn = refused == Error::Internal;
        assert!(withdrawn || refused == Error::Retry, "{refused:?}");
        assert_eq!(world.tracker.contradictions(), u64::from(withdrawn));
        assert_eq!(kinds[1], if withdrawn { Kind::Quarantined } else { Kind::GuestExclusive });
        assert_eq!(kinds[3], if shared.is_ok() { Kind::GuestSharedHost } else { Kind::GuestExclusive });
    });
}
