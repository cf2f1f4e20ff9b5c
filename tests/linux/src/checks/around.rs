//! What the table cannot say: errnos and signals, memory after a VM's death, kinds of VMs and of memory.

use super::{Report, last};
use crate::life::{Backing, Host, Life, Machine, SLOT};
use crate::probe::{self, Fault};
use crate::system;
use tenure_abi::Errno;
use tenure_abi::gmem::{Capability, CreateFlags};
use tenure_host::linux::{Exit, SystemEvent};
use tenure_test_protocol::layout::{GUEST_LAST, RAM_BASE};
use tenure_test_protocol::{Denied, Observation, Page, Scenario, Step};

/// How far the guest's wall clock may be from ours: it was read a few exits earlier.
const CLOCK_SLACK_NS: u64 = 2_000_000_000;

/// What was seen beside the observations of a life.
pub fn check_life(report: &mut Report, scenario: Scenario, life: &Life) {
    match scenario {
        Scenario::Calls => {
            let near = life.clocks.is_some_and(|(guest, host)| host.abs_diff(guest) < CLOCK_SLACK_NS);
            report.equal("linux_ptp_tells_the_hosts_wall_clock", &near, &true);
            // No guard call succeeded in this life, and yet every observation of it came by an MMIO exit.
            report.equal("linux_mmio_exits_need_no_guard", &life.seen.is_empty(), &false);
            let off = Exit::System(SystemEvent::Shutdown(0));
            report.equal("linux_power_off_is_a_system_event", &last(life), &format!("{off:?}"));
        }
        Scenario::ShareInPlace => {
            report.equal("linux_host_faults_are_sigsegv_accerr", &life.faults, &vec![Fault::PKVM; 4]);
            let frames = life.frames.iter().map(|&(_, _, frame)| frame);
            let first = life.frames.first().and_then(|&(_, _, frame)| frame);
            let same = first.is_some() && frames.clone().all(|frame| frame == first);
            report.equal("linux_frame_stays_the_same_through_share_and_unshare", &same, &true);
        }
        Scenario::SyscallTouch => {
            report.equal("linux_syscall_on_private_page_says_efault", &life.errnos, &vec![libc::EFAULT; 2]);
        }
        Scenario::ForcedReclaim => {
            report.equal("linux_run_on_burnt_address_says_efault", &last(life), &"KVM_RUN: EFAULT".to_string());
        }
        _ => {}
    }
}

/// Memory after the death of its VM.
pub fn check_deaths(report: &mut Report, host: &Host) -> Result<(), String> {
    let machine = Machine::new(host, true, Backing::Client, Scenario::LeftShared)?;
    let mut life = machine.live();
    let removed = machine.vm().remove_memory(SLOT).map_err(|failed| failed.errno);
    report.equal("linux_slot_of_a_vm_that_has_run_cannot_be_removed", &removed, &Err(Errno::EPERM));
    let memory = machine.memory().clone();
    let at = |ipa: u64| memory.address() + (ipa - RAM_BASE);
    let alive = probe::load(at(Page::B.ipa()));
    report.equal("linux_private_page_faults_while_the_stopped_vm_lives", &alive, &Err(Fault::PKVM));
    drop(machine);
    let after = |page: Page| probe::load(at(page.ipa()));
    report.equal("linux_shared_page_keeps_its_data_after_death", &after(Page::A), &Ok(GUEST_LAST));
    let zeroed = (after(Page::B), probe::load(at(RAM_BASE)));
    report.equal("linux_private_pages_are_zero_after_death", &zeroed, &(Ok(0), Ok(0)));
    for page in [Page::A, Page::B] {
        let seen = after(page).map_err(|_| Denied);
        life.seen.push((Step::Leaving, Observation::AfterDeath(page.ipa(), seen)));
    }
    life.tell(Scenario::LeftShared);

    let machine = Machine::new(host, true, Backing::Client, Scenario::LeftShared)?;
    let gmem = machine
        .vm()
        .create_gmem(0x10000, CreateFlags::MMAP | CreateFlags::INIT_SHARED)
        .map_err(|failed| failed.to_string())?;
    machine.live();
    let memory = machine.memory().clone();
    let private = memory.address() + (Page::B.ipa() - RAM_BASE);
    drop(machine);
    let held = probe::load(private);
    drop(gmem);
    let freed = probe::load(private);
    report.equal("linux_open_guest_memfd_keeps_the_vm_alive", &(held, freed), &(Err(Fault::PKVM), Ok(0)));
    Ok(())
}

/// A vCPU that is stopped by signals again and again goes on where it was.
pub fn check_signals(report: &mut Report, host: &Host) -> Result<(), String> {
    let machine = Machine::new(host, true, Backing::Client, Scenario::Storm)?;
    let life = system::under_signals(|| machine.live());
    let undisturbed = Machine::new(host, true, Backing::Client, Scenario::Storm)?.live();
    let seen = (life.interrupted > 0, life.seen);
    report.equal("linux_storm_holds_while_signals_stop_the_vcpu", &seen, &(true, undisturbed.seen));
    Ok(())
}

/// Kinds of VMs and kinds of memory, and what the kernel says that it offers.
pub fn check_kinds(report: &mut Report, host: &Host) -> Result<(), String> {
    let machine = Machine::new(host, true, Backing::Memfd, Scenario::ShareInPlace)?;
    let seen = machine.live().texts(Step::Shared);
    let anonymous = Machine::new(host, true, Backing::Client, Scenario::ShareInPlace)?.live().texts(Step::Shared);
    report.equal("linux_memfd_backing_works_like_anonymous", &seen, &anonymous);

    let machine = Machine::new(host, true, Backing::Gmem, Scenario::ShareInPlace)?;
    let refused = last(&machine.live());
    report.equal("linux_guest_memfd_backing_fails_at_the_first_run", &refused, &"KVM_RUN: EIO".to_string());

    let tainted = std::fs::read_to_string("/proc/sys/kernel/tainted").unwrap_or_default();
    report.equal("linux_protected_vm_taints_the_kernel", &(tainted.trim() != "0"), &true);

    let calls = Machine::new(host, false, Backing::Client, Scenario::Calls)?.live();
    let texts = |lines: &[&str]| lines.iter().map(ToString::to_string).collect::<Vec<_>>();
    report.equal(
        "linux_plain_vm_features_are_0x3",
        &calls.texts(Step::Features).first().cloned(),
        &Some("x0 0x3".to_string()),
    );
    for (case, step) in [
        ("linux_plain_vm_has_no_meminfo", Step::MemInfo),
        ("linux_plain_vm_has_no_share", Step::Share),
        ("linux_plain_vm_has_no_unshare", Step::Unshare),
    ] {
        report.equal(case, &calls.texts(step), &texts(&["x0 -1"]));
    }
    let plain = Machine::new(host, false, Backing::Client, Scenario::ShareInPlace)?.live();
    let open = ["host loads page_a: 0xa0a0a0a0", "host stores to page_a: done", "guest loads 0xb0b0b0b0"];
    let seen: Vec<_> = plain.texts(Step::Private).into_iter().skip(1).collect();
    report.equal("linux_plain_vm_is_open_to_its_host", &seen, &texts(&open));

    let machine = Machine::new(host, true, Backing::Client, Scenario::Calls)?;
    let offered: Vec<_> = [
        Capability::GUEST_MEMFD,
        Capability::GUEST_MEMFD_FLAGS,
        Capability::MEMORY_ATTRIBUTES,
        Capability::PRE_FAULT_MEMORY,
        Capability::MEMORY_FAULT_INFO,
        Capability::VM_TYPES,
    ]
    .into_iter()
    .map(|capability| machine.vm().check(capability).map_err(|failed| failed.errno))
    .collect();
    report.equal("linux_capabilities_of_a_protected_vm", &offered, &[1, 3, 0, 0, 0, 0].map(Ok).to_vec());
    Ok(())
}
