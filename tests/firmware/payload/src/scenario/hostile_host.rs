//! What a host tries with pages that are not its own any more.

use crate::guest::{Give, Guest, audit, put};
use crate::life::Life;
use crate::probe;
use crate::report::{Check, case, claim, equal, row};
use crate::service::{Refused, call, gfn, pfns};
use firmware_board::layout::IMAGE;
use tenure_abi::service::{HostCall, Prot, VmKind};
use tenure_abi::{Errno, VmHandle};
use tenure_test_protocol::layout::RANGE_BASE;
use tenure_test_protocol::{Entry, Page, Scenario};

pub(super) fn run() {
    case("a_host_gets_nothing_from_a_living_guest", against_a_guest());
    row("PK-05", "VM_CREATE and VM_TOPUP take pages out of the host's reach; bad ones are refused", donations());
    row("PK-06", "a VM's pages come back zeroed", donations());
    case("handles_that_are_stale_or_forged_are_refused", handles());
    case("a_vcpu_runs_on_one_cpu_at_a_time_and_only_if_it_exists", vcpus());
    case("self_test_calls_are_gone", selftests());
}

fn guest() -> Result<Guest, crate::report::Wrong> {
    Guest::new(Entry { scenario: Scenario::HostCalls, rounds: 0 }, Give::Page)
}

fn refused(outcome: Result<u64, Refused>, errno: Errno, at: u64) -> Check {
    match outcome {
        Err(refused) => claim("the errno and place of the refusal", refused.is(errno, at), refused.errno.into()),
        Ok(value) => claim("a refusal", false, value),
    }
}

fn against_a_guest() -> Check {
    let guest = guest()?;
    let mut tries = |guest: &Guest| {
        let free = gfn(RANGE_BASE);
        for page in [Page::A, Page::B] {
            let frames = pfns(guest.host(page.ipa()).unwrap_or(0), 1);
            let at = frames.first().number();
            for call_ in [
                HostCall::ShareHyp(frames),
                HostCall::UnshareHyp(frames),
                HostCall::DonateGuest { vm: guest.vm, frames, gfn: free },
                HostCall::VmTopup { vm: guest.vm, frames },
            ] {
                refused(call(call_), Errno::EPERM, at)?;
            }
            let range = crate::service::gfns(page.ipa(), 1);
            refused(call(HostCall::ReclaimGuest { vm: guest.vm, range }), Errno::EINVAL, 0)?;
            refused(call(HostCall::UnshareGuest { vm: guest.vm, range }), Errno::EINVAL, 0)?;
            let share = HostCall::ShareGuest { vm: guest.vm, frames, gfn: free, prot: Prot::R };
            refused(call(share), Errno::EINVAL, 0)?;
        }
        let shared = pfns(guest.host(Page::B.ipa()).unwrap_or(0), 1);
        refused(call(HostCall::ForceReclaim(shared)), Errno::EAGAIN, shared.first().number())?;
        Ok(())
    };
    Life::new(&guest, None, &mut tries, &mut |_, _| {}, &mut |_| {}).run()?;
    refused(call(HostCall::VmFinishTeardown(guest.vm)), Errno::EINVAL, 0)?;
    guest.destroy()
}

fn donations() -> Check {
    let page = crate::pages::alloc(4, 4).unwrap_or(0);
    for at in 0..4 {
        put(page + at * 4096, 0x005e_c2e7)?;
    }
    // Hyp memory, an odd root, a hole.
    let create = |root| call(HostCall::VmCreate { kind: VmKind::Protected, root });
    refused(create(pfns(IMAGE, 2)), Errno::EPERM, IMAGE >> 12)?;
    refused(create(pfns(page + 4096, 2)), Errno::EINVAL, 0)?;
    refused(create(pfns(page, 4)), Errno::EINVAL, 0)?;
    refused(create(pfns(0x6000_0000, 2)), Errno::EPERM, 0x60000)?;
    equal("a refused page is untouched", probe::load(page).unwrap_or(0), 0x005e_c2e7)?;
    let vm = create(pfns(page, 2))?;
    let vm = VmHandle::from_raw(vm).map_err(|_| crate::report::Wrong { what: "no handle", seen: vm })?;
    equal("pages taken", call(HostCall::VmTopup { vm, frames: pfns(page + 2 * 4096, 2) })?, 2)?;
    for at in 0..4 {
        claim("out of the host's reach", probe::load(page + at * 4096).is_err(), at)?;
    }
    refused(call(HostCall::VmTopup { vm, frames: pfns(page, 1) }), Errno::EPERM, page >> 12)?;
    call(HostCall::VmStartTeardown(vm))?;
    while call(HostCall::VmFinishTeardown(vm))? != 0 {}
    for at in 0..4 {
        equal("zeroed on return", probe::load(page + at * 4096).unwrap_or(1), 0)?;
    }
    crate::pages::free(page, 4);
    audit()
}

fn handles() -> Check {
    let guest = guest()?;
    let old = guest.vm;
    let forged = [0, 1, old.to_raw() + (1 << 16), old.to_raw() ^ 1, 1023 | 1 << 16, old.to_raw() | 1 << 48, u64::MAX];
    for raw in forged {
        let number = tenure_abi::service::id::VM_START_TEARDOWN.into();
        refused(crate::service::raw([number, raw, 0, 0, 0, 0]), Errno::EINVAL, 0)?;
    }
    guest.destroy()?;
    refused(call(HostCall::VmTopup { vm: old, frames: pfns(IMAGE, 1) }), Errno::EINVAL, 0)
}

fn vcpus() -> Check {
    let guest = guest()?;
    for vcpu in [1, 7, 8, 1 << 32, u64::MAX] {
        refused(call(HostCall::VcpuRun { vm: guest.vm, vcpu }), Errno::EINVAL, 0)?;
        refused(call(HostCall::PoisonFault { vm: guest.vm, vcpu }), Errno::EINVAL, 0)?;
    }
    // A run page that is not shared, or the guest's own.
    let create = |page| {
        let run_page = crate::service::pfn(page);
        call(HostCall::VcpuCreate { vm: guest.vm, run_page, entry: 0, argument: 0 })
    };
    refused(create(guest.base), Errno::EPERM, guest.base >> 12)?;
    refused(create(IMAGE), Errno::EPERM, IMAGE >> 12)?;
    for index in 1..8 {
        equal("the next vCPU", create(guest.run_page)?, index)?;
    }
    refused(create(guest.run_page), Errno::ENOMEM, 0)?;
    guest.destroy()
}

fn selftests() -> Check {
    for id in [firmware_board::selftest::RUN, firmware_board::selftest::EXCHANGE, firmware_board::selftest::SCRUB] {
        let seen = crate::service::raw([id.into(), 0x50000, 0, 0, 0, 0]);
        claim("not offered", seen == Err(Refused { errno: 0, at: 0 }), id.into())?;
    }
    Ok(())
}
