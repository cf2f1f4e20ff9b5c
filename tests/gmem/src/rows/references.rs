//! What holds a page holds its conversion to private, and the answer names the first page held.

use super::pages::Pages;
use super::trial::{Outcome, PAGE, Trial, same};
use super::{Row, needs, row};
use tenure_abi::Errno;
use tenure_abi::gmem::{Attributes, ContentFlags};

const A: u8 = 0xa1;
const B: u8 = 0xb2;
const C: u8 = 0xc3;
const D: u8 = 0xd4;

/// The rows.
pub(super) const ROWS: &[Row] = &[
    row("GM-09", "a held page refuses the whole range and is named", needs::final_form, |trial| each(trial, bulk)),
    row("GM-10", "a held page refuses itself only", needs::final_form, |trial| each(trial, single)),
    row("GM-11", "let go, the range converts", needs::final_form, |trial| each(trial, after)),
    row("GM-24", "a refusal for a held page names the page", needs::final_form, |trial| each(trial, bulk)),
];

/// Four shared pages with data, each of them held once.
fn each(trial: &mut Trial, check: fn(&mut Pages, u64) -> Outcome) -> Outcome {
    for t in 0..4 {
        let mut pages = Pages::new(trial, 4, true, ContentFlags::empty())?;
        for i in 0..4 {
            pages.shared(i, 0, A, B)?;
        }
        check(&mut pages, t)?;
        trial.target.reset();
    }
    Ok(())
}

fn held(pages: &mut Pages, range: std::ops::Range<u64>, t: u64) -> Outcome {
    let what = format!("making pages {range:?} private while page {t} is held");
    let seen = pages.try_convert(range, Attributes::PRIVATE);
    same(&what, seen, Err((Errno::EAGAIN, t * PAGE)))
}

fn bulk(pages: &mut Pages, t: u64) -> Outcome {
    pages.pin(t)?;
    held(pages, 0..4, t)?;
    // No page changed: the host has all of them.
    (0..4).try_for_each(|i| pages.shared(i, B, C, D))
}

/// Page `t` alone is refused, the others convert.
fn single(pages: &mut Pages, t: u64) -> Outcome {
    pages.pin(t)?;
    one_by_one(pages, t)
}

fn one_by_one(pages: &mut Pages, t: u64) -> Outcome {
    for i in 0..4 {
        if i == t {
            held(pages, i..i + 1, t)?;
        } else {
            pages.then_private(i, B, C)?;
        }
    }
    Ok(())
}

fn after(pages: &mut Pages, t: u64) -> Outcome {
    let pin = pages.pin(t)?;
    one_by_one(pages, t)?;
    pages.trial.target.unpin(pin);
    pages.make_private(0..4)?;
    (0..4).try_for_each(|i| pages.private(i, if i == t { B } else { C }, D))
}
