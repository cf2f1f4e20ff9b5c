//! The machine keeps what it promises: the walker, TLBs until TLBI and DSB, streams, schedules.

use core::sync::atomic::Ordering::Relaxed;
use std::sync::Arc;
use tenure_abi::{AddressWidth, FrameRange, Gfn, Pfn};
use tenure_machine::atomic::AtomicU64;
use tenure_machine::schedule::loudly;
use tenure_machine::smmu::Stream;
use tenure_machine::step::{actor, violation};
use tenure_machine::{Fault, Machine, Plan, Regime, Seat, explore};

/// First frame of RAM; the root table.
const RAM: u64 = 0x100;
/// Valid, table or page, accessed, readable, writable.
const LEAF: u64 = 1 | 1 << 10 | 1 << 6 | 1 << 7;
const TABLE: u64 = 3;
const VMID: u16 = 5;
/// T0SZ 25 (39-bit addresses), SL0 1 (level 1).
const REGIME: Regime = Regime { vttbr: RAM << 12 | (VMID as u64) << 48, vtcr: 0x59 };
const OTHER: u64 = RAM + 9;

fn pfn(number: u64) -> Pfn {
    Pfn::new(number).unwrap()
}

fn gfn(number: u64) -> Gfn {
    Gfn::new(number).unwrap()
}

fn poke(machine: &Machine, frame: u64, index: usize, value: u64) {
    machine.memory().frame(pfn(frame)).unwrap().poke(index, value);
}

/// Guest frame 3 leads to `OTHER` through level-2 and level-3 tables, guest frame 512 on to a block.
fn machine() -> Machine {
    let machine = Machine::new(FrameRange::new(pfn(RAM), 4096, AddressWidth::MAX).unwrap(), 2, 1);
    poke(&machine, RAM, 0, (RAM + 1) << 12 | TABLE);
    poke(&machine, RAM + 1, 0, (RAM + 2) << 12 | TABLE);
    poke(&machine, RAM + 1, 1, 0x400 << 12 | LEAF);
    poke(&machine, RAM + 2, 3, OTHER << 12 | LEAF | 2);
    poke(&machine, OTHER, 7, 42);
    machine
}

const FIRST: Seat = Seat::Cpu(0, REGIME);
const SECOND: Seat = Seat::Cpu(1, REGIME);

#[test]
fn the_walker_reads_descriptors_as_the_manual_says() {
    let machine = machine();
    assert_eq!(machine.walk(REGIME, gfn(3)), Ok(pfn(OTHER)));
    assert_eq!(machine.walk(REGIME, gfn(512 + 5)), Ok(pfn(0x405)));
    assert_eq!(machine.walk(REGIME, gfn(4)), Err(Fault::Translation(3)));
    assert_eq!(machine.walk(REGIME, gfn(1024)), Err(Fault::Translation(2)));
    assert_eq!(machine.walk(REGIME, gfn(1 << 18)), Err(Fault::Translation(1)));
    assert_eq!(machine.walk(REGIME, gfn(1 << 27)), Err(Fault::AddressSize));
    for (raw, fault) in [
        (OTHER << 12 | LEAF, Fault::Translation(3)),
        ((OTHER << 12 | LEAF | 2) & !1, Fault::Translation(3)),
        ((OTHER << 12 | LEAF | 2) & !(1 << 10), Fault::AccessFlag(3)),
    ] {
        poke(&machine, RAM + 2, 3, raw);
        assert_eq!(machine.walk(REGIME, gfn(3)), Err(fault), "{raw:#x}");
    }
    poke(&machine, RAM + 1, 0, 1 << 40 | TABLE);
    assert_eq!(machine.walk(REGIME, gfn(3)), Err(Fault::External));
}

#[test]
fn root_tables_stand_side_by_side() {
    let machine = machine();
    // T0SZ 24 (40-bit addresses) at level 1: two root tables.
    let wide = Regime { vtcr: 0x58, ..REGIME };
    poke(&machine, RAM + 1, 511, 1 << 18 << 12 | LEAF);
    assert_eq!(machine.walk(wide, gfn((512 + 511) << 18 | 1)), Ok(pfn(1 << 18 | 1)));
    // T0SZ 30 (34-bit addresses) at level 2.
    let narrow = Regime { vttbr: (RAM + 1) << 12, vtcr: 30 };
    assert_eq!(machine.walk(narrow, gfn(3)), Ok(pfn(OTHER)));
}

#[test]
fn permissions_are_the_leafs() {
    let machine = machine();
    poke(&machine, RAM + 2, 3, OTHER << 12 | (LEAF | 2) & !(1 << 7));
    assert_eq!(machine.store(FIRST, gfn(3), 7, 1), Err(Fault::Permission(3)));
    assert_eq!(machine.load(FIRST, gfn(3), 7).map(|access| access.value), Ok(42));
    poke(&machine, RAM + 2, 3, OTHER << 12 | (LEAF | 2) & !(1 << 6));
    assert_eq!(machine.load(SECOND, gfn(3), 7), Err(Fault::Permission(3)));
}

#[test]
fn a_translation_lives_until_it_was_invalidated_and_that_was_waited_for() {
    let machine = machine();
    assert!(machine.load(FIRST, gfn(3), 7).is_ok() && machine.load(SECOND, gfn(3), 7).is_ok());
    poke(&machine, RAM + 2, 3, 0);
    machine.dsb_ish(0);
    assert!(machine.load(SECOND, gfn(3), 7).is_ok(), "nothing was invalidated");
    machine.tlbi_vmalls12e1is(0, VMID + 1);
    machine.dsb_ish(0);
    assert!(machine.load(SECOND, gfn(3), 7).is_ok(), "another VMID was");
    machine.tlbi_vmalls12e1is(0, VMID);
    assert!(machine.cached().iter().all(|cached| cached.leaving));
    machine.dsb_ish(1);
    assert!(!machine.cached().is_empty(), "another CPU waited");
    machine.dsb_ish(0);
    assert!(machine.cached().is_empty());
    assert_eq!(machine.load(SECOND, gfn(3), 7), Err(Fault::Translation(3)));
}

#[test]
fn a_combined_entry_survives_an_invalidation_by_address() {
    let machine = machine();
    machine.load(SECOND, gfn(3), 7).unwrap();
    poke(&machine, RAM + 2, 3, 0);
    machine.tlbi_ipas2e1is(0, VMID, 3);
    machine.dsb_ish(0);
    assert!(machine.load(SECOND, gfn(3), 7).is_ok());
    machine.tlbi_vmalle1is(0, VMID);
    machine.dsb_ish(0);
    assert_eq!(machine.load(SECOND, gfn(3), 7), Err(Fault::Translation(3)));
}

#[test]
fn a_table_is_remembered_too() {
    let machine = machine();
    machine.load(FIRST, gfn(3), 7).unwrap();
    // The level-3 table is taken out, and its page used for something else, without an invalidation.
    poke(&machine, RAM + 1, 0, 0);
    poke(&machine, RAM + 2, 4, OTHER << 12 | LEAF | 2);
    assert!(machine.load(FIRST, gfn(4), 7).is_ok(), "the walk starts at the table it knows");
    assert_eq!(machine.load(SECOND, gfn(4), 7), Err(Fault::Translation(2)));
    machine.tlbi_ipas2e1is(1, VMID, 5);
    machine.dsb_ish(1);
    assert_eq!(machine.load(FIRST, gfn(5), 7), Err(Fault::Translation(2)));
}

#[test]
fn a_device_sees_what_its_stream_allows() {
    let machine = machine();
    let device = Seat::Device(0);
    assert_eq!(machine.load(device, gfn(3), 7), Err(Fault::Stream));
    machine.set_stream(0, Stream::Bypass);
    assert_eq!(machine.load(device, gfn(OTHER), 7).map(|access| access.value), Ok(42));
    machine.set_stream(0, Stream::Stage2(REGIME));
    assert_eq!(machine.load(device, gfn(3), 7).map(|access| access.value), Ok(42));
    poke(&machine, RAM + 2, 3, 0);
    assert!(machine.load(device, gfn(3), 7).is_ok());
    machine.tlbi_vmalls12e1is(0, VMID);
    machine.dsb_ish(0);
    assert_eq!(machine.load(device, gfn(3), 7), Err(Fault::Translation(3)));
    assert_eq!(machine.load(Seat::Device(1), gfn(3), 7), Err(Fault::Stream), "there is no such device");
}

/// Two actors add to a word, each by a load and a store.
fn lost_update() {
    let word = Arc::new(AtomicU64::new(0));
    loudly(|| {
        shuttle::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| word.store(word.load(Relaxed) + 1, Relaxed));
            }
        });
    });
    if word.load(Relaxed) != 2 {
        violation("an update was lost");
    }
}

#[test]
fn a_lost_update_is_found_and_made_again_by_its_number() {
    let plan = Plan::new(1, 1000, 2);
    let found = explore(plan, lost_update).found.expect("it is there to be found");
    assert_eq!(found.what, ["an update was lost"]);
    let again = explore(Plan { first: found.schedule, schedules: 1, ..plan }, lost_update);
    assert!(again.found.is_some_and(|again| again.schedule == found.schedule));
}

/// One CPU takes guest frame 3 away, with a `DSB ISHST` first or without, while another reads it; whether that can still be used then.
fn stale_walk(waits: bool) -> Option<Vec<String>> {
    let scenario = move || {
        let machine = machine();
        loudly(|| {
            shuttle::thread::scope(|scope| {
                scope.spawn(|| {
                    machine.memory().frame(pfn(RAM + 2)).unwrap().words()[3].store(0, Relaxed);
                    if waits {
                        machine.dsb_ishst(actor());
                    }
                    machine.tlbi_vmalls12e1is(actor(), VMID);
                    machine.dsb_ish(actor());
                });
                scope.spawn(|| {
                    for _ in 0..4 {
                        let _ = machine.load(SECOND, gfn(3), 7);
                    }
                });
            });
        });
        if !machine.cached().is_empty() {
            violation("a translation outlived its invalidation");
        }
    };
    explore(Plan::new(1, 1000, 2), scenario).found.map(|found| found.what)
}

#[test]
fn a_walker_may_see_a_store_late_until_it_was_waited_for() {
    assert!(stale_walk(false).is_some());
    assert_eq!(stale_walk(true), None);
}

#[test]
fn a_panic_is_a_violation() {
    let outcome = explore(Plan::new(1, 10, 0), || assert_eq!(1, 2, "numbers differ"));
    let found = outcome.found.expect("it panicked");
    assert!(found.schedule == 0 && found.what[0].contains("numbers differ"), "{found:?}");
}
