//! Leases, with real threads: who gets one, who is waited for, and what happens at the deadline.
#![cfg(feature = "std")]

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tenure_abi::{AddressWidth, Error, FrameRange, Gfn};
use tenure_host::lease::{AtDeadline, Generation, Holder, Kind, Leases, Prepared, Stuck};

const LONG: Duration = Duration::from_secs(60);
const NONE: Duration = Duration::ZERO;

fn gfns(first: u64, count: u64) -> FrameRange<Gfn> {
    FrameRange::new(Gfn::new(first).unwrap(), count, AddressWidth::MAX).unwrap()
}

/// Answers as it is told, and writes down what it hears.
struct Diary {
    answer: Mutex<Prepared>,
    heard: Mutex<Vec<(&'static str, u64, u64)>>,
    generation: Mutex<Option<Generation>>,
}

impl Diary {
    fn new(answer: Prepared) -> Arc<Self> {
        Arc::new(Self { answer: answer.into(), heard: Mutex::default(), generation: Mutex::default() })
    }

    fn note(&self, what: &'static str, gfns: FrameRange<Gfn>) {
        self.heard.lock().unwrap().push((what, gfns.first().number(), gfns.count()));
    }

    fn heard(&self) -> Vec<(&'static str, u64, u64)> {
        std::mem::take(&mut *self.heard.lock().unwrap())
    }
}

impl Holder for Diary {
    fn prepare(&self, generation: Generation, gfns: FrameRange<Gfn>) -> Prepared {
        // First: who waits for the note asks for the generation then.
        *self.generation.lock().unwrap() = Some(generation);
        self.note("prepare", gfns);
        *self.answer.lock().unwrap()
    }

    fn commit(&self, _: Generation, gfns: FrameRange<Gfn>) {
        self.note("commit", gfns);
    }

    fn abort(&self, _: Generation, gfns: FrameRange<Gfn>) {
        self.note("abort", gfns);
    }

    fn shared(&self, gfns: FrameRange<Gfn>) {
        self.note("shared", gfns);
    }

    fn kill(&self, _: Generation, gfns: FrameRange<Gfn>) {
        self.note("kill", gfns);
    }
}

#[test]
fn nobody_gets_a_lease_on_memory_that_is_being_revoked() {
    let leases = Leases::new();
    let revoked = leases.revoke(gfns(4, 2), NONE, AtDeadline::Refuse).unwrap();
    assert!(matches!(leases.access(gfns(5, 1)), Err(Error::Retry)));
    assert!(matches!(leases.map(gfns(5, 9), Kind::Pinned, Diary::new(Prepared::Yielded)), Err(Error::Retry)));
    let again = leases.revoke(gfns(0, 5), NONE, AtDeadline::Refuse).err();
    assert_eq!(again, Some(Stuck { error: Error::Retry, at: Gfn::new(0).unwrap() }));
    // A mapping next door is not in the way, nor is an access two MiB away.
    drop(leases.map(gfns(6, 1), Kind::Cooperative, Diary::new(Prepared::Yielded)).unwrap());
    drop(leases.access(gfns(512, 1)).unwrap());
    drop(revoked);
    drop(leases.access(gfns(4, 2)).unwrap());
}

#[test]
fn an_access_is_waited_for_and_ends_the_wait() {
    let leases = Leases::new();
    let access = leases.access(gfns(510, 4)).unwrap();
    let refused = leases.revoke(gfns(512, 1), Duration::from_millis(1), AtDeadline::Kill).err();
    assert_eq!(refused.map(|stuck| stuck.error), Some(Error::Busy));
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let revoked = leases.revoke(gfns(512, 1), LONG, AtDeadline::Refuse).unwrap();
            assert!(done.load(SeqCst), "it did not wait");
            revoked.commit();
        });
        while leases.access(gfns(512, 1)).is_ok() {
            std::thread::yield_now();
        }
        done.store(true, SeqCst);
        drop(access);
    });
}

#[test]
fn a_cooperative_holder_that_lets_go_later_is_waited_for_and_told_of_the_end() {
    let leases = Leases::new();
    let diary = Diary::new(Prepared::Later);
    let mapping = leases.map(gfns(0, 8), Kind::Cooperative, diary.clone()).unwrap();
    std::thread::scope(|scope| {
        let (asked, is_asked) = channel();
        let (leases, diary) = (&leases, &diary);
        scope.spawn(move || {
            let revoked = leases.revoke(gfns(4, 8), LONG, AtDeadline::Refuse).unwrap();
            assert_eq!(diary.heard(), [("prepare", 4, 4)]);
            revoked.commit();
            asked.send(()).unwrap();
        });
        let generation = loop {
            if let Some(generation) = *diary.generation.lock().unwrap() {
                break generation;
            }
            std::thread::yield_now();
        };
        assert!(mapping.yielded(generation));
        assert!(!mapping.yielded(Generation(generation.0 + 1)), "a generation that was never asked");
        is_asked.recv().unwrap();
        assert_eq!(diary.heard(), [("commit", 4, 4)]);
        assert!(!mapping.yielded(generation), "an answer to what is over counts for nothing");
    });
}

#[test]
fn at_the_deadline_the_callers_choice_happens() {
    let leases = Leases::new();
    let silent = Diary::new(Prepared::Later);
    let quick = Diary::new(Prepared::Yielded);
    let silent_one = leases.map(gfns(2, 1), Kind::Cooperative, silent.clone()).unwrap();
    let _quick_one = leases.map(gfns(0, 1), Kind::Cooperative, quick.clone()).unwrap();
    let refused = leases.revoke(gfns(0, 4), NONE, AtDeadline::Refuse).err();
    assert_eq!(refused, Some(Stuck { error: Error::Busy, at: Gfn::new(2).unwrap() }));
    assert_eq!(quick.heard(), [("prepare", 0, 1), ("abort", 0, 1)], "who let go gets it back");
    assert_eq!(silent.heard(), [("prepare", 2, 1), ("abort", 2, 1)]);
    leases.revoke(gfns(0, 4), NONE, AtDeadline::Kill).unwrap().commit();
    assert_eq!(silent.heard(), [("prepare", 2, 1), ("kill", 2, 1), ("commit", 2, 1)]);
    leases.revoke(gfns(0, 4), NONE, AtDeadline::Force).unwrap().commit();
    assert_eq!(silent.heard(), [("prepare", 2, 1), ("commit", 2, 1)]);
    let generation = silent.generation.lock().unwrap().unwrap();
    assert!(!silent_one.yielded(generation), "too late");
}

#[test]
fn a_pinned_mapping_cannot_be_revoked_and_a_kernel_enforced_one_is_not_waited_for() {
    let leases = Leases::new();
    let (pinned, enforced) = (Diary::new(Prepared::Yielded), Diary::new(Prepared::Later));
    let pin = leases.map(gfns(3, 1), Kind::Pinned, pinned.clone()).unwrap();
    let _map = leases.map(gfns(0, 4), Kind::KernelEnforced, enforced.clone()).unwrap();
    let refused = leases.revoke(gfns(0, 8), LONG, AtDeadline::Force).err();
    assert_eq!(refused, Some(Stuck { error: Error::Busy, at: Gfn::new(3).unwrap() }));
    assert_eq!((pinned.heard(), enforced.heard()), (vec![], vec![]), "nobody was disturbed");
    drop(pin);
    leases.revoke(gfns(0, 8), NONE, AtDeadline::Refuse).unwrap().commit();
    assert_eq!(enforced.heard(), [("prepare", 0, 4), ("commit", 0, 4)]);
    leases.share(gfns(1, 1)).unwrap().done();
    assert_eq!(enforced.heard(), [("shared", 1, 1)]);
}

#[test]
fn a_range_turns_there_and_back_again_whoever_is_told_of_it() {
    let leases = Leases::new();
    let holder = Diary::new(Prepared::Yielded);
    let _map = leases.map(gfns(8, 1), Kind::Cooperative, holder.clone()).unwrap();
    // Nobody holds the first, somebody the second.
    for range in [gfns(0, 4), gfns(8, 4)] {
        for _ in 0..2 {
            leases.revoke(range, NONE, AtDeadline::Refuse).unwrap().commit();
            let sharing = leases.share(range).unwrap();
            assert!(matches!(leases.share(range), Err(Stuck { error: Error::Retry, .. })));
            sharing.done();
        }
    }
    let round = [("prepare", 8, 1), ("commit", 8, 1), ("shared", 8, 1)];
    assert_eq!(holder.heard(), [round, round].concat());
}

#[test]
fn a_holder_that_refuses_or_is_gone_holds_up_nobody() {
    let leases = Leases::new();
    let stubborn = Diary::new(Prepared::Refused);
    let mapping = leases.map(gfns(0, 1), Kind::Cooperative, stubborn.clone()).unwrap();
    let refused = leases.revoke(gfns(0, 1), LONG, AtDeadline::Refuse).err();
    assert_eq!(refused, Some(Stuck { error: Error::Busy, at: Gfn::new(0).unwrap() }));
    assert_eq!(stubborn.heard(), [("prepare", 0, 1), ("abort", 0, 1)]);
    *stubborn.answer.lock().unwrap() = Prepared::Later;
    std::thread::scope(|scope| {
        scope.spawn(|| leases.revoke(gfns(0, 1), LONG, AtDeadline::Refuse).unwrap().commit());
        while stubborn.heard.lock().unwrap().is_empty() {
            std::thread::yield_now();
        }
        drop(mapping);
    });
    leases.revoke(gfns(0, 1), NONE, AtDeadline::Refuse).unwrap().commit();
}

#[test]
fn many_threads_never_touch_memory_that_is_private() {
    const ROUNDS: u32 = if cfg!(miri) { 20 } else { 2_000 };
    let leases = Leases::new();
    let private = AtomicBool::new(false);
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !over.load(SeqCst) {
                    let Ok(access) = leases.access(gfns(0, 1)) else { continue };
                    if !private.load(SeqCst) {
                        std::hint::spin_loop();
                        assert!(!private.load(SeqCst), "it turned private under an access");
                    }
                    drop(access);
                }
            });
        }
        for _ in 0..ROUNDS {
            let revoked = leases.revoke(gfns(0, 1), LONG, AtDeadline::Refuse).unwrap();
            private.store(true, SeqCst);
            revoked.commit();
            private.store(false, SeqCst);
        }
        over.store(true, SeqCst);
    });
}

#[test]
fn two_revocations_of_one_mapping_are_answered_each_for_itself() {
    let leases = Leases::new();
    let diary = Diary::new(Prepared::Later);
    let mapping = leases.map(gfns(0, 1024), Kind::Cooperative, diary.clone()).unwrap();
    std::thread::scope(|scope| {
        let generation = |heard| loop {
            if diary.heard.lock().unwrap().len() == heard {
                break diary.generation.lock().unwrap().unwrap();
            }
            std::thread::yield_now();
        };
        scope.spawn(|| leases.revoke(gfns(0, 1), LONG, AtDeadline::Refuse).unwrap().commit());
        let first = generation(1);
        scope.spawn(|| leases.revoke(gfns(1000, 1), LONG, AtDeadline::Refuse).unwrap().commit());
        let second = generation(2);
        assert_ne!(first, second);
        assert!(mapping.yielded(first) && mapping.yielded(second));
    });
    let mut heard = diary.heard();
    heard.sort_unstable();
    assert_eq!(heard, [("commit", 0, 1), ("commit", 1000, 1), ("prepare", 0, 1), ("prepare", 1000, 1)]);
}

#[test]
fn no_choice_at_the_deadline_passes_over_an_access() {
    let leases = Leases::new();
    let access = leases.access(gfns(0, 1)).unwrap();
    for then in [AtDeadline::Refuse, AtDeadline::Kill, AtDeadline::Force] {
        let refused = leases.revoke(gfns(0, 1), NONE, then).err();
        assert_eq!(refused.map(|stuck| stuck.error), Some(Error::Busy), "{then:?}");
    }
    let second = access.clone();
    drop(access);
    assert!(leases.revoke(gfns(0, 1), NONE, AtDeadline::Refuse).is_err(), "a clone is an access too");
    drop(second);
    assert!(leases.revoke(gfns(0, 1), NONE, AtDeadline::Refuse).is_ok());
}

#[test]
fn a_taker_with_patience_waits_for_the_end_of_a_revocation() {
    let leases = Leases::new();
    let revoked = leases.revoke(gfns(0, 1), NONE, AtDeadline::Refuse).unwrap();
    assert!(matches!(leases.access_within(gfns(0, 1), NONE), Err(Error::Retry)));
    std::thread::scope(|scope| {
        let taker = scope.spawn(|| leases.access_within(gfns(511, 2), LONG).is_ok());
        drop(revoked);
        assert!(taker.join().unwrap());
    });
}

/// A wake-up that is lost shows in nothing but the time: the deadline ends every wait.
#[test]
fn whoever_waits_is_woken_long_before_the_deadline() {
    let begun = std::time::Instant::now();
    for round in 0..20 {
        let leases = Leases::new();
        let wait = || std::thread::sleep(Duration::from_micros(round * 100));
        let access = leases.access(gfns(0, 1)).unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| leases.revoke(gfns(0, 1), LONG, AtDeadline::Refuse).unwrap().commit());
            while leases.access(gfns(0, 1)).is_ok() {
                std::thread::yield_now();
            }
            wait();
            drop(access);
        });
        let revoked = leases.revoke(gfns(0, 1), NONE, AtDeadline::Refuse).unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| leases.access_within(gfns(0, 1), LONG).map(drop).unwrap());
            wait();
            drop(revoked);
        });
        assert!(begun.elapsed() < LONG, "a wake-up was lost in round {round}");
    }
}

/// Lets go, and panics when it is told how anything came out.
struct Broken;

impl Holder for Broken {
    fn prepare(&self, _: Generation, _: FrameRange<Gfn>) -> Prepared {
        Prepared::Yielded
    }

    fn commit(&self, _: Generation, _: FrameRange<Gfn>) {
        std::panic::resume_unwind(Box::new("commit"));
    }

    fn abort(&self, _: Generation, _: FrameRange<Gfn>) {
        std::panic::resume_unwind(Box::new("abort"));
    }

    fn shared(&self, _: FrameRange<Gfn>) {
        std::panic::resume_unwind(Box::new("shared"));
    }

    fn kill(&self, _: Generation, _: FrameRange<Gfn>) {}
}

#[test]
fn a_panic_of_one_holder_passes_on_after_all_were_told() {
    let leases = Leases::new();
    let all = gfns(0, 1);
    let diary = Diary::new(Prepared::Yielded);
    let _mappings = [
        leases.map(all, Kind::Cooperative, Arc::new(Broken)).unwrap(),
        leases.map(all, Kind::Cooperative, diary.clone()).unwrap(),
        leases.map(all, Kind::Cooperative, Arc::new(Broken)).unwrap(),
    ];
    let revoke = || leases.revoke(all, NONE, AtDeadline::Refuse).unwrap();
    let tells: [(&str, &dyn Fn()); 3] = [
        ("commit", &|| revoke().commit()),
        ("abort", &|| drop(revoke())),
        ("shared", &|| leases.share(all).unwrap().done()),
    ];
    for (what, tell) in tells {
        let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(tell)).unwrap_err();
        assert_eq!(panic.downcast_ref(), Some(&what));
        assert_eq!(diary.heard().last(), Some(&(what, 0, 1)));
        drop(leases.access(all).expect("the conversion has ended"));
    }
}

#[test]
fn nobody_revokes_or_maps_memory_that_is_turning_shared() {
    let leases = Leases::new();
    let sharing = leases.share(gfns(0, 2)).unwrap();
    assert_eq!(leases.revoke(gfns(1, 1), NONE, AtDeadline::Force).err().map(|stuck| stuck.error), Some(Error::Retry));
    assert_eq!(leases.share(gfns(1, 1)).err().map(|stuck| stuck.error), Some(Error::Retry));
    assert!(leases.map(gfns(0, 1), Kind::Cooperative, Diary::new(Prepared::Yielded)).is_err());
    drop(leases.access(gfns(0, 1)).unwrap());
    drop(sharing);
    drop(leases.revoke(gfns(1, 1), NONE, AtDeadline::Refuse).unwrap());
}
