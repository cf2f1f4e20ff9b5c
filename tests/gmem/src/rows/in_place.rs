//! Conversion in place, in the final form of the series: contents stay, because nothing is encrypted.
//!
//! With content modes the same holds on request, which is GM-12; so every check takes the mode it asks for.

use super::pages::Pages;
use super::trial::{Outcome, PAGE, Trial, same};
use super::{Applies, Row, needs, row};
use crate::target::{Fault, ProcessId};
use tenure_abi::gmem::{ContentFlags, CreateFlags};

const A: u8 = 0xa1;
const B: u8 = 0xb2;
const C: u8 = 0xc3;
const D: u8 = 0xd4;
const E: u8 = 0xe5;

const AS_IT_IS: ContentFlags = ContentFlags::empty();

/// The rows.
pub(super) const ROWS: &[Row] = &[
    row("GM-01", "a private page is private, and its contents survive both conversions", needs::final_form, |trial| {
        init_private(trial, AS_IT_IS)
    }),
    row("GM-02", "a shared page carries data both ways, and through conversions", or_shared_half, |trial| {
        either(trial, init_shared, shared_page)
    }),
    row("GM-03", "only the page that was named changes", needs::final_form, |trial| indexing(trial, AS_IT_IS)),
    row("GM-04", "a page nobody touched becomes private, and the guest finds zero", needs::final_form, |trial| {
        before_allocation(trial, true, AS_IT_IS)
    }),
    row("GM-05", "a page nobody touched becomes shared, and the host finds zero", needs::final_form, |trial| {
        before_allocation(trial, false, AS_IT_IS)
    }),
    row("GM-06", "one call converts holes and pages alike", needs::final_form, |trial| holes(trial, AS_IT_IS)),
    row("GM-07", "a hole is zero, and as shared or private as it was", or_shared_half, |trial| {
        either(trial, truncate, shared_hole)
    }),
    row("GM-08", "a child sees the same states as its parent", or_shared_half, |trial| {
        either(trial, forked, shared_child)
    }),
];

/// All of the checks above that conversions with this mode must pass: GM-12.
pub(super) fn all(trial: &mut Trial, mode: ContentFlags) -> Outcome {
    let checks: [fn(&mut Trial, ContentFlags) -> Outcome; 8] = [
        init_private,
        init_shared,
        indexing,
        |trial, mode| before_allocation(trial, true, mode),
        |trial, mode| before_allocation(trial, false, mode),
        holes,
        truncate,
        forked,
    ];
    for (at, check) in checks.into_iter().enumerate() {
        trial.target.reset();
        check(trial, mode).map_err(|seen| format!("as GM-{:02}: {seen}", at + 1))?;
    }
    Ok(())
}

/// In place, or else what holds of a file that is shared for ever.
fn or_shared_half(trial: &mut Trial) -> Applies {
    match (needs::final_form(trial), trial.target.machine().in_place) {
        (Applies::No(_), false) if needs::mappable(trial) == Applies::Yes => Applies::Part("the shared half"),
        (applies, _) => applies,
    }
}

fn either(
    trial: &mut Trial,
    whole: fn(&mut Trial, ContentFlags) -> Outcome,
    half: fn(&mut Trial) -> Outcome,
) -> Outcome {
    if trial.target.machine().in_place { whole(trial, AS_IT_IS) } else { half(trial) }
}

fn init_private(trial: &mut Trial, mode: ContentFlags) -> Outcome {
    let mut pages = Pages::new(trial, 1, false, mode)?;
    pages.private(0, 0, A)?;
    pages.then_shared(0, A, B, C)?;
    pages.then_private(0, C, E)
}

fn init_shared(trial: &mut Trial, mode: ContentFlags) -> Outcome {
    let mut pages = Pages::new(trial, 1, true, mode)?;
    pages.shared(0, 0, A, B)?;
    pages.then_private(0, B, C)?;
    pages.then_shared(0, C, D, E)
}

/// The first step of GM-02 on a file that is shared for ever; and a file that starts private is closed.
fn shared_page(trial: &mut Trial) -> Outcome {
    let (vm, file, mapping) = trial.shared_file(PAGE)?;
    trial.bind(vm, file, PAGE, Some(mapping))?;
    trial.finds(mapping, 0, 0)?;
    trial.store(mapping, 0, A)?;
    trial.guest_finds(vm, super::trial::GPA, A)?;
    trial.guest_store(vm, super::trial::GPA, B)?;
    trial.finds(mapping, 0, B)?;
    let closed = trial.file(vm, PAGE, CreateFlags::MMAP)?;
    let closed = trial.map(closed, PAGE)?;
    same("host load from a private page", trial.target.load(ProcessId::VMM, closed, 0), Err(Fault::bus(0)))
}

fn indexing(trial: &mut Trial, mode: ContentFlags) -> Outcome {
    let value = |page: u64, step: u64| (16 * page + step) as u8;
    for t in 0..4 {
        let mut pages = Pages::new(trial, 4, true, mode)?;
        for i in (0..4).rev() {
            pages.shared(i, 0, value(i, 0), value(i, 2))?;
        }
        pages.then_private(t, value(t, 2), value(t, 3))?;
        for i in 0..4 {
            if i == t {
                pages.private(t, value(t, 3), value(t, 4))?;
            } else {
                pages.shared(i, value(i, 2), value(i, 3), value(i, 4))?;
            }
        }
        pages.then_shared(t, value(t, 4), value(t, 5), value(t, 6))?;
        for i in 0..4 {
            pages.shared(i, value(i, if i == t { 6 } else { 4 }), value(i, 7), value(i, 8))?;
        }
        trial.target.reset();
    }
    Ok(())
}

fn before_allocation(trial: &mut Trial, shared: bool, mode: ContentFlags) -> Outcome {
    let mut pages = Pages::new(trial, 1, shared, mode)?;
    if shared { pages.then_private(0, 0, A) } else { pages.then_shared(0, 0, A, B) }
}

fn holes(trial: &mut Trial, mode: ContentFlags) -> Outcome {
    for t in 0..8 {
        let mut pages = Pages::new(trial, 8, true, mode)?;
        pages.stores(t, A)?;
        pages.stores(4, A)?;
        pages.make_private(0..8)?;
        for i in 0..8 {
            pages.private(i, if i == t || i == 4 { A } else { 0 }, B)?;
        }
        for i in 0..8 {
            pages.then_shared(i, B, C, D)?;
        }
        trial.target.reset();
    }
    Ok(())
}

fn truncate(trial: &mut Trial, mode: ContentFlags) -> Outcome {
    let mut pages = Pages::new(trial, 1, true, mode)?;
    for _ in 0..2 {
        pages.finds(0, 0)?;
        pages.stores(0, A)?;
        pages.punch(0..1)?;
    }
    pages.finds(0, 0)?;
    pages.stores(0, A)?;
    pages.then_private(0, A, B)?;
    pages.punch(0..1)?;
    pages.private(0, 0, A)
}

fn shared_hole(trial: &mut Trial) -> Outcome {
    let (_, file, mapping) = trial.shared_file(PAGE)?;
    for _ in 0..2 {
        trial.finds(mapping, 0, 0)?;
        trial.store(mapping, 0, A)?;
        trial.punch(file, 0, PAGE)?;
    }
    trial.finds(mapping, 0, 0)
}

fn forked(trial: &mut Trial, mode: ContentFlags) -> Outcome {
    let mut pages = Pages::new(trial, 1, true, mode)?;
    let child = super::trial::works("forking", pages.trial.target.fork())?;
    pages.shared(0, 0, 0xa, 0xb)?;
    same("child's load", pages.trial.target.load(child, pages.mapping, 0), Ok(0xb))?;
    same("child's store", pages.trial.target.store(child, pages.mapping, 0, 0xc), Ok(()))?;
    pages.then_private(0, 0xc, 0xd)?;
    pages.closed(0, child)
}

fn shared_child(trial: &mut Trial) -> Outcome {
    let (_, _, mapping) = trial.shared_file(PAGE)?;
    let child = super::trial::works("forking", trial.target.fork())?;
    trial.store(mapping, 0, 0xb)?;
    same("child's load", trial.target.load(child, mapping, 0), Ok(0xb))?;
    same("child's store", trial.target.store(child, mapping, 0, 0xc), Ok(()))?;
    trial.finds(mapping, 0, 0xc)
}
