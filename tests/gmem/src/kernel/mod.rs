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
use crate::target::{Machine, Target};
use child::Child;
use memory::{Mapping, Pin};
use std::os::fd::OwnedFd;
use tenure_abi::Errno;
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
