//! Guests that borrow the host's pages: rows PK-09 and PK-10.

use crate::guest::audit;
use crate::probe;
use crate::report::{Check, Wrong, claim, equal, row};
use crate::service::{Refused, call, gfn, gfns, pfns};
use tenure_abi::service::{HostCall, Prot, VmKind};
use tenure_abi::{Errno, VmHandle};

const IPA: u64 = 0x4000_0000;
const RW: Prot = Prot::R.union(Prot::W);

pub(super) fn run() {
    let shown = borrow();
    row("PK-09", "host pages mapped into a non-protected VM, twice, the host keeps access", shown);
    row("PK-10", "each mapping taken back; the last one frees the page", shown);
}

fn refused(outcome: Result<u64, Refused>, errno: Errno, at: u64) -> Check {
    claim("the errno and place of the refusal", outcome.is_err_and(|r| r.is(errno, at)), at)
}

fn borrow() -> Check {
    let tables = crate::pages::alloc(18, 2).unwrap_or(0);
    let base = crate::pages::alloc(600, 512).unwrap_or(0);
    let vm = call(HostCall::VmCreate { kind: VmKind::NonProtected, root: pfns(tables, 2) })?;
    let vm = VmHandle::from_raw(vm).map_err(|_| Wrong { what: "no handle", seen: vm })?;
    let share = |at: u64, pages, ipa, prot| {
        call(HostCall::ShareGuest { vm, frames: pfns(base + at * 4096, pages), gfn: gfn(ipa), prot })
    };
    refused(share(0, 1, IPA, RW), Errno::ENOMEM, 0)?;
    equal("table pages", call(HostCall::VmTopup { vm, frames: pfns(tables + 2 * 4096, 16) })?, 16)?;
    // A whole 2 MiB, then the rest; the first page a second time elsewhere.
    equal("pages of the first region", share(0, 600, IPA, RW)?, 512)?;
    equal("pages of the second", share(512, 88, IPA + (512 << 12), RW)?, 88)?;
    equal("a second mapping", share(0, 1, IPA + (1 << 30), Prot::R)?, 1)?;
    claim("the host keeps access", probe::load(base).is_ok() && probe::load(base + 599 * 4096).is_ok(), base)?;
    refused(share(1, 1, IPA, RW), Errno::EPERM, IPA >> 12)?;
    refused(share(0, 1, IPA + (2 << 30), Prot::empty()), Errno::EINVAL, 0)?;
    refused(call(HostCall::ShareHyp(pfns(base, 1))), Errno::EPERM, base >> 12)?;
    refused(call(HostCall::DonateGuest { vm, frames: pfns(tables - 4096, 1), gfn: gfn(0) }), Errno::EINVAL, 0)?;
    // One page out of the 2 MiB leaf, then the rest of everything.
    let unshare = |ipa, pages| call(HostCall::UnshareGuest { vm, range: gfns(ipa, pages) });
    equal("one page out of a leaf", unshare(IPA + 4096, 1)?, 1)?;
    refused(unshare(IPA + 4096, 1), Errno::ENOENT, (IPA + 4096) >> 12)?;
    equal("the page is the host's alone", call(HostCall::ShareHyp(pfns(base + 4096, 1)))?, 1)?;
    call(HostCall::UnshareHyp(pfns(base + 4096, 1)))?;
    equal("the page before it", unshare(IPA, 1)?, 1)?;
    refused(call(HostCall::ShareHyp(pfns(base, 1))), Errno::EPERM, base >> 12)?;
    equal("the rest", unshare(IPA + 2 * 4096, 598)?, 598)?;
    refused(call(HostCall::VmFinishTeardown(vm)), Errno::EINVAL, 0)?;
    call(HostCall::VmStartTeardown(vm))?;
    refused(call(HostCall::VmFinishTeardown(vm)), Errno::EBUSY, 0)?;
    equal("the last mapping", unshare(IPA + (1 << 30), 1)?, 1)?;
    equal("the page is the host's alone again", call(HostCall::ShareHyp(pfns(base, 1)))?, 1)?;
    call(HostCall::UnshareHyp(pfns(base, 1)))?;
    while call(HostCall::VmFinishTeardown(vm))? != 0 {}
    crate::pages::free(base, 600);
    crate::pages::free(tables, 18);
    audit()
}
