//! The host kernel's own calls against the real EL2, while a guest holds a private and a shared page.
//!
//! Skipped with its reason on any kernel but the one whose private interface is known.

use super::Report;
use crate::host_calls::{Answer, Module, Number};
use crate::life::{Backing, Host, Machine};
use crate::probe::{self, Fault};
use crate::touch;
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use tenure_abi::PAGE_SHIFT;
use tenure_host::linux::GuestMemory;
use tenure_test_protocol::layout::{GUEST_PRIVATE, GUEST_SHARED, RAM_BASE};
use tenure_test_protocol::{Page, Scenario, Step};

/// The handle of the first VM; no other is alive while this runs.
const VM: u64 = 0x1000;
/// Guest frames that nothing is mapped at.
const FREE_GFN: u64 = (Page::C.ipa() >> PAGE_SHIFT) + 1;
const OTHER_GFN: u64 = FREE_GFN + 1;
/// The frame of the serial port: a device.
const DEVICE: u64 = 0x9000;
/// What the host's own pages hold.
const MINE: u64 = 0x7777;
const OTHER: u64 = 0x8888;

const PERM: Answer = Answer::Refused(libc::EPERM);
const INVAL: Answer = Answer::Refused(libc::EINVAL);
const AGAIN: Answer = Answer::Refused(libc::EAGAIN);

/// Which cases show which rows of the behaviour table.
pub const ROWS: &[(&str, &[&str])] = &[
    ("PK-01", &["linux_host_shares_a_page_with_the_hypervisor_once", "linux_host_cannot_share_what_is_not_its_own"]),
    ("PK-02", &["linux_host_unshares_a_page_once", "linux_host_cannot_unshare_a_guests_pages"]),
    (
        "PK-11",
        &[
            "linux_host_donates_a_page_once_and_loses_it",
            "linux_host_cannot_donate_to_an_occupied_address",
            "linux_host_cannot_donate_what_is_not_its_own",
            "linux_donation_needs_a_loaded_vcpu",
        ],
    ),
];

/// Frames the calls are tried on.
struct Frames {
    mine: u64,
    other: u64,
    private: u64,
    shared: u64,
    hypervisor: u64,
}

/// Runs the guest; where it gives the word, makes every call that this kernel is known to have.
pub fn check(report: &mut Report, host: &Host) -> Result<(), String> {
    let mut module = Module::open();
    if let Err(why) = &module {
        println!("TENURE case linux_host_calls skip {why}");
    }
    let own = GuestMemory::anonymous(0x2000).map_err(|failed| failed.to_string())?;
    let own_at = [own.address(), own.address() + 0x1000];
    own.store(0, MINE).zip(own.store(0x1000, OTHER)).ok_or("the host's own pages are too small")?;
    let machine = Machine::new(host, true, Backing::Client, Scenario::HostCalls)?;
    let mut result = Err("the guest never gave the word".to_string());
    let life = machine.live_with(|memory| {
        let at = |page: Page| memory.address() + (page.ipa() - RAM_BASE);
        let frame = |address| touch::frame(address).map(|address| address >> PAGE_SHIFT).ok_or("a page has no frame");
        result = (|| {
            let Ok(module) = &mut module else { return Ok(()) };
            let frames = Frames {
                mine: frame(own_at[0])?,
                other: frame(own_at[1])?,
                private: frame(at(Page::A))?,
                shared: frame(at(Page::B))?,
                hypervisor: hypervisor_frame()?,
            };
            sharing(report, module, &frames, own_at[0])?;
            donating(report, module, &frames, own_at)?;
            reclaiming(report, module, &frames, own_at[0], at(Page::B))?;
            phases(report, module)
        })();
    });
    result?;
    life.tell(Scenario::HostCalls);
    let guest = life.texts(Step::HostTries);
    let intact = [GUEST_PRIVATE, GUEST_SHARED].map(|value| format!("guest loads {value:#x}")).to_vec();
    report.equal("linux_host_calls_leave_the_guests_pages_alone", &guest, &intact);
    if module.is_ok() {
        for (row, cases) in ROWS {
            report.row(row, cases);
        }
    }
    Ok(())
}

/// PK-01, PK-02.
fn sharing(report: &mut Report, module: &mut Module, frames: &Frames, mine_at: u64) -> Result<(), String> {
    use Number::{ShareHyp, UnshareHyp};
    let mut on = |number, frame| module.call(number, [frame, 0, 0, 0]);
    let twice = (on(ShareHyp, frames.mine)?, on(ShareHyp, frames.mine)?, probe::load(mine_at));
    report.equal("linux_host_shares_a_page_with_the_hypervisor_once", &twice, &(Answer::Done, PERM, Ok(MINE)));
    let twice = [on(UnshareHyp, frames.mine)?, on(UnshareHyp, frames.mine)?];
    report.equal("linux_host_unshares_a_page_once", &twice, &[Answer::Done, PERM]);
    let foreign = [frames.private, frames.shared, DEVICE, frames.hypervisor];
    let mut refused = Vec::new();
    for frame in foreign {
        refused.push(on(ShareHyp, frame)?);
    }
    report.equal("linux_host_cannot_share_what_is_not_its_own", &refused, &vec![PERM; 4]);
    let refused = [on(UnshareHyp, frames.private)?, on(UnshareHyp, frames.shared)?];
    report.equal("linux_host_cannot_unshare_a_guests_pages", &refused, &[PERM; 2]);
    Ok(())
}

/// PK-11, and PK-09 on the wrong kind of VM. Leaves the host's first page donated.
fn donating(report: &mut Report, module: &mut Module, frames: &Frames, own_at: [u64; 2]) -> Result<(), String> {
    use Number::{DonateGuest, ShareGuest, ShareHyp, UnshareHyp};
    let unloaded = module.call(DonateGuest, [frames.mine, FREE_GFN, 0, 0])?;
    report.equal("linux_donation_needs_a_loaded_vcpu", &unloaded, &INVAL);
    let mut donate = |frame, gfn| module.call_loaded(VM, DonateGuest, [frame, gfn, 0, 0]);
    let twice = (donate(frames.mine, FREE_GFN)?, probe::load(own_at[0]), donate(frames.mine, OTHER_GFN)?);
    report.equal("linux_host_donates_a_page_once_and_loses_it", &twice, &(Answer::Done, Err(Fault::PKVM), PERM));
    let occupied = (donate(frames.other, FREE_GFN)?, probe::load(own_at[1]));
    report.equal("linux_host_cannot_donate_to_an_occupied_address", &occupied, &(PERM, Ok(OTHER)));
    let mut refused = vec![donate(frames.private, OTHER_GFN)?, donate(frames.shared, OTHER_GFN)?];
    module.call(ShareHyp, [frames.other, 0, 0, 0])?;
    refused.push(module.call_loaded(VM, DonateGuest, [frames.other, OTHER_GFN, 0, 0])?);
    module.call(UnshareHyp, [frames.other, 0, 0, 0])?;
    refused.push(module.call(ShareHyp, [frames.mine, 0, 0, 0])?);
    report.equal("linux_host_cannot_donate_what_is_not_its_own", &refused, &vec![PERM; 4]);
    let share = module.call_loaded(VM, ShareGuest, [frames.other, OTHER_GFN, 1, 7])?;
    report.equal("linux_host_cannot_share_into_a_protected_vm", &share, &INVAL);
    Ok(())
}

/// PK-15 and PK-14, by call. Gives the host its first page back.
fn reclaiming(
    report: &mut Report,
    module: &mut Module,
    frames: &Frames,
    mine_at: u64,
    shared_at: u64,
) -> Result<(), String> {
    let mut force = |frame: u64| module.call(Number::ForceReclaim, [frame << PAGE_SHIFT, 0, 0, 0]);
    let once = (force(frames.mine)?, probe::load(mine_at), force(frames.mine)?);
    report.equal("linux_host_takes_a_page_by_force_and_finds_zeroes", &once, &(Answer::Done, Ok(0), AGAIN));
    let shared = (force(frames.shared)?, probe::load(shared_at));
    report.equal("linux_host_cannot_take_a_shared_page_by_force", &shared, &(AGAIN, Ok(GUEST_SHARED)));
    let living = module.call(Number::ReclaimDying, [VM, Page::A.ipa() >> PAGE_SHIFT, 0, 0])?;
    report.equal("linux_host_cannot_reclaim_from_a_living_vm", &living, &INVAL);
    Ok(())
}

/// Calls of the wrong phase.
fn phases(report: &mut Report, module: &mut Module) -> Result<(), String> {
    let mut bare = |number| module.call(number, [0; 4]);
    let early = [bare(Number::PkvmInit)?, bare(Number::Nobodys)?];
    report.equal("linux_calls_of_the_boot_are_gone", &early, &[Answer::NotSupported; 2]);
    report.equal("linux_protection_cannot_be_finalised_again", &bare(Number::ProtFinalize)?, &PERM);
    Ok(())
}

/// A frame of the hypervisor's own, from the kernel's message about what it reserved.
fn hypervisor_frame() -> Result<u64, String> {
    let mut log = std::fs::OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open("/dev/kmsg")
        .map_err(|error| format!("/dev/kmsg: {error}"))?;
    let mut record = [0; 2048];
    while let Ok(length) = log.read(&mut record) {
        let text = String::from_utf8_lossy(record.get(..length).unwrap_or_default());
        let Some((_, after)) = text.split_once("MiB at 0x") else { continue };
        let digits = after.split(|c: char| !c.is_ascii_hexdigit()).next().unwrap_or_default();
        return u64::from_str_radix(digits, 16).map(|address| address >> PAGE_SHIFT).map_err(|error| error.to_string());
    }
    Err("the kernel did not say what it reserved for the hypervisor".into())
}
