//! One virtual CPU, and the page through which the kernel says why it stopped.

use super::arm64::{Register, VCPU_POWER_OFF, VCPU_PSCI_0_2};
use super::exit::{Exit, Resume};
use super::vm::Shared;
use super::{ioctl, wire};
use crate::exits::Ran;
use crate::ram::Failed;
use core::mem::offset_of;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicBool, Ordering};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::mm::{MapFlags, ProtFlags};
use std::sync::Arc;
use tenure_abi::Errno;
use tenure_abi::gmem::{MmioExit, RunPage};

/// The mapping of a vCPU's `struct kvm_run`.
struct Mapped {
    start: NonNull<RunPage>,
    bytes: usize,
}

impl Drop for Mapped {
    fn drop(&mut self) {
        // SAFETY: the mapping is this value's own and nothing borrows from it.
        let _ = unsafe { rustix::mm::munmap(self.start.as_ptr().cast(), self.bytes) };
    }
}

/// One virtual CPU.
pub struct Vcpu {
    // In this order: the vCPU must be gone before the memory of its VM is unmapped.
    fd: OwnedFd,
    page: Mapped,
    /// Set while one thread is inside [`Vcpu::run`]. Not a lock: nobody waits for it.
    running: AtomicBool,
    _vm: Arc<Shared>,
}

// SAFETY: the run page is touched only by the thread that has set `running`, through raw pointers, and its
// address means the same on every thread.
unsafe impl Send for Vcpu {}
// SAFETY: as above.
unsafe impl Sync for Vcpu {}

impl Vcpu {
    pub(super) fn new(
        fd: OwnedFd,
        mut init: wire::VcpuInit,
        off: bool,
        bytes: usize,
        vm: Arc<Shared>,
    ) -> Result<Self, Failed> {
        let [features, ..] = &mut init.features;
        *features |= VCPU_PSCI_0_2 | if off { VCPU_POWER_OFF } else { 0 };
        // SAFETY: this is the structure of this request, and it holds no address.
        unsafe { ioctl::structure(&fd, "KVM_ARM_VCPU_INIT", wire::ARM_VCPU_INIT, &mut init) }?;
        if bytes < size_of::<RunPage>() {
            return Err(Failed::new("KVM_GET_VCPU_MMAP_SIZE", Errno::EINVAL));
        }
        let protection = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a new mapping at an address of the kernel's choice replaces nothing.
        let start = unsafe { rustix::mm::mmap(core::ptr::null_mut(), bytes, protection, MapFlags::SHARED, &fd, 0) }
            .map_err(Failed::of("mmap of a vCPU"))?;
        let start = NonNull::new(start.cast()).ok_or(Failed::new("mmap of a vCPU", Errno::EFAULT))?;
        Ok(Self { fd, page: Mapped { start, bytes }, running: AtomicBool::new(false), _vm: vm })
    }

    /// Writes a register.
    ///
    /// # Errors
    /// What `KVM_SET_ONE_REG` says; `EPERM` for a protected guest that has run.
    pub fn set(&self, register: Register, value: u64) -> Result<(), Failed> {
        let mut value = value;
        self.one_reg("KVM_SET_ONE_REG", wire::SET_ONE_REG, register, &mut value)
    }

    /// Reads a register.
    ///
    /// # Errors
    /// What `KVM_GET_ONE_REG` says.
    pub fn get(&self, register: Register) -> Result<u64, Failed> {
        let mut value = 0;
        self.one_reg("KVM_GET_ONE_REG", wire::GET_ONE_REG, register, &mut value)?;
        Ok(value)
    }

    fn one_reg(
        &self,
        call: &'static str,
        opcode: rustix::ioctl::Opcode,
        register: Register,
        value: &mut u64,
    ) -> Result<(), Failed> {
        let addr = core::ptr::from_mut(value).expose_provenance() as u64;
        let mut request = wire::OneReg { id: register.id(), addr };
        // SAFETY: this is the structure of both requests; every `Register` is 64 bits wide, and `value` is borrowed
        // for the whole call.
        unsafe { ioctl::structure(&self.fd, call, opcode, &mut request) }.map(drop)
    }

    /// Runs the vCPU until it needs its host.
    ///
    /// # Errors
    /// `EBUSY` while another thread runs it; otherwise what `KVM_RUN` says, for example `EFAULT` where the guest
    /// touched an address that was taken from it by force.
    pub fn run(&self, resume: Resume) -> Result<Exit, Failed> {
        // Acquire pairs with the release below: this thread sees the page as the last runner left it.
        if self.running.swap(true, Ordering::Acquire) {
            return Err(Failed::new("KVM_RUN", Errno::EBUSY));
        }
        let result = self.run_alone(resume);
        self.running.store(false, Ordering::Release);
        result
    }

    /// The caller has set `running`.
    fn run_alone(&self, resume: Resume) -> Result<Exit, Failed> {
        if let Resume::Loaded(value) = resume {
            let data = const { offset_of!(RunPage, payload) + offset_of!(MmioExit, data) };
            // SAFETY: the field lies inside the mapping, is aligned to 8 bytes, and no other thread touches the page.
            unsafe { self.page.start.as_ptr().byte_add(data).cast::<u64>().write_volatile(value.to_le()) };
        }
        let page = self.page.start.as_ptr();
        // The reason is not marked as stale before: by it arm64's KVM knows that a load or store has to be completed.
        let result = super::request::run(self);
        // SAFETY: the page is mapped, large enough and aligned; any bytes are a valid `RunPage`, and it is copied.
        let run = unsafe { page.read_volatile() };
        match Ran::of(result.map_err(|failed| failed.errno), &run) {
            Ran::MemoryFault(fault) => return Ok(Exit::MemoryFault(fault)),
            Ran::Poisoned(fault) => return Ok(Exit::Poisoned(fault)),
            Ran::Interrupted => return Ok(Exit::Interrupted),
            _ => result?,
        }
        Ok(Exit::decode(&run))
    }
}

impl AsFd for Vcpu {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
