//! The target that is our own provider, with a modelled machine around it.
//!
//! | module | what |
//! |---|---|
//! | `frames` | frames with bytes, page tables, references: what the provider is given |
//! | `pool` | nodes for its trees |
//! | `inodes` | files and descriptors |
//! | `mappings` | addresses of processes |
//! | `vmm` | VMs, and KVM's requests |
//! | `files` | system calls on files |
//! | `memory` | processes |
//! | `guest` | the guest's accesses |
//! | `launch` | requests of guests that firmware measures |
//! | `snapshot` | everything at once, to see that nothing changed |

mod files;
mod frames;
mod guest;
mod inodes;
mod launch;
mod mappings;
mod memory;
mod pool;
mod snapshot;
mod vmm;

use crate::table::Table;
use crate::target::{GuestPath, Machine, MappingId, Personality, ProcessId, Target, VmId};
use frames::Frames;
use inodes::Inodes;
use mappings::Space;
pub use snapshot::Snapshot;
use tenure_abi::VmHandle;
use tenure_host::gmem::kvm::{Host, OpenFile};
use tenure_host::platform::Unenforced;
pub use vmm::Convert;
use vmm::Machinery;

/// Bytes of a page.
const PAGE: u64 = 0x1000;
/// Where mappings begin.
const ADDRESSES: u64 = 0x1000_0000_0000;
/// `DEFAULT` and `SW_PROTECTED`: what there is without hardware.
const VM_TYPES: u32 = 0b11;

/// A VM's name, in an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Owner(u64);

impl From<VmHandle> for Owner {
    fn from(handle: VmHandle) -> Self {
        Self(handle.to_raw())
    }
}

/// The provider, as one kernel.
pub struct Provider {
    machine: Machine,
    host: Host,
    frames: &'static Frames,
    platform: &'static Unenforced<'static, Frames>,
    inodes: Inodes,
    vms: Table<Machinery>,
    vms_made: u32,
    /// Descriptors, by handle.
    files: Table<u32>,
    space: Space,
    next_address: u64,
    processes: Table<()>,
    pins: Table<Vec<u64>>,
}

impl Provider {
    /// The provider with everything that the kernel can have, for guests without hardware.
    pub fn new(personality: Personality) -> Self {
        Self::built(Host { vm_types: VM_TYPES, ..Host::new(personality) })
    }

    /// The same, for a kernel that was built differently.
    ///
    /// Its machine lives as long as the program does; what lies in it goes with the provider.
    pub fn built(host: Host) -> Self {
        let frames: &'static Frames = Box::leak(Box::default());
        let rules = host.personality.software_content();
        let platform: &'static Unenforced<'static, Frames> =
            Box::leak(Box::new(Unenforced::with_content(frames, rules)));
        let machine = Machine {
            name: format!("provider-{}", host.personality),
            personality: host.personality,
            guest: if host.paging { GuestPath::Paged } else { GuestPath::Emulated },
            in_place: host.converts_in_place(),
        };
        Self {
            machine,
            host,
            frames,
            platform,
            inodes: Inodes::new(),
            vms: Table::default(),
            vms_made: 0,
            files: Table::default(),
            space: Space { frames, mappings: Table::default() },
            next_address: ADDRESSES,
            processes: Table::from(1),
            pins: Table::default(),
        }
    }

    /// Bytes of all frames in use.
    pub fn backed(&self) -> u64 {
        self.frames.in_use() as u64 * PAGE
    }

    /// How many descriptors and mappings are open.
    pub fn open(&self) -> (usize, usize) {
        let mapped = self.space.mappings.all().filter(|(_, mapping)| !mapping.holders.is_empty());
        (self.files.all().count(), mapped.count())
    }

    /// The last descriptor or mapping of an opened file may be gone: its VM loses it, and if nobody else has it, it ends.
    fn forget_if_unused(&mut self, open: OpenFile) {
        let by_descriptor = self.files.all().any(|(_, number)| self.inodes.opened(*number) == open);
        if by_descriptor || self.is_mapped(open) {
            return;
        }
        if let Some((_, vm)) = self.vms.all_mut().find(|(_, vm)| vm.vm.handle() == open.vm) {
            vm.vm.closed(&self.inodes, open.file).expect("nobody else works on the file");
        }
        self.inodes.bury(open.file);
    }
}

impl Target for Provider {
    fn machine(&self) -> &Machine {
        &self.machine
    }

    fn reset(&mut self) {
        for pfn in self.pins.drain().flatten() {
            self.frames.unpin(pfn);
        }
        let processes: Vec<_> = self.processes.all().map(|(id, ())| ProcessId(id)).collect();
        for process in std::iter::once(ProcessId::VMM).chain(processes) {
            let mappings: Vec<_> = self.space.mappings.all().map(|(id, _)| MappingId(id)).collect();
            for mapping in mappings {
                self.give_up(process, mapping);
            }
        }
        let files: Vec<_> = self.files.all().map(|(id, _)| id).collect();
        for file in files {
            crate::target::Files::close(self, crate::target::FileId(file));
        }
        self.processes.clear();
        self.space.mappings.clear();
        let vms: Vec<_> = self.vms.all().map(|(id, _)| VmId(id)).collect();
        for vm in vms {
            self.end_vm(vm);
        }
        assert_eq!(self.frames.in_use(), 0, "frames are lost");
        self.inodes = Inodes::new();
        self.next_address = ADDRESSES;
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.reset();
        }
    }
}
