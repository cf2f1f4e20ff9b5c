//! The target that is a real kernel: this machine's `/dev/kvm`.
//!
//! | module | what |
//! |---|---|
//! | `machine` | which kernel this is, found out by what it does |
//! | `vmm` | VMs, and KVM's requests |
//! | `code` | the guest: a few bytes of code for each access |
//! | `run` | one access of the guest: registers, `KVM_RUN`, what it said |
//! | `files` | system calls on files |
//! | `memory` | mappings, and system calls on them |
//! | `touch` | loads and stores that survive a signal |
//! | `child` | a forked process that loads and stores when told |

mod child;
mod code;
mod files;
mod machine;
mod memory;
mod run;
mod touch;
mod vmm;

use crate::table::Table;
use crate::target::{Fault, Machine, Target};
use child::Child;
use memory::{Mapping, Pin};
use std::os::fd::OwnedFd;
use tenure_abi::Errno;
use tenure_host::linux::GuestMemory;
use vmm::Vm;

/// This machine's KVM, and everything that was opened on it.
pub struct Kernel {
    // In this order: vCPUs and VMs go before the memory that their slots show.
    vms: Table<Vm>,
    pins: Table<Pin>,
    children: Table<Child>,
    mappings: Table<Mapping>,
    files: Table<OwnedFd>,
    foreign: Vec<OwnedFd>,
    kvm: kvm_ioctls::Kvm,
    machine: Machine,
}

impl Kernel {
    /// Opens `/dev/kvm` and finds out what it is.
    ///
    /// # Errors
    /// Why this machine has nothing to test, in words.
    pub fn open() -> Result<Self, String> {
        touch::catch_signals();
        let kvm = kvm_ioctls::Kvm::new().map_err(|error| format!("/dev/kvm: {error}"))?;
        let (release, personality) = machine::release()?;
        let mut kernel = Self {
            vms: Table::default(),
            pins: Table::default(),
            // Handle 0 is the VMM itself.
            children: Table::from(1),
            mappings: Table::default(),
            files: Table::default(),
            foreign: Vec::new(),
            kvm,
            machine: Machine {
                name: format!("linux-{release}"),
                personality,
                guest: crate::target::GuestPath::Paged,
                in_place: false,
            },
        };
        kernel.machine = machine::probe(&mut kernel)?;
        kernel.reset();
        Ok(kernel)
    }
}

impl Kernel {
    /// A VM's descriptor, for a client that shares it.
    pub fn vm_descriptor(&mut self, vm: crate::target::VmId) -> std::os::fd::BorrowedFd<'_> {
        self.vms.get(vm.0).borrow()
    }
}

/// Which frame this process has mapped at an address; `None` if none, or if it is not allowed to see it.
pub fn frame_at(address: u64) -> Option<u64> {
    memory::frame_at(address)
}

/// From now on a signal of [`touch_load`] and [`touch_store`] is survived.
pub fn survive_signals() {
    touch::catch_signals();
}

/// Loads a byte of a client's memory.
///
/// # Errors
/// The signal.
pub fn touch_load(memory: &GuestMemory, offset: u64) -> Result<u8, Fault> {
    touch::load(memory.address(), inside(memory, offset))
}

/// Stores a byte there.
///
/// # Errors
/// The signal.
pub fn touch_store(memory: &GuestMemory, offset: u64, value: u8) -> Result<(), Fault> {
    touch::store(memory.address(), inside(memory, offset), value)
}

fn inside(memory: &GuestMemory, offset: u64) -> u64 {
    assert!(offset < memory.bytes() as u64, "a test touches {offset:#x}");
    offset
}

impl Target for Kernel {
    fn machine(&self) -> &Machine {
        &self.machine
    }

    fn reset(&mut self) {
        self.children.clear();
        self.vms.clear();
        self.pins.clear();
        self.mappings.clear();
        self.files.clear();
        self.foreign.clear();
    }
}

/// The errno of the system call that has just failed.
fn last_errno() -> Errno {
    let number = std::io::Error::last_os_error().raw_os_error().unwrap_or(0);
    Errno(u16::try_from(number).unwrap_or(0))
}

/// The answer of a system call that returns -1 on failure.
fn checked(result: i64) -> Result<u64, Errno> {
    u64::try_from(result).map_err(|_| last_errno())
}
