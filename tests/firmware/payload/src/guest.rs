//! A VM with the test guest in it: created, run by `life`, taken apart to the last page.

use crate::report::{Check, Wrong, claim, equal};
use crate::service::{call, gfn, gfns, pfn, pfns};
use crate::{pages, probe};
use firmware_board::layout::GUEST_BLOB;
use tenure_abi::service::{HostCall, VmKind};
use tenure_abi::{Errno, PAGE_SIZE, VmHandle};
use tenure_test_protocol::Entry;
use tenure_test_protocol::layout::{BLOB_MAX, HOST_LEFT, RAM_BASE, RAM_BYTES};

/// Root tables of a 40-bit guest.
const ROOT: usize = 2;
/// Pages for its further tables: more than 8 MiB of RAM and a mailbox need.
const TABLES: usize = 16;
const RAM_PAGES: usize = (RAM_BYTES / PAGE_SIZE) as usize;
/// RAM begins on a 2 MiB boundary, so that a leaf of that size can be used.
const RAM_ALIGN: usize = 512;

/// How much is given for one fault.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Give {
    /// The page.
    Page,
    /// The 2 MiB around it.
    Region,
}

/// A protected VM with one vCPU.
pub(crate) struct Guest {
    pub(crate) vm: VmHandle,
    pub(crate) vcpu: u64,
    /// The page its stops are told in.
    pub(crate) run_page: u64,
    /// Where its RAM is in the host's.
    pub(crate) base: u64,
    tables: u64,
    pub(crate) give: Give,
}

fn need(pages: usize, align: usize) -> Result<u64, Wrong> {
    pages::alloc(pages, align).ok_or(Wrong { what: "no pages left", seen: pages as u64 })
}

impl Guest {
    /// A VM with the blob in its memory, about to do what `entry` says.
    pub(crate) fn new(entry: Entry, give: Give) -> Result<Self, Wrong> {
        let tables = need(ROOT + TABLES, ROOT)?;
        let run_page = need(1, 1)?;
        let base = need(RAM_PAGES, RAM_ALIGN)?;
        for offset in (0..BLOB_MAX).step_by(8) {
            put(base + offset, probe::load(GUEST_BLOB + offset).unwrap_or(0))?;
        }
        for (ipa, value) in HOST_LEFT {
            put(base + (ipa - RAM_BASE), value)?;
        }
        let root = pfns(tables, ROOT as u64);
        let vm = call(HostCall::VmCreate { kind: VmKind::Protected, root })?;
        let vm = VmHandle::from_raw(vm).map_err(|_| Wrong { what: "a handle that is none", seen: vm })?;
        call(HostCall::VmTopup { vm, frames: pfns(tables + ROOT as u64 * PAGE_SIZE, TABLES as u64) })?;
        call(HostCall::ShareHyp(pfns(run_page, 1)))?;
        let create = HostCall::VcpuCreate { vm, run_page: pfn(run_page), entry: RAM_BASE, argument: entry.to_raw() };
        let vcpu = call(create)?;
        Ok(Self { vm, vcpu, run_page, base, tables, give })
    }

    /// The host's address of a guest address in RAM.
    pub(crate) fn host(&self, ipa: u64) -> Option<u64> {
        (RAM_BASE..RAM_BASE + RAM_BYTES).contains(&ipa).then(|| self.base + (ipa - RAM_BASE))
    }

    /// Gives the guest memory at `ipa`, which lies in its RAM. Giving what it has is fine.
    pub(crate) fn give(&self, ipa: u64) -> Check {
        let (at, pages) = match self.give {
            Give::Page => (ipa & !(PAGE_SIZE - 1), 1),
            Give::Region => (ipa & !(PAGE_SIZE * 512 - 1), 512),
        };
        let host = self.host(at).ok_or(Wrong { what: "no RAM there", seen: ipa })?;
        let given = call(HostCall::DonateGuest { vm: self.vm, frames: pfns(host, pages), gfn: gfn(at) })?;
        equal("pages given", given, pages)
    }

    /// Stops the VM for ever and takes back everything it had from the host.
    pub(crate) fn destroy(self) -> Check {
        let vm = self.vm;
        call(HostCall::VmStartTeardown(vm))?;
        let mut at = 0;
        while at < RAM_PAGES as u64 {
            let range = gfns(RAM_BASE + at * PAGE_SIZE, RAM_PAGES as u64 - at);
            at += match call(HostCall::ReclaimGuest { vm, range }) {
                Ok(done) => done,
                Err(refused) if refused.is(Errno::ENOENT, range.first().number()) => 1,
                Err(refused) => return Err(refused.into()),
            };
        }
        while call(HostCall::VmFinishTeardown(vm))? != 0 {}
        call(HostCall::UnshareHyp(pfns(self.run_page, 1)))?;
        let gone = call(HostCall::VmFinishTeardown(vm));
        claim("the handle is stale", gone.is_err_and(|refused| refused.is(Errno::EINVAL, 0)), 0)?;
        for page in 0..(ROOT + TABLES) as u64 {
            equal(
                "a table page comes back zeroed",
                probe::load(self.tables + page * PAGE_SIZE).unwrap_or(u64::MAX),
                0,
            )?;
        }
        pages::free(self.base, RAM_PAGES);
        pages::free(self.run_page, 1);
        pages::free(self.tables, ROOT + TABLES);
        audit()
    }
}

/// Stores to memory of this host's own.
pub(crate) fn put(address: u64, value: u64) -> Check {
    // SAFETY: pages of the allocator hold no Rust object.
    unsafe { probe::store(address, value) }
        .map_err(|fault| Wrong { what: "the host's own page faults", seen: fault.esr })
}

/// EL2's records are in order.
pub(crate) fn audit() -> Check {
    let mut cursor = 0;
    loop {
        cursor = call(HostCall::Audit { cursor, pages: 1 << 16 })?;
        if cursor == 0 {
            return Ok(());
        }
    }
}
