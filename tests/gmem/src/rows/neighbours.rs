//! Conversions beside other pages, beside other attributes, beside running guests.

use super::pages::Pages;
use super::trial::{GPA, Outcome, PAGE, Trial, same};
use super::{Applies, Row, needs, never, row};
use tenure_abi::Errno;
use tenure_abi::gmem::{Attributes, ContentFlags};

const A: u8 = 0xa1;
const B: u8 = 0xb2;
const C: u8 = 0xc3;

/// The rows.
pub(super) const ROWS: &[Row] = &[
    row("GM-22", "a conversion leaves the pages around it alone", needs::final_form, around),
    row("GM-23", "a range of mostly holes converts and keeps what is there", needs::final_form, mostly_holes),
    never("GM-25", "the file alone decides, whatever the VM's attributes say", |_| {
        Applies::No("only a predecessor of 2025 has both kinds of attributes")
    }),
    row(
        "GM-26",
        "conversions between a guest's stores succeed or say which page to wait for",
        needs::final_form,
        storm,
    ),
    never("GM-27", "on SNP a page goes from private to shared at the guest's request", needs::snp),
    never("GM-28", "on SNP a shared page carries data both ways and goes back", needs::snp),
    never("GM-29", "on SNP a page is usable again after it went back", needs::snp),
];

fn around(trial: &mut Trial) -> Outcome {
    let mut pages = Pages::new(trial, 4, true, ContentFlags::empty())?;
    for i in 0..4 {
        pages.shared(i, 0, A, B)?;
    }
    pages.make_private(2..3)?;
    for i in [0, 1, 3] {
        pages.shared(i, B, A, C)?;
    }
    pages.make_shared(2..3)?;
    for i in [0, 1, 3] {
        pages.shared(i, C, A, B)?;
    }
    pages.shared(2, B, A, B)
}

fn mostly_holes(trial: &mut Trial) -> Outcome {
    for t in 0..16 {
        let mut pages = Pages::new(trial, 16, true, ContentFlags::empty())?;
        pages.stores(t, A)?;
        pages.stores(8, A)?;
        pages.make_private(0..16)?;
        pages.make_shared(0..16)?;
        for i in 0..16 {
            pages.finds(i, if i == t || i == 8 { A } else { 0 })?;
        }
        trial.target.reset();
    }
    Ok(())
}

/// One vCPU, so its stores come between the conversions; where they come during them, schedules are tried elsewhere.
fn storm(trial: &mut Trial) -> Outcome {
    trial.note("the guest's stores come between conversions");
    let mut pages = Pages::new(trial, 512, true, ContentFlags::empty())?;
    for round in 0..64_u64 {
        for to in [Attributes::empty(), Attributes::PRIVATE] {
            match pages.try_convert(pages.all(), to) {
                Ok(()) => {}
                Err((Errno::EAGAIN, at)) if at % PAGE == 0 && at < 512 * PAGE => {}
                other => return Err(format!("round {round}: {other:?}")),
            }
            let page = round * 7 % 512;
            pages.trial.guest_store(pages.vm, GPA + page * PAGE, A)?;
            let seen = pages.guest_loads(page)?;
            same("what the guest has just stored", seen, A)?;
        }
    }
    Ok(())
}
