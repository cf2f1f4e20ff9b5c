//! Every call a guest can make, and every argument that must be refused.

use crate::calls::{call, report_all, report_code, share, unshare};
use crate::io::{put, report, send};
use tenure_abi::pkvm::id;
use tenure_test_protocol::layout::GUEST_PRIVATE;
use tenure_test_protocol::{Event, Page, Step};

/// KVM's precise time service; x1 = 0 asks for the virtual counter. x0 and x1 are the wall clock.
const PTP: u32 = 0x8600_0001;
/// A number of the vendor-hypervisor service that nobody has defined.
const NOBODYS: u32 = 0xc600_003e;

pub fn run() {
    let a = Page::A.ipa();
    send(Event::Step(Step::Features));
    report_all(id::FEATURES);
    send(Event::Step(Step::Uid));
    report_all(id::CALL_UID);
    send(Event::Step(Step::MemInfo));
    report_code(id::HYP_MEMINFO, 0, 0, 0);
    send(Event::Step(Step::MemInfoReserved));
    report_code(id::HYP_MEMINFO, 1, 0, 0);
    report_code(id::HYP_MEMINFO, 0, 1, 0);
    report_code(id::HYP_MEMINFO, 0, 0, 1);

    put(Page::A, GUEST_PRIVATE);
    send(Event::Step(Step::Share));
    share(a);
    send(Event::Step(Step::ShareAgain));
    share(a);
    send(Event::Step(Step::Unshare));
    unshare(a);
    send(Event::Step(Step::UnshareAgain));
    unshare(a);
    report(Page::A);
    send(Event::Step(Step::Unaligned));
    share(a + 8);
    unshare(a + 8);
    send(Event::Step(Step::OneGranule));
    report_code(id::MEM_SHARE, a, 1, 0);
    unshare(a);
    send(Event::Step(Step::Reserved));
    report_code(id::MEM_SHARE, a, 0, 1);
    report_code(id::MEM_UNSHARE, a, 0, 1);
    send(Event::Step(Step::UnshareUntouched));
    unshare(Page::C.ipa());
    send(Event::Step(Step::Unknown));
    report_code(id::MMIO_GUARD_MAP, 0x0900_0000, 0, 0);
    report_code(id::MMIO_GUARD_INFO, 0, 0, 0);
    report_code(NOBODYS, 0, 0, 0);
    let [high, low, ..] = call(PTP, 0, 0, 0);
    send(Event::WallClock(high << 32 | low & 0xffff_ffff));
    send(Event::Step(Step::Leaving));
}
