//! Arguments of `KVM_SET_MEMORY_ATTRIBUTES2`: what is refused, and that a refusal changes nothing.

use super::pages::Pages;
use super::trial::{Outcome, PAGE, Trial, refused, same};
use super::{Applies, Row, needs, never, row};
use crate::target::{Answer, Personality};
use tenure_abi::Errno;
use tenure_abi::gmem::{Attributes, ContentFlags, CreateFlags, MemoryAttributes2, VmType};

const A: u8 = 0xa1;
const B: u8 = 0xb2;
/// Pages of the file.
const PAGES: u64 = 4;

/// The rows.
pub(super) const ROWS: &[Row] = &[
    row("GM-30", "a file of a kernel without the series does not know the request", needs::no_series, unknown),
    never("GM-31", "with the parameter off a file does not know the request", |_| {
        Applies::No("a kernel with the series whose parameter is off counts as one without: GM-30")
    }),
    row("GM-32", "a file of a VM without private memory refuses", needs::in_place, no_private_memory),
    row("GM-33", "unknown flags are refused", needs::in_place, |trial| {
        each(trial, (2..64).map(|bit| request(|r| r.flags = 1 << bit)))
    }),
    row("GM-34", "reserved words must be 0", needs::in_place, |trial| {
        each(trial, (0..11).map(|word| request(|r| r.reserved[word] = 1)))
    }),
    row("GM-35", "attributes other than private are refused", needs::in_place, |trial| {
        let other = (0..64).filter(|bit| *bit != 3);
        each(trial, other.flat_map(|bit| [1 << bit, 1 << bit | 8]).map(|bits| request(|r| r.attributes = bits)))
    }),
    row("GM-36", "an empty range and one that wraps are refused", needs::in_place, |trial| {
        let ranges = [(0, 0), (PAGE, 0), (PAGE, 0_u64.wrapping_sub(PAGE)), (0_u64.wrapping_sub(PAGE), 2 * PAGE)];
        each(trial, ranges.map(|(offset, size)| range(offset, size)))
    }),
    row("GM-37", "what is not whole pages is refused", needs::in_place, |trial| {
        let odd = [1, 8, PAGE / 2, PAGE - 1];
        each(trial, odd.into_iter().flat_map(|odd| [range(odd, PAGE), range(0, odd), range(0, PAGE + odd)]))
    }),
    row("GM-38", "what does not lie in the file is refused", needs::in_place, |trial| {
        let end = PAGES * PAGE;
        let ranges = [(end, PAGE), (end + PAGE, PAGE), (0, end + PAGE), (end - PAGE, 2 * PAGE), (1 << 62, PAGE)];
        each(trial, ranges.map(|(offset, size)| range(offset, size)))
    }),
    row("GM-39", "an argument that cannot be read is a fault", needs::in_place, |trial| {
        let pages = Pages::new(trial, PAGES, true, ContentFlags::empty())?;
        refused("no argument", pages.trial.target.set_attributes2(pages.file, None), Errno::EFAULT)
    }),
    row("GM-40", "the error offset on the way in is not looked at", needs::in_place, offset_in),
    row("GM-41", "the same conversion again is no work and no error", needs::final_form, again),
];

fn request(change: impl FnOnce(&mut MemoryAttributes2)) -> MemoryAttributes2 {
    let mut request = MemoryAttributes2::new(0, PAGE, Attributes::PRIVATE);
    change(&mut request);
    request
}

fn range(offset: u64, size: u64) -> MemoryAttributes2 {
    MemoryAttributes2::new(offset, size, Attributes::PRIVATE)
}

/// Each is refused, says nothing about a page, and leaves a shared page shared.
fn each(trial: &mut Trial, requests: impl IntoIterator<Item = MemoryAttributes2>) -> Outcome {
    let mut pages = Pages::new(trial, PAGES, true, ContentFlags::empty())?;
    pages.shared(0, 0, A, B)?;
    for request in requests {
        let mut asked = request;
        let seen: Answer = pages.trial.target.set_attributes2(pages.file, Some(&mut asked));
        refused(&format!("{request:x?}"), seen, Errno::EINVAL)?;
        same(&format!("{request:x?} afterwards"), asked, request)?;
        pages.shared(0, B, A, B)?;
    }
    Ok(())
}

fn unknown(trial: &mut Trial) -> Outcome {
    let vm = trial.vm(VmType::DEFAULT)?;
    let mappable = trial.target.machine().personality >= Personality::V6_18;
    for flags in [CreateFlags::empty(), CreateFlags::MMAP].into_iter().take(if mappable { 2 } else { 1 }) {
        let file = trial.file(vm, PAGE, flags)?;
        for request in [range(0, PAGE), range(0, 0), MemoryAttributes2::new(0, PAGE, Attributes::empty())] {
            let mut asked = request;
            refused("the request", trial.target.set_attributes2(file, Some(&mut asked)), Errno::ENOTTY)?;
            same("the request afterwards", asked, request)?;
        }
    }
    Ok(())
}

fn no_private_memory(trial: &mut Trial) -> Outcome {
    let (_, file, mapping) = trial.shared_file(PAGE)?;
    for attributes in [Attributes::empty(), Attributes::PRIVATE] {
        let mut request = MemoryAttributes2::new(0, PAGE, attributes);
        refused("the request", trial.target.set_attributes2(file, Some(&mut request)), Errno::EINVAL)?;
    }
    trial.finds(mapping, 0, 0)
}

fn offset_in(trial: &mut Trial) -> Outcome {
    let pages = Pages::new(trial, PAGES, true, ContentFlags::empty())?;
    let mut request = request(|r| r.error_offset = 0x1234);
    let seen = pages.trial.target.set_attributes2(pages.file, Some(&mut request));
    same("a request with an error offset", seen, Ok(()))?;
    same("the error offset afterwards", request.error_offset, 0x1234)
}

fn again(trial: &mut Trial) -> Outcome {
    let mut pages = Pages::new(trial, PAGES, true, ContentFlags::empty())?;
    pages.shared(0, 0, A, B)?;
    for _ in 0..2 {
        let mut request = request(|r| r.error_offset = 0x1234);
        let seen = pages.trial.target.set_attributes2(pages.file, Some(&mut request));
        same("the same conversion", (seen, request.error_offset), (Ok(()), 0x1234))?;
        pages.guest_finds(0, B)?;
    }
    pages.make_shared(0..1)?;
    pages.make_shared(0..1)?;
    pages.shared(0, B, A, B)
}
