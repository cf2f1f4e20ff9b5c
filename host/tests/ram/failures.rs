//! Every call of every operation fails once, in every way: what is on record stays what the kernel thinks, and the same operation
//! made again comes to its end.

use crate::fake::{Fake, gfn, gfns, truth};
use tenure_abi::{ContentMode, Errno, Visibility};
use tenure_host::convert::{Front, NoLeases, Request};
use tenure_host::ram::{Ram, Strategy};

const IN_PLACE: Strategy = Strategy::InPlace { content_modes: false };
const STRATEGIES: [Strategy; 2] = [IN_PLACE, Strategy::TwoBackings];
const ERRNOS: [Errno; 4] = [Errno::EAGAIN, Errno::ENOMEM, Errno::EIO, Errno::EBADF];

/// Frames 0x100 to 0x107, all touched on the side they are on.
fn touched(fake: &Fake, ram: &Ram<Fake>, strategy: Strategy) {
    for page in 0..8 {
        let side = match (strategy, ram.visibility(gfn(0x100 + page)).unwrap()) {
            (Strategy::TwoBackings, Visibility::Shared) => 2,
            _ => 1,
        };
        fake.state().backed.insert((side, page));
    }
}

fn agrees(fake: &Fake, ram: &Ram<Fake>, strategy: Strategy) {
    for at in 0x100..0x108 {
        assert_eq!(ram.visibility(gfn(at)), Some(truth(fake, strategy, 1, 0x100, at)), "{at:#x}");
    }
}

/// No page is backed on the side that it is not on.
fn not_doubled(fake: &Fake, ram: &Ram<Fake>) {
    for (which, page) in &fake.state().backed {
        let on_shared = *which == 2;
        assert_eq!(ram.visibility(gfn(0x100 + page)) == Some(Visibility::Shared), on_shared, "page {page}");
    }
}

#[test]
fn a_conversion_that_fails_at_any_call_leaves_a_true_record_and_can_be_made_again() {
    for (strategy, to, mode) in STRATEGIES.into_iter().flat_map(|strategy| {
        let modes = [
            (Visibility::Shared, ContentMode::Unspecified),
            (Visibility::Shared, ContentMode::Zero),
            (Visibility::Private, ContentMode::Unspecified),
        ];
        modes.map(|(to, mode)| (strategy, to, mode))
    }) {
        let from = if to == Visibility::Shared { Visibility::Private } else { Visibility::Shared };
        for errno in ERRNOS {
            for failing in 1..=4 {
                let fake = Fake::default();
                let front = Front::new(fake.ram(strategy), NoLeases);
                front.backing().add(gfns(0x100, 8), from).unwrap();
                touched(&fake, front.backing(), strategy);
                let before = fake.state().calls;
                fake.state().fails = Some((before + failing, errno));
                let request = Request { gfns: gfns(0x102, 4), to };
                let failed = front.convert(request, mode);
                agrees(&fake, front.backing(), strategy);
                if failed.is_ok() {
                    assert!(fake.state().calls < before + failing, "the failure was not noticed");
                    continue;
                }
                let last = front.backing().last_failure().unwrap();
                assert_eq!(last.errno, errno, "{strategy:?} {failing}");
                front.convert(request, mode).unwrap();
                agrees(&fake, front.backing(), strategy);
                assert_eq!(front.backing().visibility(gfn(0x102)), Some(to));
                if strategy == Strategy::TwoBackings {
                    not_doubled(&fake, front.backing());
                }
                let calls = fake.state().calls;
                front.convert(request, ContentMode::Unspecified).unwrap();
                assert_eq!(fake.state().calls, calls, "what is so already costs nothing");
            }
        }
    }
}

#[test]
fn memory_that_cannot_be_added_leaves_nothing_behind() {
    for (strategy, initially) in STRATEGIES
        .into_iter()
        .flat_map(|strategy| [(strategy, Visibility::Private), (strategy, Visibility::Shared)])
        .chain([(Strategy::SharedOnly { file: true }, Visibility::Shared)])
        .chain([(Strategy::SharedOnly { file: false }, Visibility::Shared), (Strategy::Protected, Visibility::Private)])
    {
        for failing in 1..=5 {
            let fake = Fake::default();
            let ram = fake.ram(strategy);
            fake.state().fails = Some((failing, Errno::ENOMEM));
            let added = ram.add(gfns(0x100, 8), initially);
            if added.is_ok() {
                assert!(fake.state().calls < failing, "{strategy:?}");
                fake.state().fails = None;
                ram.remove(gfn(0x100)).unwrap();
            }
            let state = fake.state();
            let left = (state.slots.len(), state.private.len(), state.open.len(), ram.map().len());
            assert_eq!(left, (0, 0, 0, 0), "{strategy:?} {failing}");
        }
    }
}

#[test]
fn memory_whose_slot_cannot_be_deleted_stays_as_it_is() {
    let fake = Fake::default();
    let front = Front::new(fake.ram(Strategy::TwoBackings), NoLeases);
    front.backing().add(gfns(0x100, 8), Visibility::Private).unwrap();
    let calls = fake.state().calls;
    fake.state().fails = Some((calls + 1, Errno::EIO));
    assert_eq!(front.backing().remove(gfn(0x100)).unwrap_err().errno, Errno::EIO);
    agrees(&fake, front.backing(), Strategy::TwoBackings);
    front.convert(Request { gfns: gfns(0x100, 8), to: Visibility::Shared }, ContentMode::Unspecified).unwrap();
    front.backing().remove(gfn(0x100)).unwrap();
    assert!(fake.state().open.is_empty());
}

#[test]
fn a_balloon_frees_the_side_that_is_used_and_names_the_first_frame_it_could_not() {
    let fake = Fake::default();
    let front = Front::new(fake.ram(Strategy::TwoBackings), NoLeases);
    front.backing().add(gfns(0x100, 8), Visibility::Private).unwrap();
    front.convert(Request { gfns: gfns(0x104, 4), to: Visibility::Shared }, ContentMode::Unspecified).unwrap();
    touched(&fake, front.backing(), Strategy::TwoBackings);
    let calls = fake.state().calls;
    fake.state().fails = Some((calls + 2, Errno::EIO));
    let failed = front.backing().balloon(gfns(0x102, 4)).unwrap_err();
    assert_eq!(failed, (gfn(0x104), tenure_abi::Error::Internal));
    assert_eq!(fake.state().backed.len(), 6);
    front.backing().balloon(gfns(0x102, 4)).unwrap();
    let left: Vec<_> = fake.state().backed.iter().copied().collect();
    assert_eq!(left, [(1, 0), (1, 1), (2, 6), (2, 7)]);
    agrees(&fake, front.backing(), Strategy::TwoBackings);
}
