//! Everything that a request could have changed, to see that it did not.

use super::frames::{GuestTable, HostTable};
use super::{PAGE, Provider};
use tenure_abi::{PageSize, Visibility};
use tenure_host::gmem::Facts;
use tenure_host::gmem::kvm::Slot;

/// One page of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Page {
    visibility: Visibility,
    /// Facts, size of backing, frame and a digest of its bytes.
    backing: Option<(Facts, PageSize, u64, u64)>,
}

/// One VM.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Machine {
    slots: Vec<Slot>,
    /// Frames at which its attributes change, and to what.
    attributes: Vec<(u64, Visibility)>,
}

/// The state of a provider and the machine around it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    files: Vec<(u64, Vec<Page>)>,
    vms: Vec<Machine>,
    host: HostTable,
    guests: GuestTable,
    in_use: usize,
}

impl Snapshot {
    /// Whether all is the same except that processes may have lost mappings.
    pub fn same_but_host_mappings(&self, before: &Self) -> bool {
        let lost_only = self.host.iter().all(|entry| before.host.contains(entry));
        let host = self.host.clone();
        lost_only && Self { host, ..before.clone() } == *self
    }
}

/// Pages of a file that are looked at: enough for the files that tests compare.
const LOOKED_AT: u64 = 64;

impl Provider {
    /// Everything, as it is now. Of a file the first pages are looked at, and the last.
    pub fn snapshot(&self) -> Snapshot {
        let (host, guests) = self.frames.tables();
        Snapshot {
            files: self.inodes.all().map(|file| (file.id().0, self.pages(file))).collect(),
            vms: self.vms.all().map(|(_, vm)| machine(&vm.vm)).collect(),
            host,
            guests,
            in_use: self.frames.in_use(),
        }
    }

    fn pages(&self, file: &super::inodes::Inode) -> Vec<Page> {
        let count = file.bytes() / PAGE;
        let looked_at = (0..count.min(LOOKED_AT)).chain(std::iter::once(count - 1));
        let page = |page: u64| {
            let offset = page * PAGE;
            let backing = file
                .facts(offset)
                .zip(file.frame(offset))
                .map(|((facts, size), pfn)| (facts, size, pfn.number(), self.frames.digest(pfn.number())));
            Page { visibility: file.visibility(offset).expect("a page of the file"), backing }
        };
        looked_at.map(page).collect()
    }
}

fn machine(vm: &tenure_host::gmem::kvm::Vm<super::pool::Pool, { super::vmm::SLOTS }>) -> Machine {
    let mut attributes = Vec::new();
    let mut gfn = 0;
    while let Some((visibility, count)) = vm.attributes_from(gfn) {
        attributes.push((gfn, visibility));
        gfn += count;
    }
    Machine { slots: vm.slots().to_vec(), attributes }
}
