//! What becomes of the bytes: the content modes of the RFC revisions, and their absence since.

use super::pages::Pages;
use super::trial::{Outcome, PAGE, Trial, same};
use super::{Row, in_place, needs, never, row};
use tenure_abi::Errno;
use tenure_abi::gmem::{Attributes, ContentFlags};

const A: u8 = 0xa1;
const B: u8 = 0xb2;
const PRIVATE: Attributes = Attributes::PRIVATE;
const SHARED: Attributes = Attributes::empty();
const NONE: ContentFlags = ContentFlags::empty();

/// The rows.
pub(super) const ROWS: &[Row] = &[
    row("GM-12", "with PRESERVE everything holds that holds without encryption", needs::content_modes, |trial| {
        in_place::all(trial, ContentFlags::PRESERVE)
    }),
    row("GM-13", "ZERO towards private is not supported", needs::content_modes, zero_to_private),
    row("GM-14", "without a mode nobody finds the old bytes", needs::content_modes, scrambles),
    never("GM-15", "SNP after finalisation supports neither ZERO towards private nor PRESERVE", needs::snp),
    never("GM-16", "on SNP ZERO towards shared gives zeros", needs::snp),
    never("GM-17", "on SNP no mode towards shared gives anything", needs::snp),
    row("GM-18", "both modes at once are invalid", needs::in_place, both),
    row(
        "GM-19",
        "ZERO reaches all allocated pages of the range, also those already shared",
        needs::content_modes,
        zeroes,
    ),
    never("GM-20", "PRESERVE towards private before SNP and TDX finalise", needs::snp),
    row("GM-21", "flags must be 0", needs::final_form, no_flags),
];

fn zero_to_private(trial: &mut Trial) -> Outcome {
    let mut pages = Pages::new(trial, 4, true, NONE)?;
    pages.shared(1, 0, A, B)?;
    let seen = pages.try_with(1..3, PRIVATE, ContentFlags::ZERO);
    same("making pages private with ZERO", seen, Err((Errno::EOPNOTSUPP, PAGE)))?;
    pages.shared(1, B, A, B)
}

/// Sixty-four bytes of a page, so that random ones differ from the old ones for certain.
fn scrambles(trial: &mut Trial) -> Outcome {
    const BYTES: u64 = 64;
    let mut pages = Pages::new(trial, 1, true, NONE)?;
    for at in 0..BYTES {
        pages.trial.store(pages.mapping, at, A)?;
    }
    same("making a page private without a mode", pages.try_with(0..1, PRIVATE, NONE), Ok(()))?;
    let mut old = 0;
    for at in 0..BYTES {
        let seen = pages.trial.target.guest_load(pages.vm, super::trial::GPA + at);
        old += u32::from(seen == Ok(A));
        pages.trial.guest_store(pages.vm, super::trial::GPA + at, B)?;
    }
    same("whether the guest finds all old bytes", u64::from(old) == BYTES, false)?;
    same("making a page shared without a mode", pages.try_with(0..1, SHARED, NONE), Ok(()))?;
    let mut old = 0;
    for at in 0..BYTES {
        let seen = pages.trial.target.load(crate::target::ProcessId::VMM, pages.mapping, at);
        old += u64::from(seen == Ok(B));
    }
    same("whether the host finds all old bytes", old == BYTES, false)
}

fn both(trial: &mut Trial) -> Outcome {
    let mut pages = Pages::new(trial, 1, true, NONE)?;
    for to in [PRIVATE, SHARED] {
        let seen = pages.try_with(0..1, to, ContentFlags::all()).map_err(|(errno, _)| errno);
        same("both modes at once", seen, Err(Errno::EINVAL))?;
    }
    Ok(())
}

/// Page 0 shared with data, page 1 private with data, page 2 untouched.
fn zeroes(trial: &mut Trial) -> Outcome {
    let mut pages = Pages::new(trial, 3, true, ContentFlags::PRESERVE)?;
    pages.shared(0, 0, A, B)?;
    pages.stores(1, A)?;
    pages.make_private(1..2)?;
    pages.private(1, A, B)?;
    same("making all pages shared with ZERO", pages.try_with(0..3, SHARED, ContentFlags::ZERO), Ok(()))?;
    (0..3).try_for_each(|i| pages.shared(i, 0, A, B))
}

fn no_flags(trial: &mut Trial) -> Outcome {
    let mut pages = Pages::new(trial, 1, true, NONE)?;
    for bit in 0..64 {
        for to in [PRIVATE, SHARED] {
            let flags = ContentFlags::from_bits_retain(1 << bit);
            let seen = pages.try_with(0..1, to, flags).map_err(|(errno, _)| errno);
            same(&format!("flag {bit}"), seen, Err(Errno::EINVAL))?;
        }
    }
    pages.shared(0, 0, A, B)
}
