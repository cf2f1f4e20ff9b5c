//! The client's rows on pKVM: every guest of this program has its memory from the client; what only the client promises is here.

use super::Report;
use crate::life::{Backing, Host, Machine};
use tenure_abi::{ContentMode, Errno, Error, FrameRange, Gfn, PAGE_SIZE, Visibility};
use tenure_host::convert::{Front, NoLeases, Request, Stopped};
use tenure_host::linux::{Requests, Vm, arm64};
use tenure_host::ram::{Offers, Ram, Strategy};
use tenure_test_protocol::Scenario;
use tenure_test_protocol::layout::RAM_BASE;

/// The rows, and the cases that show each.
pub const ROWS: &[(&str, &[&str])] = &[
    ("CL-01", &["linux_client_finds_files_and_no_attributes"]),
    ("CL-02", &["linux_client_and_plain_guest_share_memory", "linux_frame_stays_the_same_through_share_and_unshare"]),
    ("CL-03", &["linux_client_leaves_conversions_to_a_protected_guest"]),
    (
        "CL-06",
        &["linux_client_adds_and_removes_memory_before_the_first_run", "linux_client_keeps_memory_that_cannot_go"],
    ),
    ("CL-10", &["linux_client_refuses_nonsense"]),
];

fn vm(host: &Host, protected: bool) -> Result<Requests<Vm>, String> {
    let width = tenure_abi::AddressWidth::new(40).map_err(|error| format!("{error:?}"))?;
    let kind = if protected { arm64::protected(width) } else { arm64::plain(width) };
    let vm = host.kvm.create_vm(kind.map_err(|error| format!("{error:?}"))?).map_err(|failed| failed.to_string())?;
    Ok(Requests::of(vm))
}

fn range(page: u64, count: u64) -> Result<FrameRange<Gfn>, String> {
    let address = RAM_BASE + page * PAGE_SIZE;
    FrameRange::from_bytes(address, count * PAGE_SIZE, tenure_abi::AddressWidth::GUEST_MAX)
        .map_err(|error| format!("{error:?}"))
}

/// Checks all of it, and prints the rows.
pub fn check(report: &mut Report, host: &Host) -> Result<(), String> {
    let wanted = Offers { files: true, shared_files: true, attributes: false, in_place: false, content_modes: false };
    let found = (Offers::probe(&vm(host, false)?), Offers::probe(&vm(host, true)?));
    report.equal("linux_client_finds_files_and_no_attributes", &found, &(wanted, wanted));

    // The same guest in a VM that hides nothing, its memory a file that the client chose.
    let machine = Machine::new(host, false, Backing::Client, Scenario::ShareInPlace)?;
    let seen = machine.live().texts(tenure_test_protocol::Step::Private).into_iter().skip(1).collect::<Vec<_>>();
    let open = ["host loads page_a: 0xa0a0a0a0", "host stores to page_a: done", "guest loads 0xb0b0b0b0"];
    report.equal("linux_client_and_plain_guest_share_memory", &seen, &open.map(str::to_owned).to_vec());

    let front = Front::new(Ram::new(vm(host, true)?, Strategy::Protected, 0..4), NoLeases);
    front.backing().add(range(0, 16)?, Visibility::Private).map_err(|failed| failed.to_string())?;
    let two = range(1, 2)?;
    let refused = |to| front.convert(Request { gfns: two, to }, ContentMode::Unspecified);
    let stopped = Err(Stopped { done: 0, at: two.first(), error: Error::NotSupported });
    let seen = (refused(Visibility::Shared), refused(Visibility::Private), front.backing().visibility(two.first()));
    report.equal("linux_client_leaves_conversions_to_a_protected_guest", &seen, &(stopped, stopped, None));

    let ram = front.backing();
    let more = range(32, 8)?;
    let plugged = (0..3).all(|_| {
        let there = ram.add(more, Visibility::Private).is_ok() && ram.map().len() == 2;
        there && ram.remove(more.first()).is_ok()
    });
    let left = (plugged, ram.map() == [range(0, 16)?]);
    report.equal("linux_client_adds_and_removes_memory_before_the_first_run", &left, &(true, true));

    let nonsense = [
        ram.add(range(15, 2)?, Visibility::Private).map_err(|failed| failed.errno).err(),
        ram.add(range(64, 1)?, Visibility::Shared).map_err(|failed| failed.errno).err(),
        ram.remove(range(3, 1)?.first()).map_err(|failed| failed.errno).err(),
        ram.balloon(range(0, 1)?).map_err(|(_, error)| error.errno()).err(),
    ];
    let wanted = [Errno::EEXIST, Errno::EOPNOTSUPP, Errno::ENOENT, Errno::EOPNOTSUPP].map(Some);
    report.equal("linux_client_refuses_nonsense", &nonsense, &wanted);

    let machine = Machine::new(host, true, Backing::Client, Scenario::LeftShared)?;
    machine.live();
    let refused = machine.ram().remove(range(0, 1)?.first()).map_err(|failed| failed.errno);
    let kept = (refused, machine.ram().map().len(), machine.ram().last_failure().map(|failed| failed.errno));
    report.equal("linux_client_keeps_memory_that_cannot_go", &kept, &(Err(Errno::EPERM), 1, Some(Errno::EPERM)));
    for (row, cases) in ROWS {
        report.row(row, cases);
    }
    Ok(())
}
