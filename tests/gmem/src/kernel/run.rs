//! One access of the guest: set its registers, run it until it halts, say what came of it.

use super::code::Snippet;
use super::vmm::{Vm, errno};
use super::{Kernel, checked};
use crate::target::{Called, GUEST_LIMIT, Guest, Stop, VmId};
use kvm_bindings::{kvm_regs, kvm_run};
use std::os::fd::AsRawFd;
use tenure_abi::Errno;
use tenure_abi::gmem::{ExitReason, HypercallExit, MemoryFaultExit, ioctl};

/// Bit 1 of RFLAGS is always set.
const FLAGS: u64 = 2;
/// What an exit reason is before the vCPU runs: nothing that KVM would write.
const STALE: u32 = u32::MAX;

impl Vm {
    /// Puts the guest in front of a snippet, with ES at the page of `gpa`.
    fn prepare(&mut self, snippet: Snippet, gpa: u64, regs: &kvm_regs) -> Result<(), Stop> {
        let failed = |error: kvm_ioctls::Error| Stop::Failed(errno(error.errno()));
        let mut sregs = self.vcpu.get_sregs().map_err(failed)?;
        (sregs.cs.base, sregs.cs.selector) = (0, 0);
        sregs.es.base = gpa & !0xfff;
        self.vcpu.set_sregs(&sregs).map_err(failed)?;
        let regs = kvm_regs { rip: snippet.address().into(), rflags: FLAGS, ..*regs };
        self.vcpu.set_regs(&regs).map_err(failed)
    }

    /// `KVM_RUN`, with its errno: the bindings' own drops that of a memory fault.
    fn enter(&mut self) -> Result<(), Errno> {
        let fd = self.vcpu.as_raw_fd();
        // SAFETY: `KVM_RUN` has no argument; what it writes is the run page, of which nothing is borrowed.
        checked(unsafe { libc::syscall(libc::SYS_ioctl, fd, u64::from(ioctl::RUN), 0) }).map(drop)
    }

    /// Runs once and says why it stopped; a signal is no reason.
    fn step(&mut self) -> Result<ExitReason, Stop> {
        loop {
            self.vcpu.get_kvm_run().exit_reason = STALE;
            let result = self.enter();
            let reason = ExitReason(self.vcpu.get_kvm_run().exit_reason);
            match result {
                Ok(()) => return Ok(reason),
                Err(Errno::EINTR) => {}
                Err(why @ (Errno::EFAULT | Errno::EHWPOISON)) if reason == ExitReason::MEMORY_FAULT => {
                    return Err(Stop::MemoryFault(why, memory_fault(self.vcpu.get_kvm_run())));
                }
                Err(why) => return Err(Stop::Failed(why)),
            }
        }
    }

    /// Runs until the guest halts; the byte or word it then has in RAX.
    fn access(&mut self, snippet: Snippet, gpa: u64, regs: &kvm_regs) -> Result<u64, Stop> {
        assert!(gpa < GUEST_LIMIT, "guests reach addresses below 4 GiB only");
        self.prepare(snippet, gpa, regs)?;
        match self.step()? {
            ExitReason::HLT => self.result(),
            ExitReason::MMIO => {
                let stop = mmio(self.vcpu.get_kvm_run());
                self.finish();
                Err(stop)
            }
            reason => Err(Stop::Exit(reason)),
        }
    }

    fn result(&self) -> Result<u64, Stop> {
        self.vcpu.get_regs().map(|regs| regs.rax).map_err(|error| Stop::Failed(errno(error.errno())))
    }

    /// Ends an access that KVM has left half done, without running the guest any further.
    fn finish(&mut self) {
        self.vcpu.set_kvm_immediate_exit(1);
        // It always fails, with `EINTR`.
        let _ = self.enter();
        self.vcpu.set_kvm_immediate_exit(0);
    }

    fn hypercall(&mut self, number: u32, arguments: [u32; 3], reply: u64) -> Result<Called, Stop> {
        let [rbx, rcx, rdx] = arguments.map(u64::from);
        self.prepare(Snippet::Hypercall, 0, &kvm_regs { rax: number.into(), rbx, rcx, rdx, ..kvm_regs::default() })?;
        let mut exit = None;
        loop {
            match self.step()? {
                ExitReason::HLT => return Ok(Called { exit, result: self.result()? as u32 }),
                ExitReason::HYPERCALL => exit = Some(answer(self.vcpu.get_kvm_run(), reply)),
                reason => return Err(Stop::Exit(reason)),
            }
        }
    }
}

fn memory_fault(run: &kvm_run) -> MemoryFaultExit {
    // SAFETY: the exit reason says which payload it is, and any bytes are a valid one.
    let fault = unsafe { run.__bindgen_anon_1.memory_fault };
    MemoryFaultExit { flags: fault.flags, gpa: fault.gpa, size: fault.size }
}

fn mmio(run: &kvm_run) -> Stop {
    // SAFETY: as above.
    let mmio = unsafe { run.__bindgen_anon_1.mmio };
    Stop::Mmio { gpa: mmio.phys_addr, bytes: mmio.len, write: mmio.is_write != 0 }
}

fn answer(run: &mut kvm_run, reply: u64) -> HypercallExit {
    // SAFETY: as above.
    let call = unsafe { &mut run.__bindgen_anon_1.hypercall };
    let seen = HypercallExit {
        number: call.nr,
        arguments: call.args,
        reply: 0,
        // SAFETY: any bytes are a valid number.
        flags: unsafe { call.__bindgen_anon_1.flags },
    };
    call.ret = reply;
    seen
}

impl Guest for Kernel {
    fn guest_load(&mut self, vm: VmId, gpa: u64) -> Result<u8, Stop> {
        let regs = kvm_regs { rbx: gpa & 0xfff, ..kvm_regs::default() };
        self.vms.get(vm.0).access(Snippet::Load, gpa, &regs).map(|value| value as u8)
    }

    fn guest_store(&mut self, vm: VmId, gpa: u64, value: u8) -> Result<(), Stop> {
        let regs = kvm_regs { rbx: gpa & 0xfff, rcx: value.into(), ..kvm_regs::default() };
        self.vms.get(vm.0).access(Snippet::Store, gpa, &regs).map(drop)
    }

    fn hypercall(&mut self, vm: VmId, number: u32, arguments: [u32; 3], reply: u64) -> Result<Called, Stop> {
        self.vms.get(vm.0).hypercall(number, arguments, reply)
    }

    fn exit_reason(&mut self, vm: VmId) -> Option<ExitReason> {
        Some(ExitReason(self.vms.get(vm.0).vcpu.get_kvm_run().exit_reason))
    }
}
