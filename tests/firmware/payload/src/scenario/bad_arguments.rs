//! Calls that no host should make: each is refused with its row's error and changes nothing.

use crate::guest::audit;
use crate::report::{Check, case, claim, equal};
use crate::service::{Refused, raw};
use firmware_board::layout::{CARVEOUT_END, RAM_END};
use tenure_abi::Errno;
use tenure_abi::service::{UID, VERSION, id};

/// Frames of a 40-bit machine.
const FRAMES: u64 = 1 << 28;
const PAGE: u64 = 0x5800_0000 >> 12;

pub(super) fn run() {
    case("the_service_says_what_it_is", identity());
    case("malformed_ranges_are_refused", ranges());
    case("reserved_arguments_must_be_zero", reserved());
    case("unknown_numbers_are_not_supported", unknown());
    case("nothing_changed", audit());
}

fn identity() -> Check {
    let [a, b, c, d, ..] = crate::hvc::hvc([u64::from(tenure_abi::smccc::VENDOR_HYP_CALL_UID), 0, 0, 0, 0, 0, 0, 0]);
    claim("the UID", [a, b, c, d] == UID.map(u64::from), a)?;
    equal("the version", raw([id::VERSION.into(), 0, 0, 0, 0, 0])?, VERSION)?;
    equal("ranges and 2 MiB leaves, no SMMU", raw([id::FEATURES.into(), 0, 0, 0, 0, 0])?, 3)
}

fn ranges() -> Check {
    let end = RAM_END >> 12;
    let hyp = CARVEOUT_END >> 12;
    // Function, first page, pages; errno and page.
    let table = [
        (PAGE, 0, Errno::EINVAL, 0),
        (PAGE, u64::MAX, Errno::EINVAL, 0),
        (PAGE, FRAMES, Errno::EINVAL, 0),
        (FRAMES, 1, Errno::EINVAL, 0),
        (u64::MAX, 1, Errno::EINVAL, 0),
        (u64::MAX, 2, Errno::EINVAL, 0),
        (FRAMES - 1, 1, Errno::EPERM, FRAMES - 1),
        (end, 1, Errno::EPERM, end),
        (end - 1, 2, Errno::EINVAL, end),
        (0x9000, 1, Errno::EPERM, 0x9000),
        (0x3ffff, 2, Errno::EINVAL, 0x3ffff),
        (hyp - 1, 2, Errno::EPERM, hyp - 1),
    ];
    for (first, pages, errno, at) in table {
        for function in [id::SHARE_HYP, id::UNSHARE_HYP] {
            // Unsharing what was never shared fails at the first page, whatever comes after it.
            let seen = raw([function.into(), first, pages, 0, 0, 0]);
            claim("the errno and place of the refusal", seen.is_err_and(|r| r.is(errno, at)), first)?;
        }
    }
    let forced = |first, pages| raw([id::FORCE_RECLAIM.into(), first, pages, 0, 0, 0]);
    for (first, errno) in
        [(end, Errno::EFAULT), (0x9000, Errno::EFAULT), (PAGE, Errno::EAGAIN), (hyp - 1, Errno::EPERM)]
    {
        claim("force reclaim's errno", forced(first, 1).is_err_and(|r| r.is(errno, first)), first)?;
    }
    Ok(())
}

fn reserved() -> Check {
    for call in [
        [id::SHARE_HYP.into(), PAGE, 1, 1, 0, 0],
        [id::SHARE_HYP.into(), PAGE, 1, 0, 0, 1],
        [id::FORCE_RECLAIM.into(), PAGE, 1, 0, 1, 0],
        [id::VM_CREATE.into(), 2, PAGE, 2, 0, 0],
        [id::VM_CREATE.into(), 1, PAGE, 2, 1, 0],
        [id::AUDIT.into(), 0, 1, 1, 0, 0],
    ] {
        claim("EINVAL", raw(call).is_err_and(|r| r.is(Errno::EINVAL, 0)), call[0])?;
    }
    Ok(())
}

fn unknown() -> Check {
    for function in [0xc600_0111, 0xc600_01ff, 0xc600_0003, 0x8600_0000, 0xc700_0102, 0, u64::MAX] {
        let seen = raw([function, PAGE, 1, 0, 0, 0]);
        claim("not supported", seen == Err(Refused { errno: 0, at: 0 }), function)?;
    }
    Ok(())
}
