//! Long runs of random calls on larger files, with frames and nodes that run out.

use crate::calls::{Call, From};
use crate::exhaustive::{SCRAMBLING, SMALL, long, unenforced};
use crate::hardware;
use crate::oracle::Setup;
use crate::system::{System, with};
use std::collections::HashMap;
use tenure_abi::{ContentMode, Error, PageSize, Visibility};
use tenure_host::gmem::Access;
use tenure_host::platform::Sizes;

/// A generator of the xorshift family; the seed is fixed, so that a failure is the same for everyone.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % limit
    }

    fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize].clone()
    }

    /// A range: single pages, whole frames, and what lies across them.
    fn range(&mut self, pages: u64) -> (u64, u64) {
        let first = match self.below(3) {
            0 => self.below(pages.div_ceil(512)) * 512,
            1 => (self.below(pages.div_ceil(512)) * 512 + self.below(3)).min(pages - 1),
            _ => self.below(pages),
        };
        let count = match self.below(4) {
            0 => 512,
            1 => 1,
            2 => 1 + self.below(8),
            _ => 1 + self.below(pages),
        };
        (first, count.min(pages - first))
    }
}

/// A call that mostly fits what is there.
fn next(random: &mut Random, system: &System<'_>, seen: u64) -> Call {
    let oracle = &system.oracle;
    let pages = oracle.setup.pages;
    let (first, count) = random.range(pages);
    let bound = (!oracle.bound.is_empty()).then(|| random.pick(&oracle.bound));
    let bytes = 100 + seen;
    let access = random.pick(&[Access::Untold, Access::Untold, Access::Untold, Access::Private, Access::Shared]);
    let largest = random.pick(&[PageSize::Size4K, PageSize::Size1G, PageSize::Size1G]);
    match (random.below(22), bound) {
        (0..=5, _) => {
            let to = random.pick(&[Visibility::Private, Visibility::Shared]);
            let mode = random.pick(&[ContentMode::Unspecified, ContentMode::Zero, ContentMode::Preserve]);
            Call::Convert { first, count, to, mode }
        }
        (6..=8, _) => Call::HostTouch { page: first, bytes },
        (9..=12, Some(bound)) => {
            let gfn = bound.gfn + random.below(bound.count);
            Call::GuestTouch { guest: bound.guest, gfn, access, largest, bytes }
        }
        (13, Some(bound)) => {
            let skip = random.below(bound.count);
            let count = (1 + random.below(600)).min(bound.count - skip);
            Call::Prefault { guest: bound.guest, gfn: bound.gfn + skip, count, access: Access::Untold }
        }
        (14, Some(bound)) if random.below(3) == 0 => Call::Unbind { guest: bound.guest, gfn: bound.gfn },
        (15, _) => Call::Punch { first, count },
        (16, _) => Call::Allocate { first, count: count.min(600) },
        (17, _) => Call::MemoryError { page: first },
        (18, _) => Call::Pin { page: first },
        (19, _) => Call::Unpin { page: first },
        (20, Some(bound)) if !oracle.running[bound.guest] => {
            let source = random.pick(&[From::Zero, From::InPlace, From::Frames]);
            Call::Populate { guest: bound.guest, gfn: bound.gfn + random.below(bound.count), count: 1, source }
        }
        _ => {
            let guest = random.below(2) as usize;
            // Mostly where large entries fit, on both sides of the same place.
            let offset = random.pick(&[0x1_0000, 0x1_0000, 0x2_0000, 0x3_0003]) + (guest as u64) * 0x10_0000;
            Call::Bind { guest, gfn: offset + first, first, count }
        }
    }
}

/// Makes `calls` calls; how many of each answer.
fn run(setup: Setup, seed: u64, calls: u64) -> HashMap<Option<Error>, u64> {
    let mut answers = HashMap::new();
    with(setup, |system| {
        let mut random = Random(seed);
        for seen in 0..calls {
            let call = next(&mut random, system, seen);
            let mut after = system.oracle.clone();
            let expected = after.apply(&call);
            let answer = system.run(&call);
            *answers.entry(answer.error()).or_default() += 1;
            if answer.error() == Some(Error::NoMemory) && answer != expected {
                system.ran_out(&call, &answer);
            } else {
                assert_eq!(answer, expected, "call {seen}: {call:?}");
                system.oracle = after;
            }
            system.adopt(&call);
            system.compare_around(&call);
            if seen % 512 == 0 || calls - seen == 1 {
                system.compare();
            }
        }
    });
    answers
}

fn run_and_tell(name: &str, setup: Setup, quick: u64) -> HashMap<Option<Error>, u64> {
    let calls = if long() { 350_000 } else { quick };
    let answers = run(setup, 0x7e4_09e5, calls);
    println!("{name}: {calls} calls, {answers:?}");
    answers
}

const WIDE: Setup = Setup { pages: 1536 + 3, largest: PageSize::Size2M, frames: 512 * 8, nodes: 40, ..SMALL };

#[test]
fn a_larger_file_does_what_the_oracle_says() {
    let answers = run_and_tell("enforced", WIDE, 1_500);
    assert!(answers[&None] > answers.values().sum::<u64>() / 3, "most calls are refused: {answers:?}");
}

#[test]
fn a_larger_file_that_nobody_enforces_does_what_the_oracle_says() {
    let capabilities = unenforced(SCRAMBLING);
    run_and_tell("not enforced", Setup { hardware: false, capabilities, scatter: true, ..WIDE }, 1_000);
}

#[test]
fn a_larger_file_that_runs_out_of_everything_does_what_the_oracle_says() {
    let answers = run_and_tell("running out", Setup { frames: 1400, nodes: 5, ..WIDE }, 1_500);
    assert!(answers.contains_key(&Some(Error::NoMemory)), "nothing ran out: {answers:?}");
}

#[test]
fn a_platform_that_cannot_split_does_what_the_oracle_says() {
    let sizes = Sizes::SIZE_4K;
    let capabilities = tenure_host::platform::Capabilities { sizes, resize: false, ..hardware::CAPABILITIES };
    run_and_tell("no splits", Setup { capabilities, running: [false, true], ..WIDE }, 800);
}
