//! vCPUs of VMs: their registers, entering one with what the host answered, and turning an exit into a stop.

use crate::inject;
use crate::machine::{VMS, el2};
use crate::trap::class;
use crate::vcpu::Vcpu;
use crate::world::{Exit, enter_guest};
use core::cell::{Cell, UnsafeCell};
use core::ptr::NonNull;
use tenure_abi::Error;
use tenure_abi::run::StopReason;
use tenure_abi::service::HostReply;
use tenure_arch::syndrome::{self, Class};
use tenure_hyp::el2::{Resume, Stop, VCPUS_PER_VM, VcpuToken};

/// A vCPU that this CPU runs now. Its `Vcpu::user` points here.
pub(crate) struct Running {
    /// The right to run it.
    pub(crate) token: VcpuToken,
    /// Why one of its calls stopped it.
    pub(crate) stop: Cell<Option<Stop>>,
}

impl Running {
    /// What the vCPU belongs to; `None` for a self test's.
    ///
    /// # Safety
    /// This CPU runs `vcpu`.
    #[inline]
    pub(crate) unsafe fn of<'a>(vcpu: *const Vcpu) -> Option<&'a Self> {
        // SAFETY: valid while it runs, and `user` is 0 or what `run` put there, which lives as long.
        unsafe { (core::ptr::with_exposed_provenance::<Self>((*vcpu).user as usize)).as_ref() }
    }
}

/// A vCPU between its runs.
struct Context {
    vcpu: Vcpu,
    /// The access it stopped at, which the host may complete.
    access: Option<Access>,
    /// Syndrome and virtual address of that access, for an abort in its place.
    abort: (u64, u64),
}

/// A load or store of one register.
#[derive(Clone, Copy)]
struct Access {
    register: usize,
    bytes: u8,
    sign_extend: bool,
    wide: bool,
    write: bool,
}

struct Slot(UnsafeCell<Context>);

// SAFETY: a context is only touched by the CPU that holds the vCPU's token, of which there is one.
unsafe impl Sync for Slot {}

static CONTEXTS: [[Slot; VCPUS_PER_VM]; VMS] = [const {
    [const { Slot(UnsafeCell::new(Context { vcpu: Vcpu::new(0, 0, 0, 0, 0), access: None, abort: (0, 0) })) };
        VCPUS_PER_VM]
}; VMS];

/// Runs a vCPU until it needs the host. Returns x0..x3 of the host's call.
pub(crate) fn run(token: VcpuToken, resume: Resume) -> [u64; 4] {
    let slot = CONTEXTS.get(usize::from(token.slot().index())).and_then(|vm| vm.get(token.index()));
    let (Some(slot), Ok(vttbr)) = (slot, el2().guest_context(&token)) else {
        return HostReply::Refused(Error::Internal.into()).to_regs();
    };
    let context = slot.0.get();
    let index = token.index() as u64;
    let running = Running { token, stop: Cell::new(None) };
    // SAFETY: the token makes this CPU the only one that uses the context; the reference ends before the guest is entered.
    unsafe {
        let context = &mut *context;
        if let Resume::Start(start) = resume {
            context.vcpu = Vcpu::new(start.entry, start.argument, vttbr.raw(), el2().guest_vtcr(), index);
        }
        context.resume(resume);
        context.vcpu.user = (&raw const running).expose_provenance() as u64;
    }
    let stop = loop {
        // SAFETY: on the host's behalf; nobody else has the vCPU, and no reference to it lives across the call.
        let exit = unsafe { enter_guest(NonNull::new_unchecked(&raw mut (*context).vcpu)) };
        // SAFETY: as above.
        if let Some(stop) = unsafe { (*context).stop(&running, &exit) } {
            break stop;
        }
    };
    // SAFETY: as above.
    unsafe { (*context).vcpu.user = 0 };
    el2().vcpu_stopped(running.token, stop)
}

impl Context {
    /// Applies what the host answered to the access it stopped at.
    fn resume(&mut self, resume: Resume) {
        match (resume, self.access.take()) {
            (Resume::Complete(value), Some(access)) => {
                if !access.write
                    && let Some(register) = self.vcpu.x.get_mut(access.register)
                {
                    *register = access.extend(value);
                }
                self.vcpu.pc = self.vcpu.pc.wrapping_add(4);
            }
            // What cannot be completed must not be tried for ever either: it is the host's answer that was wrong.
            (Resume::Abort | Resume::Complete(_), _) => {
                inject::inject_stopped(&mut self.vcpu, inject::external_abort(self.abort.0), self.abort.1);
            }
            (Resume::Start(_) | Resume::Again, _) => {}
        }
    }

    /// Why the host is needed; `None` if the guest can simply go on.
    fn stop(&mut self, running: &Running, exit: &Exit) -> Option<Stop> {
        if exit.interrupt {
            return Some(Stop::plain(StopReason::Interrupt));
        }
        if let Some(stop) = running.stop.take() {
            self.access = None;
            // A call for memory that is not there: as if the guest had stored there.
            self.abort = (class::DATA_ABORT << 26 | 1 << 25, 0);
            return Some(stop);
        }
        let (abort, write) = match syndrome::Syndrome(exit.syndrome.esr).class() {
            Class::DataAbort(abort) => (Some(abort), abort.write),
            Class::InstructionAbort(abort) => (Some(abort), false),
            Class::Wait => {
                self.vcpu.pc = self.vcpu.pc.wrapping_add(4);
                return Some(Stop::plain(StopReason::Interrupt));
            }
            _ => (None, false),
        };
        let (Some(abort), Some(address)) = (abort, exit.syndrome.stage2_fault_address()) else {
            return Some(Stop { value: exit.syndrome.esr, ..Stop::plain(StopReason::Unhandled) });
        };
        if el2().guest_fault_is_over(&running.token, address) {
            return None;
        }
        self.abort = (exit.syndrome.esr, exit.syndrome.far);
        self.access = abort.access.map(|access| Access {
            register: access.register.into(),
            bytes: access.bytes,
            sign_extend: access.sign_extend,
            wide: access.wide,
            write,
        });
        let size = self.access.map_or(0, |access| access.bytes.into());
        let value = self.access.filter(|access| access.write).map_or(0, |access| access.truncate(&self.vcpu.x));
        Some(Stop { reason: StopReason::Memory, address, value, size, write })
    }
}

impl Access {
    fn mask(self) -> u64 {
        u64::MAX >> (64 - 8 * u32::from(self.bytes.clamp(1, 8)))
    }

    /// What is stored; register 31 is zero.
    fn truncate(self, x: &[u64; 31]) -> u64 {
        x.get(self.register).copied().unwrap_or(0) & self.mask()
    }

    /// What is loaded, as the instruction extends it.
    fn extend(self, value: u64) -> u64 {
        let value = value & self.mask();
        let sign = self.mask() ^ (self.mask() >> 1);
        let value = if self.sign_extend && value & sign != 0 { value | !self.mask() } else { value };
        if self.wide { value } else { value & 0xffff_ffff }
    }
}
