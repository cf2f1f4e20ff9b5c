//! The tracker against the specification. `oracle-run` makes as many calls as one likes.

use tenure_abi::{Borrower, Owner, PageSize, PageState, Pfn, VmSlot};
use tenure_hyp::tracker::{Identity, Transition};
use tenure_oracle::lockstep::blocks::{Memory, PLENTY};
use tenure_oracle::lockstep::dispatch::{self, Dispatch};
use tenure_oracle::lockstep::run::{replay, run};
use tenure_oracle::lockstep::shrink::shrink;
use tenure_oracle::lockstep::system::System;
use tenure_oracle::lockstep::{LIMITS, LockStep, Stats};
use tenure_oracle::op::Op;
use tenure_oracle::spec::{Span, VmKind};
use tenure_oracle::trace;

/// Calls of the long trace; without optimisation a sample.
const CALLS: u64 = if cfg!(debug_assertions) { 15_000 } else { 1_000_000 };
/// Blocks for the four regions at unaligned edges and this many more are too few.
const FEW_BLOCKS: [usize; 3] = [4, 6, 9];

const PAGE: u64 = 0x4_0010;

fn at(first: u64, count: u64) -> Span {
    Span { first, count }
}

fn long_run(seed: u64, calls: u64, blocks: usize) -> Stats {
    let mut memory = Memory::new(blocks);
    match run(System::new(&mut memory).unwrap(), seed, calls, |_| {}) {
        Ok(pair) => pair.stats,
        Err(failure) => panic!("{}", failure.divergence.what),
    }
}

#[test]
fn a_long_trace_does_not_diverge() {
    let stats = long_run(1, CALLS, PLENTY);
    println!("{stats:?}");
    assert!(stats.done > CALLS / 2 && stats.pages > 10 * CALLS, "{stats:?}");
}

fn el2_run(seed: u64, calls: u64, tables: u64) -> Stats {
    match run(Dispatch::new(tables), seed, calls, |_| {}) {
        Ok(pair) => pair.stats,
        Err(failure) => panic!("{}", failure.divergence.what),
    }
}

#[test]
fn el2_on_a_board_does_not_diverge() {
    let stats = el2_run(2, CALLS / 10, dispatch::PLENTY);
    assert!(stats.done > CALLS / 20, "{stats:?}");
}

#[test]
fn a_call_that_finds_no_table_page_changes_nothing() {
    for tables in [1, 4, 9] {
        let stats = el2_run(6, CALLS / 20, tables);
        assert!(stats.no_memory > 0 && stats.done > 0, "{tables} tables: {stats:?}");
    }
}

#[test]
fn a_call_that_finds_no_block_changes_nothing() {
    for blocks in FEW_BLOCKS {
        let stats = long_run(5, CALLS / 20, blocks);
        assert!(stats.no_memory > 0 && stats.done > 0, "{blocks} blocks: {stats:?}");
    }
}

#[test]
fn pins_saturate_and_the_range_that_holds_one_such_page_is_refused_there() {
    let mut memory = Memory::new(PLENTY);
    let mut pair = LockStep::new(System::new(&mut memory).unwrap());
    pair.step(Op::HostShareHyp(at(PAGE, 3))).unwrap();
    for _ in 0..=LIMITS.pins {
        pair.step(Op::HypPin(at(PAGE + 1, 1))).unwrap();
    }
    pair.step(Op::HypPin(at(PAGE, 3))).unwrap();
    let full = PageState::Shared { owner: Owner::Host, with: Borrower::Hyp { pins: LIMITS.pins } };
    assert_eq!(pair.subject.tracker.state(Pfn::new(PAGE + 1).unwrap()), Ok(full));
    pair.compare_all(Op::HypPin(at(PAGE, 3))).unwrap();
}

#[test]
fn one_page_mapped_at_many_addresses_of_one_range_is_unmapped_at_each() {
    let vm = VmSlot::new(5).unwrap();
    let mut calls = vec![Op::VmCreate { vm, kind: VmKind::NonProtected }];
    calls.extend((0..9).map(|gfn| Op::HostShareGuest { vm, pages: at(PAGE, 1), gfn }));
    calls.push(Op::HostUnshareGuest { vm, gfns: at(0, 9) });
    calls.push(Op::HostDonateHyp(at(PAGE, 1)));
    let mut memory = Memory::new(PLENTY);
    let stats = replay(System::new(&mut memory).unwrap(), &calls).unwrap();
    assert!(stats.done >= 11, "{stats:?}");
}

#[test]
fn a_page_changed_behind_the_specification_is_noticed() {
    let mut memory = Memory::new(PLENTY);
    let mut pair = LockStep::new(System::new(&mut memory).unwrap());
    let page = tenure_abi::FrameRange::single(Pfn::new(PAGE).unwrap());
    let claim = pair.subject.tracker.claim(Transition::HostDonateHyp, page, Identity::NONE).unwrap();
    claim.commit(PageSize::Size4K);
    let divergence = pair.step(Op::HostShareHyp(at(PAGE + 1, 1))).unwrap_err();
    assert!(divergence.what.contains("Exclusive(Hyp)"), "{}", divergence.what);
}

#[test]
fn a_trace_that_diverges_shrinks_to_the_calls_that_matter() {
    // A divergence made by hand: the last call gives away a page that an earlier one lent.
    let mut trace = trace::Trace::new(3, trace::machine(LIMITS)).without_references();
    let spec = tenure_oracle::spec::Spec::new(trace::machine(LIMITS));
    let mut calls: Vec<Op> = (0..400).map(|_| trace.next_op(&spec)).collect();
    calls.insert(150, Op::HostShareHyp(at(PAGE, 1)));
    calls.push(Op::HostDonateHyp(at(PAGE, 1)));
    let refused = |calls: &[Op]| {
        let mut spec = tenure_oracle::spec::Spec::new(trace::machine(LIMITS));
        calls.iter().map(|op| op.apply(&mut spec)).last().is_some_and(|last| last.is_err())
            && calls.last() == Some(&Op::HostDonateHyp(at(PAGE, 1)))
    };
    assert_eq!(shrink(&calls, &trace::setup(), 5_000, refused).len(), 2);
}
