//! Sharing with the hypervisor: rows PK-01 to PK-04.

use crate::guest::{Give, Guest, audit};
use crate::probe;
use crate::report::{Check, claim, equal, row};
use crate::service::{call, pfns};
use tenure_abi::Errno;
use tenure_abi::service::HostCall;
use tenure_test_protocol::{Entry, Scenario};

pub(super) fn run() {
    row("PK-01", "shared pages stay readable; a second share and foreign pages are refused", share());
    row("PK-02", "unshare once, not twice", share());
    row("PK-03", "a run page is pinned while its vCPU lives: unshare is refused", pins());
    row("PK-04", "and unpinned when the VM is gone", pins());
}

fn share() -> Check {
    const PAGES: u64 = 600;
    let base = crate::pages::alloc(PAGES as usize, 1).unwrap_or(0);
    let frames = pfns(base, PAGES);
    let at = frames.first().number();
    let denied = |outcome: Result<u64, crate::service::Refused>, place| {
        claim("EPERM at the first page", outcome.is_err_and(|r| r.is(Errno::EPERM, place)), place)
    };
    equal("pages shared", call(HostCall::ShareHyp(frames))?, PAGES)?;
    claim("still the host's to read", probe::load(base + 4096).is_ok(), base)?;
    denied(call(HostCall::ShareHyp(frames)), at)?;
    denied(call(HostCall::ShareHyp(pfns(base - 4096, 2))), at)?;
    equal("pages unshared", call(HostCall::UnshareHyp(frames))?, PAGES)?;
    denied(call(HostCall::UnshareHyp(frames)), at)?;
    // The UART, the hypervisor's own, a hole.
    for foreign in [0x0900_0000, 0x4020_0000, 0x6000_0000] {
        denied(call(HostCall::ShareHyp(pfns(foreign, 1))), foreign >> 12)?;
    }
    crate::pages::free(base, PAGES as usize);
    audit()
}

fn pins() -> Check {
    let guest = Guest::new(Entry { scenario: Scenario::Calls, rounds: 0 }, Give::Page)?;
    let run_page = pfns(guest.run_page, 1);
    let busy = call(HostCall::UnshareHyp(run_page));
    claim("EBUSY while pinned", busy.is_err_and(|r| r.is(Errno::EBUSY, run_page.first().number())), 0)?;
    claim("the host still reads it", probe::load(guest.run_page).is_ok(), guest.run_page)?;
    // Destroying unshares the run page, which needs every pin to be gone.
    guest.destroy()
}
