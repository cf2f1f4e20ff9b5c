//! Threads convert, give back, add and remove memory at once: the record ends true, and nothing is left.

use crate::fake::{Fake, gfn, gfns, truth};
use std::sync::atomic::{AtomicBool, Ordering};
use tenure_abi::{ContentMode, Error, Visibility};
use tenure_host::convert::{Front, NoLeases, Request};
use tenure_host::ram::Strategy;

const ROUNDS: u64 = if cfg!(miri) { 20 } else { 2000 };

#[test]
fn the_record_is_what_the_kernel_thinks_after_any_race() {
    for strategy in [Strategy::InPlace { content_modes: false }, Strategy::TwoBackings] {
        let fake = Fake::default();
        let front = Front::new(fake.ram(strategy), NoLeases);
        front.backing().add(gfns(0x100, 64), Visibility::Private).unwrap();
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for thread in 0..3_u64 {
                let front = &front;
                scope.spawn(move || {
                    for round in 0..ROUNDS {
                        let (first, count) = ((round * 7 + thread * 13) % 60, 1 + (round + thread) % 4);
                        let to = if (round / 3 + thread) % 2 == 0 { Visibility::Shared } else { Visibility::Private };
                        let request = Request { gfns: gfns(0x100 + first, count), to };
                        front.convert(request, ContentMode::Unspecified).unwrap();
                        if round % 5 == 0 {
                            front.backing().balloon(request.gfns).unwrap();
                        }
                    }
                });
            }
            // Somebody plugs other memory in and out, and somebody else converts it while it is there.
            let (front, done) = (&front, &done);
            scope.spawn(move || {
                for _ in 0..ROUNDS / 10 {
                    front.backing().add(gfns(0x200, 8), Visibility::Private).unwrap();
                    front.backing().remove(gfn(0x200)).unwrap();
                }
                done.store(true, Ordering::Release);
            });
            scope.spawn(move || {
                while !done.load(Ordering::Acquire) {
                    let request = Request { gfns: gfns(0x202, 2), to: Visibility::Shared };
                    match front.convert(request, ContentMode::Unspecified) {
                        Ok(()) => {}
                        Err(stopped) => assert_eq!(stopped.error, Error::NotFound),
                    }
                }
            });
        });
        for at in 0x100..0x140 {
            assert_eq!(front.backing().visibility(gfn(at)), Some(truth(&fake, strategy, 1, 0x100, at)), "{at:#x}");
        }
        if strategy == Strategy::TwoBackings {
            assert!(fake.state().private.iter().all(|gfn| *gfn < 0x140), "attributes outlive their memory");
        }
        front.backing().remove(gfn(0x100)).unwrap();
        assert!(fake.state().open.is_empty());
    }
}
